import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';

/** Commits pairs of changes, eight at a time, and prints the number of each that was answered. Its parent kills it. */
const store = await openSqliteState({
  file: process.argv[2] ?? '',
  clock: systemClock,
  log: buildLog('silent', {}),
});

async function commitPair(n: number): Promise<void> {
  const common = {
    username: 'alice',
    node: 'dmz1',
    worker: 0,
    protocol: 'sftp',
    clientIp: '::1',
    credential: 'k',
  } as const;
  const result = await store.commit([
    {
      kind: 'open-session',
      session: {
        ...common,
        key: `k${n}`,
        state: 'signed-in',
        method: 'none',
        openedAtMs: 0,
        usedAtMs: 0,
        expiresAtMs: 1e15,
      },
    },
    {
      kind: 'audit',
      record: {
        time: '2026-11-24T00:00:00.000Z',
        event: 'login.admitted',
        outcome: 'ok',
        reference: `k${n}`,
      },
    },
  ]);
  if (result.ok) process.stdout.write(`${n}\n`);
}

// The parent reads up to 1000 records; it kills long before that.
for (let n = 0; n < 1000; n += 8) {
  await Promise.all(Array.from({ length: 8 }, (_, offset) => commitPair(n + offset)));
}
await new Promise(() => setInterval(() => undefined, 1000));
