/**
 * `npm run bench`: both nodes beside the servers that an admin would set up instead, on this machine, in this run, in
 * turns; medians, printed as ratios. Options: --only PART,… (transfers, files, folders, sessions, latency, users,
 * workers),
 * --size MiB (1024), --rounds N (6: one cold, five warm), --quick (all parts small, about two minutes), --write (the
 * results into test/bench/results).
 *
 * Files lie in memory (/dev/shm) where there is one, so that no disk is measured. CPU is what the servers' processes
 * used, clients not included.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchFolders } from './folders.ts';
import { benchLatency } from './latency.ts';
import { findMissingPrograms } from './peers.ts';
import { describeMachine, drawPlot, Report } from './report.ts';
import { benchSessions } from './sessions.ts';
import { benchFiles } from './small-files.ts';
import { benchTransfers } from './transfers.ts';
import { benchUsers } from './users.ts';
import { benchWorkers } from './workers.ts';

const { values } = parseArgs({
  options: {
    size: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const isQuick = values.quick;
const bytes = Number(values.size ?? (isQuick ? 64 : 1_024)) * 1024 * 1024;
const rounds = Number(values.rounds ?? (isQuick ? 2 : 6));

const asked = values.only?.split(',');
const isAsked = (part: string): boolean => asked === undefined || asked.includes(part);
const missing = findMissingPrograms(isAsked);
if (missing !== undefined) {
  process.stderr.write(`Programs to compare with are missing.\n${missing}\n`);
  process.exit(2);
}
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'sallyport-bench-'));
const report = new Report((line) => void process.stdout.write(`${line}\n`));
try {
  report.line('# Measured');
  report.line('');
  report.line(`${describeMachine()}; ${bytes / 2 ** 20} MiB, ${rounds} rounds, the first of them cold.`);
  if (isAsked('transfers')) await benchTransfers(join(folder, 'transfers'), report, { bytes, rounds });
  if (isAsked('files'))
    await benchFiles(join(folder, 'files'), report, { rounds: Math.min(rounds, 3), isQuick });
  if (isAsked('folders')) await benchFolders(join(folder, 'folders'), report, { isQuick });
  if (isAsked('sessions')) await benchSessions(join(folder, 'sessions'), report, { isQuick });
  if (isAsked('latency')) await benchLatency(join(folder, 'latency'), report, { bytes });
  if (isAsked('users')) await benchUsers(join(folder, 'users'), report, { isQuick });
  if (isAsked('workers')) await benchWorkers(join(folder, 'workers'), report, { bytes, rounds });
  report.tellInShort();
  if (values.write) {
    const results = join(import.meta.dirname, 'results');
    mkdirSync(results, { recursive: true });
    writeFileSync(
      join(results, 'results.svg'),
      drawPlot('Rate through both nodes ÷ rate of a peer', report.comparisons),
    );
    writeFileSync(join(results, 'results.md'), report.text);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
