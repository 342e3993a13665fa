import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { projectRoot, text, type Entry, type Side } from './contents.ts';

/** The manual page and the completions of a node's command, as the command itself writes them. */
export function writePages(side: Side): Entry[] {
  const ask = (...words: readonly string[]): string => {
    const main = side === 'dmz' ? 'dmz/cli/main.ts' : 'main-agent/cli/main.ts';
    return execFileSync(process.execPath, [join(projectRoot, main), ...words], { encoding: 'utf8' });
  };
  return [
    {
      path: 'usr/share/man/man1/sallyport.1.gz',
      mode: 0o644,
      bytes: gzipSync(ask('manual'), { level: 9 }),
    },
    text('usr/share/bash-completion/completions/sallyport', ask('completion', 'bash')),
    text('usr/share/zsh/vendor-completions/_sallyport', ask('completion', 'zsh')),
    text('usr/share/fish/vendor_completions.d/sallyport.fish', ask('completion', 'fish')),
  ];
}
