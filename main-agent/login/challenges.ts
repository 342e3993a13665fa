import type { NodeLink } from '#main-agent/link/handlers.ts';
import { KeyLock } from '#main-agent/turns.ts';
import type { Recipient } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { householdOf } from '#shared/networks.ts';
import type { ClientAddress, Params } from '#shared/link/messages.ts';
import type { Protocol } from '#shared/login.ts';
import { randomId } from '#shared/random-id.ts';
import type { Secret } from '#shared/secret.ts';
import { challengePortsMax, challengesMax, challengesPerUserMax, sealedPerNodeMax } from './limits.ts';
import type { Change } from '#main-agent/state/state-store.ts';
import type { Ask, Waiver } from './policy.ts';
import { SealedRoom } from './sealed-room.ts';

/** Who answers, and how often they still may: a login's challenge, or a step-up. */
export type CodeAttempt = Pick<
  Challenge,
  'id' | 'username' | 'node' | 'protocol' | 'clientIp' | 'agent' | 'attemptsLeft' | 'drift'
>;

/**
 * Logins between a right first factor and their end. The record is what decisions read, never a claim that repeats
 * it. In memory only: a restart of main ends every login that is under way (S-14).
 */
export interface Challenge {
  readonly id: string;
  readonly nonce: string;
  /** The pinned identity that began it; no other node may use it. */
  readonly node: string;
  readonly username: string;
  /** What the node calls its user: as typed, where it may not know yet whether that is anybody. */
  readonly shownName: string;
  readonly factor: 'pwd' | 'key';
  /** Key fingerprint, or `password:<version>`. */
  readonly credential: string;
  readonly protocol: Protocol;
  readonly listener: string;
  readonly clientIp: string;
  /** The source that its address is one of. */
  readonly household: string;
  readonly agent: string;
  /** A browser's second step may come over another of its connections. */
  readonly clientPorts: Set<number>;
  readonly next: ChallengeNext;
  /** The code that came inside the password (`sftp_password_with_code`). */
  readonly enclosedCode: Secret | undefined;
  /** Undoes what its begin counted as a failure: part of its admission. */
  readonly takeBack: readonly Change[];
  /** When its first factor came; monotonic. */
  readonly beganAtMs: number;
  expiresAtMs: number;
  readonly startedAtMs: number;
  attemptsLeft: number;
  /** The drifted answer before this one, if the last one was. */
  drift: { readonly steps: number; readonly code: Secret } | undefined;
}

/** What is due, once that is known. */
export type DueNext =
  | { readonly kind: 'admit'; readonly waiver: WaiverUse | undefined }
  | {
      readonly kind: 'code';
      readonly ask: Ask;
      readonly leadsTo: 'admit' | 'setup';
      /** Of a delivered code. */
      readonly recipient: Recipient | undefined;
      readonly recovery: boolean;
    }
  | { readonly kind: 'setup' }
  | { readonly kind: 'instruct' };

export type ChallengeNext =
  | DueNext
  /** A code is asked of everybody; what this login really is, the node learns with its end. */
  | {
      readonly kind: 'sealed';
      /** Never rejects: what went wrong is a verdict, too. */
      readonly verdict: Promise<SealedVerdict>;
      /** When another code may be asked for, by whoever it is; monotonic. */
      resendAtMs: number;
    };

/** What main found behind a sealed login's first factor. */
export type SealedVerdict = { readonly isBait: boolean } & (
  | {
      readonly kind: 'refused';
      readonly rule: string;
      readonly reference: string;
      /** It was not looked at to the end, for a reason that is ours. */
      readonly isFault: boolean;
    }
  | ({ readonly kind: 'passed'; readonly next: DueNext } & Pick<
      Challenge,
      'username' | 'credential' | 'enclosedCode'
    >)
);

export type WaiverUse =
  | { readonly kind: 'trusted-network'; readonly cidr: string }
  | { readonly kind: 'lease'; readonly lease: string }
  | { readonly kind: 'device'; readonly device: string; readonly valueHash: string };

/** Of a challenge, what its begin says: where and from where somebody signs in. */
export function factsOfBegin(
  { client, listener, protocol }: Params<'login.begin'>,
  { node }: Pick<NodeLink, 'node'>,
) {
  return {
    node,
    protocol,
    listener,
    clientIp: client.ip,
    clientPort: client.port,
    agent: client.agent,
  };
}

export function waiverName(use: WaiverUse): Waiver {
  return use.kind;
}

