/** What happens to the world: crashes, cut wires, bad disks, clocks, and admins. */
import { cheapHash } from '#test/main-agent/login/rig.ts';
import { Secret } from '#shared/secret.ts';
import { randomId } from '#shared/random-id.ts';
import type { MainNode } from './main-node.ts';
import type { Held, Person } from './oracle.ts';
import { refusalOf } from './visits.ts';
import type { World } from './world.ts';

/** After that a name is not its old user's by itself (S-16). */
const graceMs = 10 * 60_000;

/** Of a script the world goes on meanwhile; what is `still` has the world's turns taken itself. */
export type Event = (world: World) => Promise<void> | void;

const crash: Event = async (world) => {
  world.met('main was killed');
  await world.killMain();
  if (world.machine.chance(1, 3)) await world.machine.pass(world.machine.random(5_000));
};

const cut: Event = (world) => {
  const { machine, wires } = world;
  const all = [...wires.values()].flat().filter((wire) => wire.isOpen);
  if (all.length === 0) return;
  machine.pick(all).cut('cut');
  world.met('a wire was cut');
};

const cutNode: Event = (world) => {
  const node = world.machine.pick(world.nodes);
  for (const wire of world.wires.get(node) ?? []) wire.cut('cut');
  world.met('all wires of a node were cut');
};

const hold: Event = (world) => {
  const silent = world.nodes.filter((one) => world.isUnreachable(one));
  const node = world.machine.pick(silent.length > 0 && world.machine.chance(3, 4) ? silent : world.nodes);
  const isHeld = world.isUnreachable(node);
  world.setReachable(node, isHeld);
  for (const wire of world.wires.get(node) ?? []) {
    if (isHeld) wire.resume();
    else wire.hold();
  }
  if (!isHeld) world.met('a node was cut off in silence');
};

const restartNode: Event = (world) => {
  const node = world.machine.pick(world.nodes);
  for (const held of world.held)
    if (held.node === node && held.protocol === 'sftp') {
      // Its connection is gone with the process: nobody can use it, and main ends it when it hears of the new one.
      held.deadSinceMs ??= Infinity;
      held.why = 'its connection is gone';
    }
  node.restart();
  world.setReachable(node, true);
  world.met('a node was killed');
};

const disks = ['state', 'files', 'audit', 'enrolments', 'users'] as const;

const breakDisk: Event = (world) => {
  const { machine } = world;
  const disk = machine.pick(disks);
  const code = machine.pick(['EIO', 'ENOSPC'] as const);
  // Files of users and enrolments are seldom written.
  const isBusy = disk !== 'users' && disk !== 'enrolments';
  world.faults.set(disk, { code, among: isBusy ? 1 + machine.random(4) : 1 });
  world.met(`${disk} failed with ${code}`);
};

const mendDisks = (world: World): void => world.faults.clear();

/** Jumps are noticed by main; each is looked at by an admin, who sets it right or says that it is. */
const jump: Event = (world) => {
  const { machine, main } = world;
  const process = machine.chance(1, 2) ? main?.process : machine.pick(world.nodes).process;
  if (process === undefined) return;
  const ms = machine.pick([-3_600_000, -90_000, -20_000, 20_000, 45_000, 90_000, 3_600_000]);
  process.turnClock(ms);
  machine.tell(`the clock of ${process.name} jumped by ${ms}`);
  world.met(`a clock jumped: ${process.name === 'main' ? 'main' : 'node'}`);
};

/** Too slow to be seen as a jump, in 1 of 2 cases also for what NTP may do. */
const creep: Event = (world) => {
  const { machine, main } = world;
  if (main === undefined) return;
  const ppm = machine.pick([-20_000, -400, 400, 20_000]);
  main.process.turnClock(0, 1 + ppm / 1_000_000);
  machine.tell(`the clock of main creeps by ${ppm} ppm`);
  world.met('a clock creeps');
};

