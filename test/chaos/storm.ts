import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Site, startSite } from '#scripts/demonstration/site.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { waitUntil } from '#test/harness/product.ts';
import { buildRandom } from '#test/harness/random.ts';
import { type CuttingRelay, type Fate, startCuttingRelay } from './cutting-relay.ts';
import type { Door } from './doors.ts';
import { checkAfterwards, readDescriptors, readResident, type Resident } from './afterwards.ts';
import { Ledger } from './ledger.ts';
import { requireNoGrowth } from './growth.ts';
import { httpsNames, raceForNames, sftpNames, visitor } from './names-clients.ts';
import { type Client, httpsGet, httpsPut, sftpGet, sftpPut, tusUpload } from './transfer-clients.ts';
import { watchDisk, watchDoor } from './watch.ts';
import { buildWho, pickSize, type World } from './world.ts';

/**
 * One run of the whole product under its clients while main is killed and its links are cut. Who does what, when main is
 * killed and at which byte a link is cut follow from the seed; how processes interleave does not.
 */
export interface Storm {
  readonly seed: number;
  readonly seconds: number;
  readonly clients: number;
  /** Nothing is killed and nothing cut: what grows then grows by ordinary use. */
  readonly isCalm?: boolean;
  /** Leaves the folder with logs, audit and files where it is, and says where. */
  readonly keep?: boolean;
}

export interface Outcome {
  readonly counts: ReadonlyMap<string, number>;
  readonly kills: number;
  readonly cuts: number;
  readonly bytes: number;
  readonly longestAnswerMs: number;
  /** Once it has calmed down. */
  readonly resident: Resident;
  /** Empty when all held. */
  readonly violations: readonly string[];
}

const killEveryMs = 5_000;
/** After the storm each client has this long to end what it is doing: the pause that is promised, and some work. */
const endMs = 90_000;
const backMs = 60_000;
/** By then each process has had all its code in use once. */
const warmMs = 15_000;

const kinds: readonly Client[] = [
  sftpGet,
  sftpPut,
  httpsGet,
  tusUpload,
  sftpNames,
  httpsNames,
  httpsPut,
  sftpNames,
];

