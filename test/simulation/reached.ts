/** What a simulation has to have met, or its silence says little: each of these in 200 seeds three times at least. */

const disks = ['state', 'files', 'audit', 'enrolments', 'users'] as const;
const codes = ['EIO', 'ENOSPC'] as const;

export const everything: readonly string[] = [
  ...disks.flatMap((disk) => codes.map((code) => `${disk} failed with ${code}`)),
  ...disks.flatMap((disk) => codes.map((code) => `${disk}: ${code}`)),
  ...['totp', 'recovery', 'bypass', 'email'].map((method) => `accepted: ${method}`),
  ...['totp', 'recovery', 'bypass', 'email', 'none', 'none, to set up'].map(
    (method) => `admitted: ${method}`,
  ),
  ...['right', 'wrong', 'used', 'early', 'recovery', 'bypass', 'foreign', 'dead'].map(
    (plan) => `code sent: ${plan}`,
  ),
  ...['upload', 'download', 'remove', 'rename', 'list'].map((act) => `${act}: done`),
  'upload: quota-exceeded',
  'upload: no-space',
  'upload: no-session',
  'written by a request',
  'written by a stream',
  'a stream was taken up again',
  'a key was accepted',
  'a signature was replayed',
  'a code was replayed',
  'a code was mailed',
  'one code raced',
  'enrolled',
  'changed: password',
  'changed: recovery-codes',
  'signed out',
  'a session was attached',
  'own session at another worker',
  'stolen session: no-session',
  'main was killed',
  'main did not start',
  'the vault was killed',
  'a transaction that failed was there after the crash',
  'a line of the audit was half written',
  'a write was half done',
  'a wire was cut',
  'all wires of a node were cut',
  'a node was cut off in silence',
  'a node was killed',
  'a clock jumped: main',
  'a clock jumped: node',
  'a clock creeps',
  'the clock was confirmed',
  'a user was disabled',
  'a user was enabled',
  'a session was killed',
  'all sessions of a user were killed',
  'a factor was reset',
  'a factor was unlocked',
  'a bypass code was made',
  'an admin set a password',
  'a node was revoked',
  'a node was paired anew',
  'a user went',
  'a user was back in time',
  'a name was given again too late',
  'time passed',
];

/** Those that were met fewer times than that. */
export function findMissed(
  counts: ReadonlyMap<string, number>,
  wanted: readonly string[],
  atLeast: number,
): string[] {
  return wanted.filter((what) => (counts.get(what) ?? 0) < atLeast);
}