/** The clock is set right, and an admin says so. */
const confirmClock: Event = async (world) => {
  const { main, machine } = world;
  if (main?.login === undefined || !main.isServing) return;
  const right = machine.startMs + machine.steadyMs;
  if (machine.chance(3, 4)) main.process.turnClock(right - main.process.clock.now(), 1);
  for (const node of world.nodes) node.process.turnClock(right - node.process.clock.now(), 1);
  await administer(world, 'confirm the clock', (login) => login.confirmClock(why));
  world.met('the clock was confirmed');
};

const why = { actor: 'socket:simulation', reason: 'because' };

type Admin = NonNullable<MainNode['login']>['admin'];

/** Resolves `undefined` where it failed or main died: then nobody knows. */
async function administer<T>(
  world: World,
  what: string,
  act: (admin: Admin) => Promise<T>,
): Promise<{ readonly value: T } | undefined> {
  const { main } = world;
  const login = main?.login;
  if (main === undefined || login === undefined || !main.isServing) return undefined;
  return new Promise((resolve) => {
    const forget = main.process.onDeath(() => resolve(undefined));
    main.process
      .run(() => act(login.admin))
      .then(
        (value) => resolve({ value }),
        (error: unknown) => {
          // The admin API says `internal` where a disk failed.
          const isDisk =
            error instanceof Error && 'code' in error && error.message.includes('played disk error');
          world.machine.tell(
            `admin: ${what}: ${isDisk ? String(error.code) : refusalOf(world, error, what)}`,
          );
          resolve(undefined);
        },
      )
      .finally(forget);
  });
}

function change(world: World, person: Person, edit: Parameters<typeof Object.assign>[1]): void {
  const user = world.users.get(person.name);
  if (user === undefined) return;
  const changed = { ...user, ...(edit as object), version: randomId() };
  const { main } = world;
  if (main === undefined) world.users.set(person.name, changed);
  else main.process.run(() => main.users.put(changed));
}

const shutOut: Event = (world) => {
  const { machine } = world;
  const able = world.people.filter(({ given }) => given === 'held');
  const shut = able.filter(({ shutSinceMs }) => shutSinceMs !== undefined);
  if (able.length === 0) return;
  const person = machine.pick(shut.length > 0 && machine.chance(2, 3) ? shut : able);
  const isShut = person.shutSinceMs !== undefined;
  change(world, person, { status: isShut ? 'active' : 'disabled' });
  person.shutSinceMs = isShut ? undefined : machine.steadyMs;
  person.shutSinceTurn = isShut ? undefined : machine.turns;
  machine.tell(`${person.name} is ${isShut ? 'let in again' : 'disabled'}`);
  if (!isShut) bury(world, (held) => held.person === person, 'its user was disabled', 1_000);
  world.met(isShut ? 'a user was enabled' : 'a user was disabled');
};

/** What is open now of that kind is dead from then on. */
function bury(world: World, which: (held: Held) => boolean, reason: string, inMs = 0): void {
  for (const held of world.held) {
    if (!which(held)) continue;
    held.deadSinceMs ??= world.machine.steadyMs + inMs;
    held.why = reason;
  }
}

const kill: Event = async (world) => {
  const open = world.held.filter((held) => world.oracle.whyDead(held) === undefined);
  if (open.length === 0) return;
  const held = world.machine.pick(open);
  const key = world.keyOf(held.admitted.view.session);
  const done = await administer(world, 'end a session', (admin) => admin.sessions.end(key, 'killed'));
  if (done === undefined || world.keyOf(held.admitted.view.session) !== key) return;
  held.deadSinceMs ??= world.machine.steadyMs;
  held.why = 'it was killed';
  world.met('a session was killed');
};

const killAll: Event = async (world) => {
  const person = world.machine.pick(world.people);
  const open = world.held
    .filter((held) => held.person === person)
    .map((held) => [held, held.admitted] as const);
  const done = await administer(world, 'end all sessions', (admin) =>
    admin.sessions.endAllOf(person.name, 'all of them'),
  );
  if (done === undefined) return;
  for (const [held, admitted] of open)
    if (held.admitted === admitted) bury(world, (one) => one === held, 'all were killed');
  world.met('all sessions of a user were killed');
};

