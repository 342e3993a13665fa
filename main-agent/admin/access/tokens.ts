import type { StoredToken } from '#main-agent/state/kept-records.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import { isExpired, type EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';
import { type AdminRole, lowerRole, roleCovers, type Caller } from '#main-agent/administrator.ts';
import { hashToken, makeToken } from './token-text.ts';
import { tokensMax, tokenTouchMs } from './limits.ts';

/**
 * Bearer tokens of the admin API (D-38). A token belongs to a person or to a named service; it never does more than the
 * person's `admin_role` says now, so that disabling the person ends its use at once.
 */

export interface NewToken {
  readonly owner: StoredToken['owner'];
  readonly role: AdminRole;
  readonly groups?: readonly string[];
  readonly note: string;
  readonly lifeMs: number;
  readonly createdBy: string;
}

type TokenVerdict =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly why: string; readonly id?: string };

export class Tokens {
  readonly #state: Pick<StateStore, 'commit' | 'read'>;
  readonly #findUser: (username: string) => EffectiveUser | undefined;
  readonly #departures: Pick<Departures, 'findProblem' | 'formerUntilMs'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #byHash = new Map<string, StoredToken>();

  constructor(dependencies: {
    readonly state: Pick<StateStore, 'commit' | 'read'>;
    readonly findUser: (username: string) => EffectiveUser | undefined;
    /** Whether a person's name, and a token made for it, are still that person's. */
    readonly departures: Pick<Departures, 'findProblem' | 'formerUntilMs'>;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#state = dependencies.state;
    this.#findUser = dependencies.findUser;
    this.#departures = dependencies.departures;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
  }

  async start(): Promise<void> {
    for (const token of await this.#state.read('kept-token')) this.#byHash.set(token.hash, token);
  }

  /** By id; expired ones stay listed until they are revoked. */
  list(): readonly StoredToken[] {
    return [...this.#byHash.values()];
  }

  /** Rejects `not-found`, `conflict` (the person may not do that much), `too-many`. */
  async make(wish: NewToken): Promise<{ readonly token: StoredToken; readonly text: Secret }> {
    this.#requireFits(wish);
    const { id, text, hash } = makeToken();
    const nowMs = this.#clock.now();
    const { owner, role, groups, note, createdBy } = wish;
    const token: StoredToken = {
      id,
      hash,
      owner,
      role,
      ...(groups !== undefined && { groups }),
      note,
      createdBy,
      createdAtMs: nowMs,
      expiresAtMs: nowMs + wish.lifeMs,
    };
    await this.#state.commit([{ kind: 'keep-record', list: 'token', record: token }]);
    this.#byHash.set(hash, token);
    return { token, text };
  }

  /** False: there is none. */
  async revoke(id: string): Promise<boolean> {
    const token = this.list().find((one) => one.id === id);
    if (token === undefined) return false;
    // First: whatever the disk says, it is not accepted any more.
    this.#byHash.delete(token.hash);
    await this.#state.commit([{ kind: 'drop-record', list: 'token', id }]);
    return true;
  }

  /** The person's tokens ended in the state: none is accepted from now on. */
  forgetOf(username: string): void {
    for (const { hash, owner } of this.list())
      if ('user' in owner && owner.user === username) this.#byHash.delete(hash);
  }

  /** Who calls with this token, as of now. */
  judge(text: string): TokenVerdict {
    const token = this.#byHash.get(hashToken(text));
    if (token === undefined) return { ok: false, why: 'unknown or revoked token' };
    const { id, owner, groups } = token;
    if (this.#clock.now() >= token.expiresAtMs) return { ok: false, why: 'expired token', id };
    const judged = 'user' in owner ? this.#judgePerson(owner.user, token) : { role: token.role };
    if ('why' in judged) return { ok: false, why: judged.why, id };
    this.#touch(token);
    const name = 'user' in owner ? owner.user : `service.${owner.service}`;
    return {
      ok: true,
      caller: { actor: `token:${name}:${id}`, ...(groups !== undefined && { groups }), ...judged },
    };
  }

  #judgePerson(
    username: string,
    { createdAtMs, role: asked }: StoredToken,
  ): Omit<Caller, 'actor'> | { readonly why: string } {
    const user = this.#findUser(username);
    if (user === undefined) return { why: `${username} is gone` };
    const problem = this.#departures.findProblem(username);
    if (problem !== undefined) return { why: problem };
    if (createdAtMs <= (this.#departures.formerUntilMs(username) ?? -Infinity))
      return { why: `${username} is another person now` };
    if (user.status !== 'active') return { why: `${username} is disabled` };
    if (isExpired(user.expires, this.#clock.now())) return { why: `${username} is expired` };
    if (user.adminRole === undefined) return { why: `${username} has no admin_role` };
    const role = lowerRole(asked, user.adminRole);
    if (role === undefined) return { why: `a ${asked} token, and ${username} is ${user.adminRole}` };
    return role === 'group-admin'
      ? { role, groups: user.administers ?? [], administrator: username }
      : { role };
  }

  #requireFits({ owner, role, groups }: NewToken): void {
    if (this.#byHash.size >= tokensMax) {
      throw new SallyportError('too-many', 'There are too many tokens', {
        detail: `${tokensMax} at most`,
        hint: 'revoke those that are not used: sallyport tokens list',
      });
    }
    if (groups !== undefined && role !== 'helpdesk')
      throw new SallyportError('bad-request', 'Only a helpdesk token can be limited to groups');
    if (!('user' in owner)) {
      if (role !== 'group-admin') return;
      throw new SallyportError('bad-request', 'Only a person can be a group administrator', {
        hint: 'what they administer stands in their user file: administers: [<group>]',
      });
    }
    const user = this.#findUser(owner.user);
    if (user === undefined)
      throw new SallyportError('not-found', 'There is no such user', { detail: owner.user });
    if (user.adminRole === undefined || !roleCovers(user.adminRole, role)) {
      throw new SallyportError('conflict', 'This person may not do that much', {
        detail: `admin_role of ${owner.user} is ${user.adminRole ?? 'none'}, asked for ${role}`,
        hint: `sallyport users set ${owner.user} admin_role=${role}`,
      });
    }
  }

  #touch(token: StoredToken): void {
    const usedAtMs = this.#clock.now();
    if (usedAtMs - (token.usedAtMs ?? 0) < tokenTouchMs) return;
    const touched = { ...token, usedAtMs };
    this.#byHash.set(token.hash, touched);
    this.#state
      .commit([{ kind: 'keep-record', list: 'token', record: touched }])
      .catch((error: unknown) => this.#log.warn({ err: error, token: token.id }, 'use of a token not noted'));
  }
}
