/** What people do at the doors to get in, rightly or not, and what they do with their own accounts. */
import type { Admitted, FirstFactorPassed } from '#dmz/login/login-service.ts';
import { isSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import type { DmzNode } from './dmz-node.ts';
import {
  codeOf,
  decodeBase32,
  stepAt,
  type Authenticator,
  type Held,
  type Person,
  type Typed,
} from './oracle.ts';
import type { World } from './world.ts';

type Protocol = 'https' | 'sftp';

/** Of a login that may begin anywhere: what could be right. */
interface Place {
  readonly node: DmzNode;
  readonly protocol: Protocol;
}

/** Says what somebody was refused with; anything that is no answer of the product is a fault of it. */
export function refusalOf(world: World, error: unknown, during: string): string {
  if (isSallyportError(error)) {
    world.oracle.seeText(
      JSON.stringify([error.publicMessage, error.detail, error.hint]),
      `an error of ${during}`,
    );
    if (error.code === 'internal') world.met('answered: internal');
    return error.code;
  }
  world.oracle.violated(
    'answers',
    `${during} ended with ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
  );
  return 'unknown';
}

/** What a phone shows: phones know the time. */
function phoneStep(world: World): number {
  return stepAt(world.machine.startMs + world.machine.steadyMs);
}

function authenticatorOf(person: Person): Authenticator | undefined {
  return person.authenticators.findLast((one) => one.deadAtTurn === undefined);
}

type Plan = 'right' | 'wrong' | 'used' | 'early' | 'recovery' | 'bypass' | 'foreign' | 'dead';

function planCode(world: World, person: Person): Plan {
  const { machine } = world;
  if (person.authenticators.some((one) => one.deadAtTurn !== undefined) && machine.chance(1, 2))
    return 'dead';
  if (machine.chance(5, 8)) return 'right';
  return machine.pick([
    'wrong',
    'used',
    'early',
    'recovery',
    'recovery',
    'bypass',
    'bypass',
    'bypass',
    'foreign',
  ]);
}

/** Undefined: there is none of that kind. */
function codeFor(world: World, person: Person, plan: Plan): string | undefined {
  const { machine, mailbox } = world;
  const own = authenticatorOf(person);
  switch (plan) {
    case 'right':
      return own === undefined ? mailbox.get(person.email)?.at(-1) : codeOf(own.secret, phoneStep(world));
    case 'wrong':
      return String(machine.random(1_000_000)).padStart(6, '0');
    case 'used':
      return person.usedCodes.length === 0 ? undefined : machine.pick(person.usedCodes.slice(-2));
    case 'early':
      return own === undefined ? undefined : codeOf(own.secret, phoneStep(world) + 2);
    case 'recovery':
      return own === undefined || own.recovery.size === 0 ? undefined : machine.pick([...own.recovery]);
    case 'bypass':
      return person.bypass;
    case 'foreign': {
      const other = authenticatorOf(machine.pick(world.people));
      return other === undefined ? undefined : codeOf(other.secret, phoneStep(world));
    }
    case 'dead': {
      const dead = person.authenticators.find((one) => one.deadAtTurn !== undefined);
      return dead === undefined ? undefined : codeOf(dead.secret, phoneStep(world));
    }
  }
}

/** From the first factor to a session, or not. */
export async function signIn(
  world: World,
  person: Person,
  place: Place,
  firstPlan?: Plan,
): Promise<Held | undefined> {
  const { machine, oracle } = world;
  const { node, protocol } = place;
  const what = `${person.name} on ${node.label} over ${protocol}`;
  const begunAtTurn = machine.turns;
  const begunAtMs = machine.steadyMs;
  const withKey = person.kind === 'keyed' && protocol === 'sftp' && machine.chance(1, 2);
  const isWrong = machine.chance(1, 10);
  const isReplay = withKey && !isWrong && person.usedRequests.length > 0 && machine.chance(1, 2);
  if (isReplay) world.met('a signature was replayed');
  const request = withKey
    ? isReplay
      ? machine.pick(person.usedRequests)
      : person.key.signRequest(person.name)
    : undefined;
  const candidates = [...person.passwords];
  const password = isWrong ? `wrong password ${machine.random(100)}` : machine.pick(candidates);
  let passed: FirstFactorPassed;
  try {
    passed = await node.ask(() =>
      node.doors.begin({
        user: person.name,
        protocol,
        listener: protocol,
        client: { ip: '203.0.113.9', port: 50_000 + machine.random(1000), agent: 'simulated client' },
        factor: request ?? { type: 'password', password },
      }),
    );
  } catch (error) {
    const code = refusalOf(world, error, `a login of ${what}`);
    machine.tell(`${what}: first factor ${isWrong ? 'wrong' : isReplay ? 'replayed' : 'right'}, ${code}`);
    world.met(`first factor refused: ${code}`);
    return undefined;
  }
  if (isWrong && request === undefined) oracle.violated('S-01', `${what} passed with a wrong password`);
  if (request !== undefined) {
    world.met('a key was accepted');
    oracle.spend(`signature ${request.signature.slice(-16)} of ${person.name}`, what);
    person.usedRequests.push(request);
  }
  const { view } = passed;
  machine.tell(`${what}: first factor passed, next ${view.next}`);
  const credential = request === undefined ? password : 'key';
  const hold = (admitted: Admitted): Held => {
    if (person.passwords.includes(password) && request === undefined) person.passwords = [password];
    const held: Held = {
      number: world.held.length + 1,
      person,
      node,
      process: node.process,
      protocol,
      admitted,
      credential,
      deadSinceMs: undefined,
      why: '',
      isBusy: false,
      unsure: new Set(),
    };
    oracle.admitted(held, admitted.view.method, begunAtTurn, begunAtMs);
    machine.tell(`${what}: admitted by ${admitted.view.method}`);
    world.held.push(held);
    return held;
  };
  try {
    if (view.next === 'admit' || view.next === 'setup') {
      if (view.next === 'admit' && person.kind !== 'plain')
        oracle.violated('S-01', `${what} is asked for no code`);
      return hold(await node.ask(() => passed.admit()));
    }
    if (view.next === 'instruct') {
      await node.ask(() => passed.cancel());
      return undefined;
    }
    const admitted = await answerCodes(world, person, node, passed, what, firstPlan);
    return admitted === undefined ? undefined : hold(admitted);
  } catch (error) {
    const code = refusalOf(world, error, `a login of ${what}`);
    machine.tell(`${what}: ${code}`);
    world.met(`login refused: ${code}`);
    return undefined;
  }
}

/** Up to three answers, as a person gives. */
async function answerCodes(
  world: World,
  person: Person,
  node: DmzNode,
  passed: FirstFactorPassed,
  what: string,
  firstPlan: Plan | undefined,
): Promise<Admitted | undefined> {
  const { machine, oracle } = world;
  if (passed.view.asked?.method === 'email' && machine.chance(1, 8))
    await node.ask(() => passed.resend()).catch((error: unknown) => refusalOf(world, error, 'a resend'));
  for (let tries = 0; tries < 3; tries += 1) {
    const plan = tries === 0 && firstPlan !== undefined ? firstPlan : planCode(world, person);
    const code = codeFor(world, person, plan);
    if (code === undefined) continue;
    world.met(`code sent: ${plan}`);
    const sent = oracle.send(person, code);
    const answer = await node
      .ask(() => passed.answer(new Secret(code)))
      .catch((error: unknown) => {
        oracle.answer(sent, undefined);
        throw error;
      });
    if (answer.outcome === 'admitted') {
      oracle.answer(sent, 'right');
      oracle.acceptCode(sent, answer.view.method, what);
      return answer;
    }
    machine.tell(`${what}: a ${plan} code: ${answer.reason}`);
    // What has not the shape of a code never leaves the node.
    const isUncounted = answer.reference === undefined || answer.reason === 'used-code';
    oracle.answer(sent, isUncounted ? 'used' : 'wrong');
    world.met(`code refused: ${answer.reason}`);
  }
  await node.ask(() => passed.cancel());
  return undefined;
}

/** The same code for two logins of one person, at once and on two nodes. */
export async function raceCode(world: World, person: Person): Promise<void> {
  const [one, other] = [world.machine.pick(world.nodes), world.machine.pick(world.nodes)];
  world.met('one code raced');
  await Promise.all([
    signIn(world, person, { node: one, protocol: 'https' }),
    signIn(world, person, { node: other, protocol: 'sftp' }),
  ]);
}

/** Who has just got in, or does not know it, shows the same once more. */
export async function replay(world: World): Promise<void> {
  const { machine } = world;
  const able = world.people.filter(({ usedAtMs }) => usedAtMs > machine.steadyMs - 60_000);
  const joined = world.nodes.filter(({ client }) => client.isUp);
  const [latest] = able.toSorted((one, other) => other.usedAtMs - one.usedAtMs);
  if (latest === undefined || joined.length === 0) return;
  world.met('a code was replayed');
  const place = { node: machine.pick(joined), protocol: machine.pick(['https', 'sftp'] as const) };
  await signIn(world, machine.chance(2, 3) ? latest : machine.pick(able), place, 'used');
}

/** Sets an authenticator up, where the session may. */
export async function enrol(world: World, held: Held): Promise<void> {
  const { machine, oracle } = world;
  const { person, node } = held;
  const what = `set-up of ${person.name} on ${node.label}`;
  const why = oracle.whyDead(held);
  const { enrolment } = held.admitted;
  const started = await node.ask(() => enrolment.start(), held.process);
  const secret = decodeBase32(started.secret);
  await node.ask(() => enrolment.confirm(), held.process);
  for (let tries = 0; tries < 2; tries += 1) {
    const isWrong = machine.chance(1, 5);
    const code = isWrong ? '000000' : codeOf(secret, phoneStep(world));
    const made: Authenticator = { secret, isSure: false, deadAtTurn: undefined, recovery: new Set() };
    person.authenticators.push(made);
    // Wrong proofs of a set-up are counted with the set-up.
    const sent: Typed = {
      person,
      code,
      sentAtTurn: machine.turns,
      sentAtMs: world.mainNow(),
      answeredAtTurn: undefined,
    };
    const answer = await node.ask(() => enrolment.prove(new Secret(code)), held.process);
    if (answer.outcome === 'again') {
      person.authenticators = person.authenticators.filter((one) => one !== made);
      continue;
    }
    for (const one of answer.recoveryCodes) made.recovery.add(one);
    oracle.succeeded(held, why, 'a set-up');
    oracle.acceptCode(sent, 'totp', what);
    made.isSure = true;
    // It has been shown, and from now on it is nobody's to see.
    oracle.canaries.add(started.secret);
    oracle.canaries.add(secret.toString('hex'));
    held.admitted = answer.admitted;
    oracle.admitted(held, 'totp', machine.turns, machine.steadyMs);
    world.met('enrolled');
    machine.tell(`${what}: done`);
    return;
  }
}

/** Another password, or new recovery codes, with all that has to be shown for it. */
export async function changeAccount(world: World, held: Held): Promise<void> {
  const { machine, oracle } = world;
  const { person, node } = held;
  const own = authenticatorOf(person);
  const current = machine.chance(1, 6) ? 'not the password' : machine.pick(person.passwords);
  const code =
    own === undefined ? undefined : codeFor(world, person, machine.chance(3, 4) ? 'right' : 'used');
  const isPassword = own === undefined || machine.chance(1, 2);
  const next = `right password ${machine.random(1_000_000)} of ${person.name}`;
  const why = oracle.whyDead(held);
  const change = isPassword
    ? ({ kind: 'password', value: next } as const)
    : ({ kind: 'recovery-codes' } as const);
  if (isPassword) {
    person.passwords.push(next);
    oracle.canaries.add(next);
  }
  const sent = code === undefined ? undefined : oracle.send(person, code);
  const unset = (): void => {
    if (isPassword) person.passwords = person.passwords.filter((one) => one !== next);
  };
  const proof = { current: new Secret(current), code: code === undefined ? undefined : new Secret(code) };
  const answer = await node
    .ask(() => held.admitted.selfService.change(change, proof), held.process)
    .catch((error: unknown) => {
      if (sent !== undefined) oracle.answer(sent, undefined);
      throw error;
    });
  if (answer.outcome === 'again') {
    machine.tell(`${person.name} changes: ${answer.reason}`);
    // What has not the shape of a code that may be shown never leaves the node.
    const isWrong = answer.reason === 'wrong-code' || answer.reason === 'clock-drift';
    const isCounted = isWrong && /^\d{6}$/.test(sent?.code ?? '');
    if (sent !== undefined) oracle.answer(sent, isCounted ? 'wrong' : 'used');
    unset();
    return;
  }
  if (sent !== undefined) oracle.answer(sent, 'right');
  oracle.succeeded(held, why, 'a change of the account');
  if (current === 'not the password')
    oracle.violated('S-01', `${person.name} changed an account with a wrong password`);
  if (sent !== undefined) {
    const isRecovery = own?.recovery.has(sent.code) === true;
    oracle.acceptCode(sent, isRecovery ? 'recovery' : 'totp', `changing on ${node.label}`);
  }
  if (isPassword) person.passwords = [next];
  world.noteHash(person.name);
  if (own !== undefined && !isPassword) {
    own.recovery.clear();
    for (const one of answer.recoveryCodes ?? []) own.recovery.add(one);
  }
  held.admitted = answer.admitted;
  world.met(`changed: ${change.kind}`);
  machine.tell(`${person.name} changed ${change.kind}`);
}

/** Signs out: dead before it is answered. */
export async function signOut(world: World, held: Held): Promise<void> {
  await held.node.ask(() => held.admitted.end(), held.process);
  held.deadSinceMs = world.machine.steadyMs;
  held.why = 'signed out';
  world.met('signed out');
}

/** A page that is asked of any worker of its node, whose memory may be younger than the session. */
export async function attach(world: World, held: Held): Promise<void> {
  const { machine, oracle } = world;
  const node = machine.pick(world.nodes.filter(({ name }) => name === held.node.name));
  const why = oracle.whyDead(held);
  const client = { ip: '203.0.113.9', port: 50_000, agent: 'simulated client' };
  const { process } = node;
  const admitted = await node.ask(() => node.doors.attach(held.admitted.view.session, client));
  oracle.succeeded(held, why, 'an attach');
  Object.assign(held, { node, process, admitted });
  world.met('a session was attached');
}
