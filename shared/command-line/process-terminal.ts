import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { createInterface } from 'node:readline/promises';
import { Writable, type Readable } from 'node:stream';
import type { Terminal } from './terminal.ts';

/** The terminal a process was started in. Questions go to standard error, so that results can be piped. */

/** A password has at most 1024 bytes; more is the wrong file. */
const inputBytesMax = 4096;

export function buildProcessTerminal(streams: {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable;
  readonly stderr: Writable;
}): Terminal {
  const { stdin, stdout, stderr } = streams;
  const isInteractive = stdin.isTTY === true && 'isTTY' in stderr;

  const askLine = async (question: string, shown: boolean): Promise<string> => {
    if (!isInteractive) {
      throw new SallyportError('usage', 'Nobody can be asked here', { detail: question.trim() });
    }
    stderr.write(question);
    // In terminal mode readline echoes to its output: a sink keeps what is typed off the screen.
    const output = shown ? stderr : new Writable({ write: (_chunk, _encoding, done) => done() });
    const lines = createInterface({ input: stdin, output, terminal: true, historySize: 0 });
    try {
      return await lines.question('');
    } catch (cause) {
      throw new SallyportError('refused', 'Nothing was done', { detail: 'no answer was given', cause });
    } finally {
      lines.close();
      if (!shown) stderr.write('\n');
    }
  };

  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    isInteractive,
    ask: (question) => askLine(question, true),
    askSecret: async (question) => new Secret(await askLine(question, false)),
    readSecretInput: async () => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      for await (const piece of stdin as AsyncIterable<Buffer>) {
        bytes += piece.length;
        if (bytes > inputBytesMax) throw new SallyportError('usage', 'The input is too long for a password');
        pieces.push(piece);
      }
      return new Secret(
        Buffer.concat(pieces)
          .toString('utf8')
          .replace(/\r?\n$/, ''),
      );
    },
  };
}
