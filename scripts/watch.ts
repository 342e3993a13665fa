/**
 * `node scripts/watch.ts UNIT URL` (D-49): asks a node's health listener once and kills the unit when there is no
 * answer. The listening socket is systemd's or the kernel's, so a node that hangs still takes the question; one that is
 * stopped refuses it, and that is no hang. Which answer comes does not matter: a restart mends no configuration.
 */
import { execFileSync } from 'node:child_process';

/** No event loop of ours stands still for so long and comes back. */
const patienceMs = 20_000;

const [unit = '', url = ''] = process.argv.slice(2);
try {
  await fetch(url, { signal: AbortSignal.timeout(patienceMs) });
} catch (error) {
  if (error instanceof Error && error.name === 'TimeoutError') {
    process.stderr.write(`${unit} takes connections and does not answer; it is killed\n`);
    execFileSync('systemctl', ['kill', '--signal=KILL', unit], { stdio: 'inherit' });
  }
}
