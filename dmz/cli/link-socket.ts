import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '#shared/command-line/write-files.ts';

/**
 * Where main dials in, of a node that systemd hands its sockets to: a drop-in for dmz-link.socket. It lies with the
 * node's configuration; `scripts/install` shows it to systemd.
 */

function fileIn(folder: string): string {
  return join(folder, 'dmz-link.socket.d', 'address.conf');
}

export function writeLinkSocket(folder: string, address: string): void {
  // The first, empty line takes back what the unit itself says.
  const text = `# Made by \`sallyport node init\`: where main dials in, on the inner interface.
[Socket]
ListenStream=
ListenStream=${address}
`;
  replaceFile(fileIn(folder), text, 0o644);
}

/** Undefined: systemd has no part in it. */
export function readLinkSocket(folder: string): string | undefined {
  const file = fileIn(folder);
  return existsSync(file) ? /^ListenStream=(.+)$/m.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
}