export class Challenges {
  readonly #clock: Clock;
  readonly #records = new Map<string, Challenge>();
  readonly #sealed = new SealedRoom<Challenge>();
  readonly #turns = new KeyLock();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  open(
    facts: Omit<
      Challenge,
      'id' | 'nonce' | 'startedAtMs' | 'expiresAtMs' | 'clientPorts' | 'drift' | 'household'
    > & {
      readonly lifeMs: number;
      readonly clientPort: number;
    },
  ): Challenge {
    if (facts.next.kind === 'sealed') this.#makeSealedRoom(facts);
    else this.#makeRoom(this.#ownOf(facts.username));
    const { lifeMs, clientPort, ...rest } = facts;
    const startedAtMs = this.#clock.monotonic();
    const record: Challenge = {
      ...rest,
      id: randomId(),
      nonce: randomId(),
      household: householdOf(rest.clientIp),
      clientPorts: new Set([clientPort]),
      startedAtMs,
      expiresAtMs: startedAtMs + lifeMs,
      drift: undefined,
    };
    this.#records.set(record.id, record);
    if (record.next.kind === 'sealed') this.#sealed.add(record);
    return record;
  }

  /** The living one of that id, if this node began it. Rejects `challenge-gone`, whatever the reason. */
  require(id: string, node: string): Challenge {
    const record = this.#records.get(id);
    if (record !== undefined && record.node === node) {
      if (this.#clock.monotonic() < record.expiresAtMs) return record;
      this.#delete(record);
    }
    throw new SallyportError('challenge-gone', 'This sign-in is over; start again');
  }

  /** The same client again, over another worker or connection of the node. */
  resume(id: string, node: string, client: ClientAddress): Challenge {
    const record = this.require(id, node);
    if (record.clientIp !== client.ip || record.agent !== client.agent) {
      throw new SallyportError('challenge-gone', 'This sign-in is over; start again', {
        detail: `begun from ${record.clientIp}, resumed from ${client.ip}`,
      });
    }
    record.clientPorts.delete(client.port);
    record.clientPorts.add(client.port);
    for (const oldest of record.clientPorts) {
      if (record.clientPorts.size <= challengePortsMax) break;
      record.clientPorts.delete(oldest);
    }
    return record;
  }

  /** How many are alive, of `challengesMax`. */
  get size(): number {
    return this.#records.size;
  }

  /** Answers to one challenge take turns, so that attempts are counted and the winner is one. */
  inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(id, work);
  }

  leftMs(record: Challenge): number {
    return Math.max(0, record.expiresAtMs - this.#clock.monotonic());
  }

  end(id: string): void {
    this.#delete(this.#records.get(id));
  }

  endAllOf(username: string): void {
    for (const record of this.#records.values()) if (record.username === username) this.#delete(record);
  }

  endWhere(matches: (record: Challenge) => boolean): void {
    for (const record of this.#records.values()) if (matches(record)) this.#delete(record);
  }

  /**
   * Whoever opens a sealed one has proven nothing: tries from elsewhere may not push out a user's own, nor one node's
   * those of another.
   */
  #makeSealedRoom({ clientIp, node, username }: Pick<Challenge, 'username' | 'clientIp' | 'node'>): void {
    if (this.#sealed.countOf(node) >= sealedPerNodeMax) this.#delete(this.#sealed.oldestOfLargest(node));
    const fromThere = this.#sealed.from({ node, household: householdOf(clientIp) });
    this.#makeRoom(fromThere.filter((one) => one.username === username && one.clientIp === clientIp));
  }

  /** The user's own oldest goes first: nobody pushes somebody else out before the whole is full. */
  #makeRoom(ownOnes: Iterable<Challenge>): void {
    const own = [...ownOnes];
    if (this.#records.size >= challengesMax) this.#dropExpired();
    if (own.length >= challengesPerUserMax) this.#delete(own[0]);
    if (this.#records.size < challengesMax) return;
    throw new SallyportError('busy', 'Too many sign-ins at the moment; try again', {
      data: { retryAfterMs: 5_000 },
    });
  }

  *#ownOf(username: string): Generator<Challenge> {
    for (const record of this.#records.values()) if (record.username === username) yield record;
  }

  #dropExpired(): void {
    const now = this.#clock.monotonic();
    for (const record of this.#records.values()) if (record.expiresAtMs <= now) this.#delete(record);
  }

  #delete(record: Challenge | undefined): void {
    if (record === undefined) return;
    this.#records.delete(record.id);
    this.#sealed.delete(record);
  }
}
