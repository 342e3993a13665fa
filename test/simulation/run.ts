/** One seed from the beginning to its verdict. */
import { join } from 'node:path';
import { verifyAudit } from '#main-agent/audit/verify.ts';
import { lanesPerLink } from '#shared/link/limits.ts';
import { standInForDisks } from './disks.ts';
import { steal, work } from './files.ts';
import { Machine } from './machine.ts';
import type { Held } from './oracle.ts';
import { attach, changeAccount, enrol, raceCode, refusalOf, replay, signIn, signOut } from './visits.ts';
import { calm, stills, weather } from './weather.ts';
import { World, type Lies } from './world.ts';

export interface Verdict {
  readonly seed: number;
  readonly violations: readonly string[];
  /** The last lines of the trace. */
  readonly told: readonly string[];
  /** Of all that happened, in order. */
  readonly hash: string;
  readonly turns: number;
  readonly counts: ReadonlyMap<string, number>;
}

export interface Options {
  readonly seed: number;
  readonly steps: number;
  readonly lies?: Lies;
  readonly onTold?: (line: string) => void;
  readonly isEveryTurnTold?: boolean;
}

standInForDisks();

/** People at the doors at once. */
const activeMax = 8;

/** A process at rest has a few that repeat, and one for each thing that is kept for a while. */
const timersMax = 100;

export async function simulate(options: Options): Promise<Verdict> {
  const { seed, steps, lies = {} } = options;
  const machine = new Machine(seed, options.onTold, options.isEveryTurnTold);
  const world = new World(machine, lies);
  const noteUncaught = (error: unknown): void =>
    world.oracle.violated(
      'faults',
      `nobody caught ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
    );
  process.on('unhandledRejection', noteUncaught);
  try {
    await world.startMain();
    await machine.pass(1_000);
    for (const person of world.people) {
      begin(world, 'a first visit', () => visit(world, person));
      await machine.turnsOf(200, 1_000);
    }
    for (let step = 0; step < steps && world.oracle.violations.length === 0; step += 1) await takeStep(world);
    if (world.oracle.violations.length === 0) await finish(world);
  } finally {
    process.off('unhandledRejection', noteUncaught);
    await world.killMain();
    world.close();
  }
  const { violations } = world.oracle;
  return {
    seed,
    violations,
    told: machine.told,
    hash: machine.hash(),
    turns: machine.turns,
    counts: world.counts,
  };
}

async function takeStep(world: World): Promise<void> {
  const { machine } = world;
  if (world.main?.isServing !== true && machine.chance(2, 3)) {
    // Whoever was about to get in when main died tries the same again.
    if (await world.startMain()) {
      await machine.until(() => world.nodes.some(({ client }) => client.isUp), 2_000);
      begin(world, 'a replay', async () => replay(world));
    } else if (machine.chance(1, 3)) world.faults.clear();
  }
  if (machine.chance(1, 12)) {
    const [, name, event] = pickWeighted(world, stills);
    machine.tell(`weather: ${name}`);
    await event(world);
  } else if (machine.chance(1, 4)) {
    const [, name, event] = pickWeighted(world, weather);
    machine.tell(`weather: ${name}`);
    begin(world, name, async () => event(world));
  } else if (world.scripts.size < activeMax) {
    const [, name, act] = pickWeighted(world, acts);
    begin(world, name, async () => act(world));
  }
  await machine.turnsOf(machine.random(90), machine.pick([0, 1, 100, 5_000]));
}

function pickWeighted<T extends readonly [number, ...unknown[]]>({ machine }: World, from: readonly T[]): T {
  let left = machine.random(from.reduce((sum, [weight]) => sum + weight, 0));
  for (const one of from) {
    left -= one[0];
    if (left < 0) return one;
  }
  throw new Error('nothing to pick from');
}

/** A script of its own, beside the others. */
function begin(world: World, name: string, script: () => Promise<unknown>): void {
  const under = { name };
  world.scripts.add(under);
  script()
    .catch((error: unknown) => {
      const code = refusalOf(world, error, name);
      world.machine.tell(`${name}: ${code}`);
      world.met(`${name}: ${code}`);
    })
    .finally(() => world.scripts.delete(under));
}

/** Somebody signs in, and sets up what is to be set up. */
async function visit(world: World, who = world.machine.pick(world.people)): Promise<void> {
  const { machine } = world;
  const protocol = machine.chance(1, 2) ? 'https' : 'sftp';
  const held = await signIn(world, who, { node: machine.pick(world.nodes), protocol });
  if (held?.admitted.view.state === 'setup-required') await enrol(world, held);
}

/** A session that nobody uses at the moment, its holder's own node being there; dead ones are tried, too. */
async function withSession(world: World, use: (world: World, held: Held) => Promise<void>): Promise<void> {
  const { machine } = world;
  const able = world.held.filter(
    (held) => !held.isBusy && (held.protocol === 'https' || held.process === held.node.process),
  );
  const alive = able.filter((one) => world.oracle.whyDead(one) === undefined);
  const from = alive.length > 0 && machine.chance(4, 5) ? alive : able;
  if (from.length === 0) return;
  const held = machine.pick(from);
  held.isBusy = true;
  try {
    if (held.process !== held.node.process || (held.protocol === 'https' && machine.chance(1, 3)))
      await attach(world, held);
    await use(world, held);
  } finally {
    held.isBusy = false;
  }
}

type Act = (world: World) => Promise<void>;

/** Each as often as its number, among all. */
const acts: readonly (readonly [weight: number, name: string, act: Act])[] = [
  [16, 'a visit', (world) => visit(world)],
  [5, 'a replay', replay],
  [2, 'a race', (world) => raceCode(world, world.machine.pick(world.people))],
  [28, 'work', (world) => withSession(world, workAWhile)],
  [5, 'a theft', (world) => withSession(world, steal)],
  [7, 'a change', (world) => withSession(world, changeIfFull)],
  [2, 'a sign-out', (world) => withSession(world, signOut)],
];

async function workAWhile(world: World, held: Held): Promise<void> {
  if (held.admitted.view.state !== 'signed-in') return enrol(world, held);
  for (let times = 1 + world.machine.random(3); times > 0; times -= 1) await work(world, held);
  return undefined;
}

async function changeIfFull(world: World, held: Held): Promise<void> {
  if (held.admitted.view.state === 'signed-in' && held.protocol === 'https') await changeAccount(world, held);
}

/** The end: all is mended, everybody is done, and what is there is what must be. */
async function finish(world: World): Promise<void> {
  const { machine, oracle } = world;
  await calm(world);
  if (!(await machine.until(() => world.scripts.size === 0, 10 * 60_000)))
    oracle.violated(
      'answers',
      `still waiting for an answer: ${[...world.scripts].map(({ name }) => name).join(', ')}`,
    );
  await machine.pass(3_000);
  await checkFiles(world);
  await checkAudit(world);
  checkBounds(world);
}

async function checkFiles(world: World): Promise<void> {
  for (const person of world.people) {
    let bytes = 0;
    for (const [name, { may }] of person.files) {
      const found = await world.medium.readFile(person.name, name).then(
        (content) => content.toString(),
        () => undefined,
      );
      bytes += found?.length ?? 0;
      if (!may.includes(found))
        world.oracle.violated(
          'files',
          `${person.name}'s ${name} has ${found?.slice(0, 40) ?? 'nothing'} at the end`,
        );
    }
    if (bytes > (person.limitBytes ?? Infinity))
      world.oracle.violated(
        'S-09',
        `${person.name} has ${bytes} bytes, and may have ${person.limitBytes ?? 0}`,
      );
  }
}

