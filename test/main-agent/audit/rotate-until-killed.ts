import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';

/** Writes records into files that hold a few each, and prints a line for each that was answered. Its parent kills it. */
const [, , stateFile = '', file = ''] = process.argv;
const log = buildLog('silent', {});
const state = await openSqliteState({ file: stateFile, clock: systemClock, log });
await startAuditFeed({ state, file, rotateBytes: 1000, keepMs: 1e15, clock: systemClock, log });
const audit = buildAudit(state);

// The parent kills long before that.
for (let n = 0; n < 5000; n += 1) {
  await audit.append({ time: new Date().toISOString(), event: 'admin.call', outcome: 'ok', detail: `${n}` });
  process.stdout.write(`${n}\n`);
}
