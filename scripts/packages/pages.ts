import { runNodeCommand } from '#dmz/cli/run.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import type { Terminal } from '#shared/command-line/terminal.ts';
import { gzipSync } from 'node:zlib';
import { projectRoot, text, type Entry, type Side } from './contents.ts';

/** The manual page and the completions of a node's command, as the command itself writes them. */
export async function writePages(side: Side): Promise<Entry[]> {
  return [
    {
      path: 'usr/share/man/man1/sallyport.1.gz',
      mode: 0o644,
      bytes: gzipSync(await ask(side, 'manual'), { level: 9 }),
    },
    text('usr/share/bash-completion/completions/sallyport', await ask(side, 'completion', 'bash')),
    text('usr/share/zsh/vendor-completions/_sallyport', await ask(side, 'completion', 'zsh')),
    text('usr/share/fish/vendor_completions.d/sallyport.fish', await ask(side, 'completion', 'fish')),
  ];
}

async function ask(side: Side, ...words: readonly string[]): Promise<string> {
  let printed = '';
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody to ask'));
  const terminal: Terminal = {
    out: (said) => (printed += said),
    err: (said) => process.stderr.write(said),
    isInteractive: false,
    ask: nobody,
    askSecret: nobody,
    readSecretInput: nobody,
  };
  const surroundings = { terminal, nowMs: 0, folder: projectRoot };
  const code =
    side === 'dmz'
      ? await runNodeCommand(words, surroundings)
      : await runCommand(words, { ...surroundings, actor: 'packager' });
  if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}`);
  return printed;
}