/** The files say what was ever made durable, in order, and their chain holds. */
async function checkAudit(world: World): Promise<void> {
  const { disk, machine, main, oracle } = world;
  let isFlushed = false;
  const { feed } = main ?? {};
  if (main === undefined || feed === undefined) return;
  void main.process.run(() => feed.flush()).then(() => (isFlushed = true));
  await machine.until(() => isFlushed, 60_000);
  const verdict = await verifyAudit(join(world.folder, 'audit.jsonl'));
  if (!verdict.ok)
    oracle.violated('S-14', `the audit is broken: ${verdict.file}:${verdict.line} ${verdict.reason}`);
  else if (verdict.head.sequence < disk.records.length)
    oracle.violated('S-14', `the audit ends at ${verdict.head.sequence} of ${disk.records.length} records`);
}

/** S-09: nothing is left over of all that went on. */
function checkBounds(world: World): void {
  const { machine, main, nodes, oracle } = world;
  for (const { client, label } of nodes) {
    const waiting = Object.entries(client.waiting).filter(([what, count]) => what !== 'audit' && count > 0);
    if (waiting.length > 0) oracle.violated('S-09', `${label} still waits: ${JSON.stringify(waiting)}`);
    if (client.laneCount > lanesPerLink) oracle.violated('S-09', `${label} has ${client.laneCount} lanes`);
  }
  const processes = [...nodes.map((node) => node.process), ...(main === undefined ? [] : [main.process])];
  for (const process of processes) {
    const timers = machine.timersOf(process);
    if (timers > timersMax) oracle.violated('S-09', `${process.name} has ${timers} timers at rest`);
  }
  if ((main?.connections.size ?? 0) > nodes.length) oracle.violated('S-09', 'more links than workers');
}
