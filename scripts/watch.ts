/**
 * `node scripts/watch.ts UNIT URL FOLDER` (D-49, D-104): asks a node's health listener once and kills the unit when there
 * is no answer. The listening socket is systemd's or the kernel's, so a node that hangs still takes the question; one that
 * is stopped refuses it, and that is no hang. Which answer comes does not matter: a restart mends no configuration. It is
 * left in the folder for `sallyport node doctor`, which dials nobody; and every five minutes, while all is well, the unit's
 * `doctor` looks at the box, as the node's process may not, and leaves there what it found, for the node to tell.
 *
 * Trust: whoever is in the node's process answers as he likes, and this is root: of the answer, so much is read and what
 * its schema names is kept.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { replaceFile } from '#shared/command-line/write-files.ts';
import { answerFile, isUnlooked, renderAnswer, reportFile } from '#shared/health/report.ts';

/** No event loop of ours stands still for so long and comes back. */
const patienceMs = 20_000;
/** A look takes a third of a second of a processor. */
const lookEveryMs = 5 * 60_000;
const lookPatienceMs = 60_000;

/** Two dozen checks with a sentence and a cure each take a quarter of it. */
const answerBytesMax = 64 * 1024;

const commands = {
  dmz: ['dmz/cli/main.ts', 'doctor'],
  'main-agent': ['main-agent/cli/main.ts', 'doctor'],
};

const [unit = '', url = '', folder = ''] = process.argv.slice(2);
/** The node was started since the last look, and knows nothing of its box. */
let isNew = false;
try {
  const response = await fetch(url, { signal: AbortSignal.timeout(patienceMs), redirect: 'error' });
  const answer = renderAnswer(await readBody(response), Date.now());
  replaceFile(join(folder, answerFile), answer, 0o644);
  isNew = isUnlooked(answer, 'unit');
} catch (error) {
  if (error instanceof Error && error.name === 'TimeoutError') {
    process.stderr.write(`${unit} takes connections and does not answer; it is killed\n`);
    execFileSync('systemctl', ['kill', '--signal=KILL', unit], { stdio: 'inherit' });
  }
}
const report = join(folder, reportFile);
const isLooked = statSync(report, { throwIfNoEntry: false }) !== undefined;
// What is wrong is looked at each time, so that what was mended is soon told as mended.
const isWell = isLooked && !isNew && !readFileSync(report, 'utf8').includes('"state":"bad"');
const lookedAtMs = isWell ? statSync(report).mtimeMs : 0;
if ((unit === 'dmz' || unit === 'main-agent') && Math.abs(Date.now() - lookedAtMs) >= lookEveryMs) {
  const [program, ...args] = commands[unit];
  const file = fileURLToPath(new URL(`../${program}`, import.meta.url));
  execFileSync(process.execPath, [file, ...args, '--report', report], {
    stdio: 'inherit',
    timeout: lookPatienceMs,
  });
}

/** @throws it does not end */
async function readBody({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > answerBytesMax) throw new Error('longer than an answer of ours');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
