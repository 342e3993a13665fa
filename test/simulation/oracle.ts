/**
 * What must be true, as a small model of its own that shares no code with the product: it knows what people typed and
 * what they were answered, and says at once when an answer could not have been.
 *
 * The words are those of SECURITY.md: each check names its invariant.
 */
import { createHmac } from 'node:crypto';
import type { Admitted } from '#dmz/login/login-service.ts';
import type { playSshKey } from '#test/main-agent/login/rig.ts';
import type { DmzNode } from './dmz-node.ts';
import type { Process } from './machine.ts';
import type { World } from './world.ts';

/** RFC 6238 with SHA-1, 30 s and six digits, written from the text. */
export function codeOf(secret: Buffer, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const at = (mac.at(-1) ?? 0) & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

export function decodeBase32(text: string): Buffer {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let bits = '';
  for (const letter of text.replaceAll('=', ''))
    bits += alphabet.indexOf(letter).toString(2).padStart(5, '0');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
}

export type Kind = 'plain' | 'totp' | 'mail' | 'keyed';

/** What an authenticator holds, and from when on it must open nothing any more. */
export interface Authenticator {
  readonly secret: Buffer;
  /** Set up for sure; else its set-up was never answered. */
  isSure: boolean;
  deadAtTurn: number | undefined;
  readonly recovery: Set<string>;
}

export interface Person {
  readonly name: string;
  readonly kind: Kind;
  readonly email: string;
  readonly key: ReturnType<typeof playSshKey>;
  /** Those that may be right: more than one while a change was not answered. */
  passwords: string[];
  authenticators: Authenticator[];
  bypass: string | undefined;
  /** When it was shut out, on the steady clock; undefined: it is not. */
  shutSinceMs: number | undefined;
  shutSinceTurn: number | undefined;
  /** The name is gone, or came back too late and nobody has said whose it is. */
  given: 'held' | 'gone' | 'undecided';
  givenSinceMs: number;
  readonly usedRequests: ReturnType<ReturnType<typeof playSshKey>['signRequest']>[];
  /** Codes that opened something, and when the last of them did. */
  readonly usedCodes: string[];
  usedAtMs: number;
  /** Codes that may be counted as wrong: not answered before a later right one was sent. */
  mayCount: Typed[];
  /** Answered as wrong since anything that may have cleared them. */
  wrongAnswered: number;
  /** What is under way and may clear them, and until when main may be about what it never answered. */
  clearing: number;
  unclearUntilMs: number;
  /** When they were cleared last: what was sent before may have been counted before. */
  clearedAtTurn: number;
  /** By name: what it may hold; undefined is no file. */
  readonly files: Map<string, { may: (string | undefined)[]; isBusy: boolean }>;
  limitBytes: number | undefined;
}

/** A session that somebody holds. */
export interface Held {
  readonly number: number;
  readonly person: Person;
  node: DmzNode;
  /** The process of the node that `admitted` is of. */
  process: Process;
  readonly protocol: 'https' | 'sftp';
  admitted: Admitted;
  readonly credential: string;
  /** It must be dead, for what begins after this. */
  deadSinceMs: number | undefined;
  why: string;
  isBusy: boolean;
  /** Files of which it may still have an upload open. */
  readonly unsure: Set<string>;
}

export interface Typed {
  readonly person: Person;
  readonly code: string;
  readonly sentAtTurn: number;
  /** Main's clock when it was sent. */
  readonly sentAtMs: number;
  /** Undefined: main may still be about it. */
  answeredAtTurn: number | undefined;
}

export class Oracle {
  readonly #world: World;
  readonly violations: string[] = [];
  readonly #spent = new Set<string>();
  readonly canaries = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  violated(invariant: string, what: string): void {
    this.#world.machine.tell(`VIOLATED ${invariant}: ${what}`);
    if (this.violations.length < 20) this.violations.push(`${invariant}: ${what}`);
  }

  /** S-03. */
  spend(evidence: string, where: string): void {
    if (this.#spent.has(evidence)) this.violated('S-03', `${evidence} was accepted twice, now ${where}`);
    this.#spent.add(evidence);
  }

  /** S-01, S-03, S-16: this code was accepted as that; could it have been? */
  acceptCode(typed: Typed, method: string, where: string): void {
    const { person, code } = typed;
    this.#requireHeld(typed, where);
    if (method === 'totp') {
      this.#acceptTotp(typed, where);
    } else if (method === 'recovery') {
      const owner = person.authenticators.find((one) => isGood(one, typed) && one.recovery.has(code));
      if (owner === undefined)
        this.violated('S-01', `${person.name} got in ${where} by a recovery code that is none`);
      this.spend(`recovery code ${code} of ${person.name}`, where);
    } else if (method === 'bypass') {
      if (person.bypass !== code)
        this.violated('S-01', `${person.name} got in ${where} by a bypass code that is none`);
      this.spend(`bypass code ${code} of ${person.name}`, where);
    } else if (method === 'email') {
      const letters = this.#world.mailbox.get(person.email) ?? [];
      const unspent = letters.findIndex((one, at) => one === code && !this.#spent.has(mailed(person, at)));
      if (!letters.includes(code))
        this.violated('S-01', `${person.name} got in ${where} by a code nobody mailed`);
      else if (unspent < 0) this.spend(mailed(person, letters.indexOf(code)), where);
      else this.spend(mailed(person, unspent), where);
    } else this.violated('S-01', `a code was accepted as ${method} ${where}`);
    person.usedCodes.push(code);
    person.usedAtMs = this.#world.machine.steadyMs;
    if (method !== 'bypass')
      person.mayCount = person.mayCount.filter(
        ({ answeredAtTurn }) => answeredAtTurn === undefined || answeredAtTurn > typed.sentAtTurn,
      );
    this.#world.met(`accepted: ${method}`);
  }

  #acceptTotp(typed: Typed, where: string): void {
    const { person, code } = typed;
    const [from, to] = [typed.sentAtMs, this.#world.mainNow()].toSorted((one, other) => one - other);
    const steps: number[] = [];
    for (let step = stepAt(from ?? 0) - 1; step <= stepAt(to ?? 0) + 1; step += 1) steps.push(step);
    const able = person.authenticators.filter((one) => isGood(one, typed));
    const found = able.flatMap((one) =>
      steps.flatMap((step) => (codeOf(one.secret, step) === code ? [{ one, step }] : [])),
    );
    const first = found.find(({ one, step }) => !this.#spent.has(stepName(person, one, step))) ?? found[0];
    if (first === undefined) {
      this.violated('S-01', `${person.name} got in ${where} by ${code}, which is no code of theirs then`);
      return;
    }
    first.one.isSure = true;
    this.spend(stepName(person, first.one, first.step), where);
  }

  /** S-16: a name that came back opens nothing with what the one before had. */
  #requireHeld({ person, sentAtTurn }: Typed, where: string): void {
    if (person.given === 'undecided' && sentAtTurn > (person.shutSinceTurn ?? Infinity))
      this.violated('S-16', `${person.name}, given again, got in ${where} by what the one before had`);
  }

  /** S-01, S-14: somebody is in. */
  admitted(held: Held, method: string, begunAtTurn: number, begunAtMs: number): void {
    const { person, admitted, node } = held;
    const { view } = admitted;
    const where = `on ${node.label} over ${held.protocol}`;
    if (view.username !== person.name)
      this.violated('S-04', `${person.name} became ${view.username} ${where}`);
    const isFull = view.state === 'signed-in';
    if (method === 'none' && isFull && person.kind !== 'plain')
      this.violated('S-01', `${person.name} got in ${where} without a second factor`);
    if (
      person.shutSinceTurn !== undefined &&
      begunAtTurn > person.shutSinceTurn &&
      person.given !== 'undecided'
    )
      this.violated('S-14', `${person.name} got in ${where} while shut out`);
    const revoked = this.#world.revoked.get(node.name);
    if (revoked !== undefined && begunAtMs > revoked)
      this.violated('S-14', `${person.name} got in through ${node.name}, which is revoked`);
    const key = this.#world.keyOf(view.session);
    const isWritten = this.#world.disk.records.some(
      ({ event, sessionKey }) =>
        (event === 'login.admitted' || event === 'two-factor.enrolled') && sessionKey === key,
    );
    if (!isWritten)
      this.violated('S-14', `${person.name} was told to be in ${where}, and no durable record says so`);
    this.#world.met(`admitted: ${method}${isFull ? '' : ', to set up'}`);
  }

  /** Why nothing of this session may succeed any more, as of now. */
  whyDead(held: Held): string | undefined {
    const { steadyMs } = this.#world.machine;
    const { person, node } = held;
    if (steadyMs >= (held.deadSinceMs ?? Infinity)) return held.why;
    // A change of the user files reaches live sessions within a second.
    if (person.shutSinceMs !== undefined && steadyMs > person.shutSinceMs + 1_000)
      return 'its user is shut out';
    if (this.#world.revoked.has(node.name)) return 'its node is revoked';
    return undefined;
  }

  /** S-04, S-14: something succeeded that began when `whyDead` said this. */
  succeeded(held: Held, whyDead: string | undefined, what: string): void {
    if (whyDead === undefined) return;
    this.violated(
      'S-14',
      `${what} of ${held.person.name}, session ${held.number}, succeeded after: ${whyDead}`,
    );
  }

  /** A code goes to main; whatever it is not answered as, it may be counted as wrong. */
  send(person: Person, code: string): Typed {
    const { machine } = this.#world;
    const typed = {
      person,
      code,
      sentAtTurn: machine.turns,
      sentAtMs: this.#world.mainNow(),
      answeredAtTurn: undefined,
    };
    person.mayCount.push(typed);
    person.clearing += 1;
    return typed;
  }

  /** Main has said what it is; undefined: it has not. */
  answer(typed: Typed, answer: 'right' | 'wrong' | 'used' | undefined): void {
    const { person } = typed;
    person.clearing -= 1;
    if (answer !== undefined) typed.answeredAtTurn = this.#world.machine.turns;
    if (answer === 'used') person.mayCount = person.mayCount.filter((one) => one !== typed);
    const { steadyMs } = this.#world.machine;
    if (answer === undefined) person.unclearUntilMs = steadyMs + unansweredMs;
    if (answer === 'wrong') {
      const isSure = steadyMs > person.unclearUntilMs && typed.sentAtTurn > person.clearedAtTurn;
      if (isSure) person.wrongAnswered += 1;
    } else if (answer !== 'used') {
      person.wrongAnswered = 0;
      person.clearedAtTurn = this.#world.machine.turns;
    }
    if (answer === 'wrong' || answer === 'used') this.checkFailures(person);
  }

  /** S-13, right after main has answered a code of this person as wrong. */
  checkFailures(person: Person): void {
    const { inARow } = this.#world.disk.queries.failures({
      scope: `code:${person.name}`,
      nowMs: this.#world.mainNow(),
    });
    const { length } = person.mayCount;
    if (inARow > length)
      this.violated('S-13', `${inARow} wrong codes are counted of ${person.name}, who sent ${length}`);
    if (inARow < person.wrongAnswered && person.clearing === 0)
      this.violated(
        'S-13',
        `${inARow} wrong codes are counted of ${person.name}, of ${person.wrongAnswered} answered`,
      );
  }

  /** S-02: what main sends. */
  seeFrame(bytes: Buffer): void {
    const text = bytes.toString('latin1');
    for (const canary of this.canaries)
      if (text.includes(canary)) this.violated('S-02', `a secret was sent to a node: ${text.slice(0, 80)}`);
  }

  /** S-11. */
  seeText(text: string, where: string): void {
    for (const canary of this.canaries)
      if (text.includes(canary)) this.violated('S-11', `a secret stands in ${where}: ${text.slice(0, 200)}`);
  }
}

/** For as long main may be about a code whose asker has heard nothing of it. */
const unansweredMs = 30_000;

function isGood(one: Authenticator, typed: Typed): boolean {
  return one.deadAtTurn === undefined || one.deadAtTurn > typed.sentAtTurn;
}

function mailed(person: Person, at: number): string {
  return `mailed code ${at} of ${person.name}`;
}

function stepName(person: Person, { secret }: Authenticator, step: number): string {
  return `time step ${step} of ${person.name}'s ${secret.toString('hex').slice(0, 6)}`;
}

export function stepAt(ms: number): number {
  return Math.floor(ms / 30_000);
}