/** What an admin does that forgets wrong codes, whether it is known to be done or not. */
async function clearing<T>({ machine }: World, person: Person, act: () => Promise<T>): Promise<T> {
  person.clearing += 1;
  const done = await act();
  person.clearing -= 1;
  person.wrongAnswered = 0;
  person.clearedAtTurn = machine.turns;
  return done;
}

const reset: Event = async (world) => {
  const person = world.machine.pick(world.people);
  const before = [...person.authenticators];
  const done = await clearing(world, person, () =>
    administer(world, 'reset', (admin) => admin.twoFactor.reset(person.name, why)),
  );
  if (done === undefined) return;
  for (const one of before) one.deadAtTurn ??= world.machine.turns;
  person.bypass = undefined;
  world.met('a factor was reset');
  world.machine.tell(`the factor of ${person.name} was reset`);
};

const unlock: Event = async (world) => {
  const person = world.machine.pick(world.people);
  const done = await clearing(world, person, () =>
    administer(world, 'unlock', (admin) => admin.twoFactor.unlock(person.name, why)),
  );
  if (done !== undefined) world.met('a factor was unlocked');
};

const bypass: Event = async (world) => {
  const person = world.machine.pick(world.people.filter(({ kind }) => kind !== 'plain'));
  // Until it is known whether it took the place of the one before, neither is counted on.
  person.bypass = undefined;
  const made = await administer(world, 'make a bypass code', (admin) =>
    admin.twoFactor.makeBypassCode(person.name, {
      ...why,
      ttlMs: 600_000,
      reEnrol: world.machine.chance(1, 3),
    }),
  );
  if (made === undefined) return;
  person.bypass = made.value.expose();
  world.met('a bypass code was made');
};

const newPassword: Event = (world) => {
  const { machine } = world;
  const person = machine.pick(world.people);
  if (person.given !== 'held' || !world.users.has(person.name)) return;
  const next = `right password ${machine.random(1_000_000)} of ${person.name}`;
  change(world, person, { passwordHash: new Secret(cheapHash(next)) });
  // One that its user is changing at this moment may win, which is later.
  const { passwords } = person;
  person.passwords = passwords.length === 1 ? [next] : [...passwords.slice(1), next];
  world.oracle.canaries.add(next);
  world.noteHash(person.name);
  if (passwords.length === 1)
    bury(
      world,
      (held) => held.person === person && held.credential !== 'key',
      'its password was changed',
      1_000,
    );
  world.met('an admin set a password');
};

const revoke: Event = async (world) => {
  const { machine, main } = world;
  const name = machine.pick(world.revoked.size > 0 ? [...world.revoked.keys(), 'dmz1'] : ['dmz1', 'dmz2']);
  if (main?.isServing !== true) return;
  if (world.revoked.has(name)) {
    const done = await administer(world, 'unrevoke', () => main.unrevoke(name));
    if (done === undefined) world.unsure.add(name);
    world.revoked.delete(name);
    world.met('a node was paired anew');
    return;
  }
  const done = await administer(world, 'revoke', async () => {
    if (world.lies.revokesNothing === true) await main.known.revoke(name, why);
    else await main.revoke(name);
  });
  if (done === undefined) {
    world.unsure.add(name);
    return;
  }
  world.unsure.delete(name);
  world.revoked.set(name, machine.steadyMs);
  bury(world, (held) => held.node.name === name, 'its node was revoked');
  world.met('a node was revoked');
  machine.tell(`${name} is revoked`);
};

