import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FakeNode } from './fake-node.ts';

/** The built client on a stand-in server, with the demo's users and a few files. */

const root = fileURLToPath(new URL('../../../', import.meta.url));
const minuteMs = 60_000;
const dayMs = 86_400_000;

/** Secret of the user who is already enrolled. */
export const aliceSecret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
export const password = 'correct horse battery';

export async function buildWebClient(): Promise<string> {
  const vite = fileURLToPath(new URL('../../../node_modules/vite/bin/vite.js', import.meta.url));
  await promisify(execFile)(process.execPath, [vite, 'build', '--config', 'dmz/web/vite.config.ts'], {
    cwd: root,
  });
  return `${root}dmz/web/dist`;
}

export function fillUsers(node: FakeNode): void {
  node.users.clear();
  const user = {
    password,
    registration: true,
    forced: false,
    recoveryCodes: [],
    usedCodes: new Set<string>(),
  };
  node.users.set('alice', {
    ...user,
    asks: 'totp',
    totpSecret: aliceSecret,
    recoveryCodes: ['ABCD-EFGH-JKLM-NPQR'],
    usedCodes: new Set(),
    quotaBytes: 50e9,
  });
  node.users.set('bob', {
    ...user,
    asks: 'email',
    hint: 'b…@example.com',
    remembers: true,
    usedCodes: new Set(),
  });
  node.users.set('carol', { ...user, asks: 'nothing', quotaBytes: 50e9, usedCodes: new Set() });
  node.users.set('dave', { ...user, asks: 'nothing', forced: true, usedCodes: new Set() });
  node.users.set('frank', {
    ...user,
    asks: 'nothing',
    registration: false,
    mayChange: false,
    mayOnlyLook: true,
    usedCodes: new Set(),
  });
  node.users.set('erin', { ...user, asks: 'nothing', ticket: 'KLMN-PQRS', usedCodes: new Set() });
  node.users.set('grace', { ...user, asks: 'nothing', sessionSeconds: 110, usedCodes: new Set() });
  const requiredFrom = new Date(Date.now() + 20 * dayMs).toISOString();
  node.users.set('heidi', { ...user, asks: 'nothing', requiredFrom, quotaBytes: 13e9, usedCodes: new Set() });
  node.users.set('ivan', {
    ...user,
    asks: 'totp',
    totpSecret: aliceSecret,
    given: true,
    usedCodes: new Set(),
  });
}

/** As at the start, but whoever is signed in stays so. */
export function resetSite(node: FakeNode): void {
  node.mend();
  fillUsers(node);
  fillFolders(node);
}

export function fillFolders(node: FakeNode): void {
  const { folders } = node;
  const nowMs = Date.now();
  folders.clear();
  folders.putFolder(['Projects'], nowMs - 2 * dayMs);
  folders.putFolder(['Projects', '2026'], nowMs - 2 * dayMs);
  folders.putFolder(['Projects', '2026', 'Drawings'], nowMs - 3 * dayMs);
  folders.putFile(['Projects', '2026', 'plan.pdf'], Buffer.from('a plan'), nowMs - dayMs);
  folders.putFolder(['Invoices'], nowMs - 40 * dayMs);
  folders.putFolder(['Shared with partners'], nowMs - 400 * dayMs);
  const file = (name: string, size: number, ageMs: number): void =>
    folders.putFile([name], Buffer.from(`content of ${name}\n`), nowMs - ageMs, size);
  file('offer.pdf', 1_234_567, 25 * minuteMs);
  file('Offer (signed).pdf', 2_345_678, 5 * minuteMs);
  file('site-plan-2026-final-version-with-all-corrections-by-the-architect.dwg', 88_400_000, dayMs);
  file('photo 2.jpg', 4_100_000, 3 * dayMs);
  file('photo 10.jpg', 3_900_000, 3 * dayMs);
  file('backup.tar.gz', 12_800_000_000, 12 * dayMs);
  file('Übersicht.xlsx', 48_200, 90 * dayMs);
  file('notes.txt', 812, 200 * dayMs);
  file('minutes.md', 5_300, 300 * dayMs);
}

/** `dist`: built already. */
export async function startFakeSite(dist?: string): Promise<{ node: FakeNode; baseUrl: string }> {
  const node = new FakeNode(dist ?? (await buildWebClient()));
  fillUsers(node);
  fillFolders(node);
  return { node, baseUrl: await node.start() };
}