export async function runStorm({
  seed,
  seconds,
  clients: count,
  isCalm = false,
  keep = false,
}: Storm): Promise<Outcome> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'sallyport-chaos-'));
  const people = Array.from({ length: count }, (_, index) => buildWho(seed, index));
  const watcher = { ...buildWho(seed, count), name: 'watcher' };
  const verbs = 'allow: [list, read, write, overwrite, delete, rename, mkdir]';
  const ledger = new Ledger();
  let relay: CuttingRelay | undefined;
  const site = await startSite({
    dir: join(folder, 'site'),
    httpsPort: 0,
    sftpPort: 0,
    moreUsers: [
      ...people.map(({ name }) =>
        buildDemoUser(name, {
          hasKey: true,
          mounts: [
            `{ path: /, storage: local, root: ${name}, ${verbs} }`,
            `{ path: /shared, storage: local, root: shared, ${verbs} }`,
          ],
        }),
      ),
      buildDemoUser(watcher.name, {
        mounts: people.map(
          ({ name }) => `{ path: /${name}, storage: local, root: ${name}, allow: [list, read] }`,
        ),
      }),
    ],
  });
  try {
    await mkdir(join(site.files.files, 'shared'));
    relay = await putRelayBetween(site, isCalm, buildRandom(seed ^ 0x11));
    const before = readDescriptors(site);
    const crew = new Crew(ledger);
    const doors: Door[] = [];
    const world: World = {
      site,
      ledger,
      folder: join(folder, 'local'),
      doors,
      waitForStorm: () => crew.waitForStorm(),
      isOver: () => crew.isOver,
    };
    await mkdir(world.folder);
    for (const [index, who] of people.entries()) {
      // Logins do not outlive a link: who comes and goes does so in calm weather.
      const all = isCalm ? [...kinds, visitor] : kinds;
      const client = all[index % all.length];
      if (client !== undefined) crew.add(who.name, client(world, who));
    }
    const names = people.map(({ name }) => name);
    crew.add('who looks at the disk', watchDisk(world, buildRandom(seed ^ 0x22)));
    crew.add('who looks through the door', watchDoor(world, watcher, names));
    crew.add('races', raceForNames(world, buildRandom(seed ^ 0x33)));
    await crew.begin();
    if (!isCalm) relay.storm();
    const { kills, warm } = isCalm
      ? { kills: 0, warm: await requireNoGrowth(site, ledger, seconds * 1_000) }
      : await killAgainAndAgain(site, seconds * 1_000, buildRandom(seed ^ 0x44));
    relay.calm();
    await crew.end();
    await Promise.allSettled(doors.map((door) => door.close()));
    await waitUntil(() => isServing(site), backMs);
    const resident = await checkAfterwards(world, { before, warm });
    return {
      counts: ledger.counts,
      kills,
      cuts: relay.cuts,
      bytes: ledger.bytes,
      longestAnswerMs: ledger.longestAnswerMs,
      resident,
      violations: ledger.tellViolations(),
    };
  } finally {
    await site.stop();
    await relay?.close();
    if (keep) process.stdout.write(`kept: ${folder}\n`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

/** Everybody who works in a run. */
class Crew {
  readonly #ledger: Ledger;
  readonly #working = new Map<string, Promise<void>>();
  readonly #storm = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  #waiting = 0;
  isOver = false;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  add(name: string, work: Promise<void>): void {
    const run = work
      .catch((error: unknown) => this.#ledger.violate(`an error came to a client: ${String(error)}`))
      .finally(() => {
        this.#working.delete(name);
        this.#look();
      });
    this.#working.set(name, run);
  }

  waitForStorm(): Promise<void> {
    this.#waiting += 1;
    this.#look();
    return this.#storm.promise;
  }

  /** Resolves when all are signed in. */
  async begin(): Promise<void> {
    await this.#ready.promise;
    this.#storm.resolve();
  }

  async end(): Promise<void> {
    this.isOver = true;
    const late = delay(endMs, 'late', { ref: false });
    if ((await Promise.race([Promise.all(this.#working.values()), late])) !== 'late') return;
    for (const name of this.#working.keys())
      this.#ledger.violate(`${name} had not ended ${endMs / 1_000} s after the storm`);
  }

  #look(): void {
    if (this.#waiting >= this.#working.size) this.#ready.resolve();
  }
}

async function killAgainAndAgain(
  site: Site,
  ms: number,
  random: (below: number) => number,
): Promise<{ readonly kills: number; readonly warm: Resident | undefined }> {
  const start = performance.now();
  let warm: Resident | undefined;
  for (let kills = 0; ; kills += 1) {
    const left = start + ms - performance.now();
    const wait = killEveryMs / 2 + random(killEveryMs);
    await delay(Math.max(0, Math.min(left, wait)));
    if (wait >= left) return { kills, warm };
    const isBack = await isServing(site);
    if (isBack && performance.now() - start > Math.min(warmMs, ms / 2)) warm ??= readResident(site);
    const { pid } = site.main;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    // One that is killed while it starts is a fault like any other; the next may start, or nobody would be served.
    if (!isBack) await waitUntil(() => isServing(site), backMs);
  }
}

async function isServing(site: Site): Promise<boolean> {
  if (site.main.pid === undefined) return false;
  const origins = [site.mainHealth, ...site.nodes.map(({ health }) => health)];
  const ready = await Promise.all(
    origins.map(async (origin) => {
      try {
        return (await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
      } catch {
        return false;
      }
    }),
  );
  return ready.every(Boolean);
}

/** Main dials the relay from now on. `isCalm`: what is replaced is not kept, for more would be than a disk holds. */
async function putRelayBetween(
  site: Site,
  isCalm: boolean,
  random: (below: number) => number,
): Promise<CuttingRelay> {
  const { config } = site.files.main;
  const text = readFileSync(config, 'utf8');
  const port = Number(/address: 127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
  const relay = await startCuttingRelay(port, () => pickFate(random));
  const bin = isCalm ? '\nbin: off\n' : '';
  writeFileSync(config, `${text.replace(`127.0.0.1:${port}`, `127.0.0.1:${relay.port}`)}${bin}`);
  const old = site.main.pid;
  if (old !== undefined) process.kill(old, 'SIGTERM');
  await waitUntil(async () => site.main.pid !== old && (await isServing(site)), backMs);
  return relay;
}

/** A quarter of the connections is not cut, some are while they begin, the others at bytes of all magnitudes alike. */
function pickFate(random: (below: number) => number): Fate {
  const isReset = random(2) === 0;
  const which = random(8);
  if (which < 2) return { bytesMax: Infinity, isReset };
  const [least, most] = which === 2 ? [0, 13] : [13, 26];
  return { bytesMax: pickSize(random, least, most), isReset };
}