/** A user goes; sometimes the name is given again, in time or too late, and then an admin says whose it is. */
const depart: Event = async (world) => {
  const { machine, main } = world;
  const able = world.people.filter(({ kind }) => kind === 'totp' || kind === 'keyed');
  const away = able.filter(({ given }) => given !== 'held');
  const person = machine.pick(away.length > 0 && machine.chance(3, 4) ? away : able);
  if (main?.isServing !== true) return;
  if (person.given === 'held') {
    if (
      person.shutSinceMs !== undefined ||
      !person.authenticators.some(({ isSure, deadAtTurn }) => isSure && deadAtTurn === undefined)
    )
      return;
    const user = world.users.get(person.name);
    if (user === undefined) return;
    world.gone.set(person.name, user);
    main.process.run(() => main.users.remove(person.name));
    Object.assign(person, {
      given: 'gone',
      givenSinceMs: machine.steadyMs,
      shutSinceMs: machine.steadyMs,
      shutSinceTurn: machine.turns,
    });
    bury(world, (held) => held.person === person, 'its user is gone', 1_000);
    world.met('a user went');
    return;
  }
  const user = world.gone.get(person.name);
  if (person.given === 'gone' && user !== undefined) {
    const isLate = machine.steadyMs > person.givenSinceMs + graceMs + 60_000;
    const isEarly = machine.steadyMs < person.givenSinceMs + graceMs - 60_000;
    if (!isLate && !isEarly) return;
    // A note that main could not write before it died begins anew with the next main's look.
    if (isLate && (await administer(world, 'look', async () => main.departures.settled())) === undefined)
      return;
    main.process.run(() => main.users.put({ ...user, version: randomId() }));
    const isUndecided = isLate && main.departures.findProblem(person.name) !== undefined;
    if (isLate && !isUndecided) world.met('a name came back late to a main that was younger');
    Object.assign(
      person,
      isUndecided
        ? { given: 'undecided', shutSinceTurn: machine.turns, shutSinceMs: undefined }
        : { given: 'held', shutSinceMs: undefined, shutSinceTurn: undefined },
    );
    world.met(isUndecided ? 'a name was given again too late' : 'a user was back in time');
    return;
  }
  if (person.given === 'undecided') {
    const isSame = machine.chance(1, 2);
    const before = [...person.authenticators];
    const done = await clearing(world, person, () =>
      administer(world, 'decide', async (admin) => {
        if (isSame) await admin.twoFactor.keep(person.name, why);
        else await admin.twoFactor.reset(person.name, why);
      }),
    );
    if (done === undefined) return;
    if (!isSame) for (const one of before) one.deadAtTurn ??= machine.turns;
    if (!isSame) person.bypass = undefined;
    Object.assign(person, { given: 'held', shutSinceTurn: undefined });
    world.met(isSame ? 'a name was kept' : 'a name was reset');
  }
};

const later: Event = async (world) => {
  const { machine } = world;
  const isLong = machine.chance(1, 8);
  await machine.pass(
    isLong ? machine.pick([5 * 60_000, 13 * 60_000]) : machine.pick([2_000, 10_000, 31_000, 31_000, 60_000]),
  );
  world.met('time passed');
};

/** What the world stands still for. */
export const stills: readonly (readonly [weight: number, name: string, event: Event])[] = [
  [5, 'crash', crash],
  [10, 'later', later],
];

const killVault: Event = (world) => {
  if (world.main?.isServing === true && world.main.vault.kill()) world.met('the vault was killed');
};

/** Each as often as its number, among all. */
export const weather: readonly (readonly [weight: number, name: string, event: Event])[] = [
  [8, 'cut', cut],
  [3, 'cut node', cutNode],
  [3, 'hold', hold],
  [2, 'restart node', restartNode],
  [4, 'kill vault', killVault],
  [4, 'break disk', breakDisk],
  [8, 'mend disks', mendDisks],
  [2, 'jump', jump],
  [1, 'creep', creep],
  [5, 'confirm clock', confirmClock],
  [3, 'shut out', shutOut],
  [4, 'kill', kill],
  [2, 'kill all', killAll],
  [1, 'reset', reset],
  [2, 'unlock', unlock],
  [3, 'bypass', bypass],
  [2, 'new password', newPassword],
  [2, 'revoke', revoke],
  [4, 'depart', depart],
];

/** Everything works again, and everybody is served. */
export async function calm(world: World): Promise<void> {
  const { machine } = world;
  mendDisks(world);
  for (const node of world.nodes) {
    world.setReachable(node, true);
    for (const wire of world.wires.get(node) ?? []) wire.resume();
  }
  for (let tries = 0; world.main?.isServing !== true && tries < 3; tries += 1) await world.startMain();
  void confirmClock(world);
  await machine.pass(2_000);
}
