import type { Terminal } from '#shared/command-line/terminal.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';

/** A terminal whose person answers from a list. Without answers nobody sits there. */
export interface PlayedTerminal extends Terminal {
  /** All that went to standard output, and to standard error. */
  printed(): string;
  complained(): string;
  /** Questions that were asked. */
  readonly questions: readonly string[];
}

export function buildPlayedTerminal(
  played: { readonly answers?: readonly string[]; readonly input?: string } = {},
): PlayedTerminal {
  const answers = [...(played.answers ?? [])];
  const questions: string[] = [];
  let out = '';
  let err = '';
  const ask = async (question: string): Promise<string> => {
    questions.push(question);
    const answer = answers.shift();
    if (answer === undefined)
      throw new SallyportError('usage', 'Nobody can be asked here', { detail: question });
    return answer;
  };
  return {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    isInteractive: played.answers !== undefined,
    ask,
    askSecret: async (question) => new Secret(await ask(question)),
    readSecretInput: async () => new Secret(played.input ?? ''),
    printed: () => out,
    complained: () => err,
    questions,
  };
}
