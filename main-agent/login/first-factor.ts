import { createHash } from 'node:crypto';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { householdOf } from '#shared/networks.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { Params } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import { isUserauthSignature, parseUserauthRequest, type UserauthRequest } from '#shared/ssh-key/verify.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import { passwordCredential } from '#main-agent/sessions/credential.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Turn } from '#main-agent/passwords/hash-queue.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { nodeThenOnePerMs, wrongPasswordsOfKnownPlaceMax, wrongPasswordsPerNodeMax } from './limits.ts';
import { ThrottleLines } from './throttle-lines.ts';
import { TurnedAway } from './turned-away.ts';
import { buildRefusal } from './refusal.ts';

/**
 * The first factor: password or key, and whether the account works at all. Before it is right every refusal is the
 * same, in words and in work (S-07).
 *
 * Trust: user names, passwords and signed blobs are strangers', addresses are the DMZ's word.
 */

export interface FirstFactorProven {
  readonly user: EffectiveUser;
  readonly factor: 'pwd' | 'key';
  readonly credential: string;
  /** A code that stood at the end of the password; not checked yet. */
  readonly enclosedCode: Secret | undefined;
}

type Begin = Params<'login.begin'>;

/** What a password turned out to be, before anything is written down. */
interface Looked {
  readonly proven: FirstFactorProven | string;
  /** A right password whose hash may have to be replaced. */
  readonly right?: Right;
}

interface Right {
  readonly password: Secret;
  readonly before: Secret;
  /** What it is to be replaced by; absent: not asked yet. */
  readonly after?: Secret | undefined;
}

/** A look that was taken; what came of it is `settle`'s to say. */
export type FirstFactorLook = () => Promise<FirstFactorProven | string>;

interface Parts {
  readonly config: Pick<MainAgentConfig, 'bans' | 'twoFactor'>;
  readonly users: UserSource;
  readonly state: StateStore;
  readonly passwords: Passwords;
  readonly credentials: Pick<OwnCredentials, 'renewPassword'>;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  /** Whether a signature made in this SSH session can be one for this node. */
  readonly isSessionOf: (link: NodeLink, sessionId: Buffer) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export class FirstFactor {
  readonly #parts: Parts;
  readonly #throttles: ThrottleLines;
  /** Until when each node is throttled, as far as the admins were told. */
  readonly #alarmed = new Map<string, number>();
  readonly #turnedAway: TurnedAway;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#throttles = new ThrottleLines(parts.clock);
    this.#turnedAway = new TurnedAway(parts.clock);
  }

  /** Rejects `refused`, `rate-limited` or `busy`. Failures are counted durably before it rejects (S-13). */
  async verify(params: Begin, link: NodeLink, asker?: Asker): Promise<FirstFactorProven> {
    const settle = await this.look(params, link, asker, { isEven: false });
    const proven = await settle();
    if (typeof proven === 'string') throw await this.refuse(params, link, proven);
    return proven;
  }

  /**
   * The throttles, and the hash of a password; a key costs nothing that would need a turn. Rejects `rate-limited`,
   * `busy` or `deadline`, whoever it is. `isEven`: takes as long for a right password as for a wrong one (S-07).
   */
  async look(
    params: Begin,
    link: NodeLink,
    asker: Asker | undefined,
    { isEven }: { readonly isEven: boolean },
  ): Promise<FirstFactorLook> {
    const user = this.#parts.users.resolve(params.user);
    const { factor } = params;
    const settle =
      factor.type === 'password'
        ? await this.#lookAtPassword(params, factor.password, user, link, asker, isEven)
        : () => this.#verifyKey(params, factor, user, link);
    return async () => {
      const proven = await settle();
      return typeof proven === 'string' ? proven : (this.#findProblem(proven.user, params) ?? proven);
    };
  }

  /** Writes the refusal down and makes the error. A right password of a shut account counts like a wrong one. */
  async refuse(params: Begin, link: NodeLink, rule: string): Promise<SallyportError> {
    const { reference, error } = buildRefusal(rule);
    const failures = await this.failures(params, link);
    await this.#parts.state.commit([...failures, this.refused(params, link, rule, reference)]);
    return (await this.isBait(params)) ? withBait(error) : error;
  }

  /** For the audit: why a first factor was refused. */
  refused(params: Begin, link: NodeLink, rule: string, reference: string): Change {
    return {
      kind: 'audit',
      record: buildRecord(this.#parts, 'login.refused', 'refused', {
        ...this.#whoTried(params, link),
        rule,
        reference,
      }),
    };
  }

  /** What a wrong password counts, wherever it is counted; nothing for a key. */
  async failures(
    { factor, user, client: { ip } }: Begin,
    { node }: NodeLink,
  ): Promise<readonly Extract<Change, { kind: 'count-failure' }>[]> {
    if (factor.type !== 'password') return [];
    const { clock, config, users } = this.#parts;
    const name = users.resolve(user)?.username ?? foldUsername(user);
    const isKnown = await this.#isKnownPlace(name, ip);
    const failure = wrongPassword(config, clock.now());
    const everywhere = [
      { ...failure, scope: passwordScope(name) },
      { ...failure, scope: nodeScope(node), limit: wrongPasswordsPerNodeMax },
    ];
    if (!isKnown) return everywhere;
    return [
      { ...failure, scope: knownPlaceScope(name, ip), limit: wrongPasswordsOfKnownPlaceMax },
      { ...failure, scope: knownPlacesScope(node), limit: wrongPasswordsPerNodeMax },
      ...everywhere,
    ];
  }

  /**
   * A password for a name that attackers try first, from an address nobody signs in from. Whether it is somebody's
   * makes no difference: an address that is shut out later for one name than for another would tell (S-07).
   */
  async isBait({ user, factor, client }: Begin): Promise<boolean> {
    const { config } = this.#parts;
    if (factor.type !== 'password' || !config.bans.baitNames.includes(foldUsername(user))) return false;
    return !(await this.#isKnownAddress(client.ip));
  }

  /** Whether this user, or whoever would have that name, signed in from there before. */
  async #isKnownPlace(user: string, clientIp: string): Promise<boolean> {
    const { clock, state } = this.#parts;
    return (await state.read('last-good-login', { user, clientIp, nowMs: clock.now() })) !== undefined;
  }

  /** Whether anybody did. */
  #isKnownAddress(clientIp: string): Promise<boolean> {
    const { clock, state } = this.#parts;
    return state.read('known-address', { clientIp, nowMs: clock.now() });
  }

  #findProblem(user: EffectiveUser | undefined, { protocol, client }: Begin): string | undefined {
    if (user === undefined) return undefined;
    const { clock, findBan } = this.#parts;
    const where = { protocol, clientIp: client.ip, nowMs: clock.now() };
    return findBan(user.username, client.ip) ?? findAccountProblem(user, where);
  }

  async #lookAtPassword(
    params: Begin,
    text: string,
    user: EffectiveUser | undefined,
    link: NodeLink,
    asker: Asker | undefined,
    isEven: boolean,
  ): Promise<FirstFactorLook> {
    const { config, passwords } = this.#parts;
    const { ip } = params.client;
    const name = user?.username ?? foldUsername(params.user);
    const known = await this.#isKnownPlace(name, ip);
    const limits = await this.#findLimits(throttleScopes(name, ip, link.node, known));
    const takeBack = await this.#passThrottles(params, name, link, limits, asker);

    const stored = user?.passwordHash;
    const turn = { node: link.node, clientIp: ip, known, asker };
    const looked = passwords.inTurn(turn, async (): Promise<Looked> => {
      const isRight = await passwords.compare(new Secret(text), name, stored);
      const proven = isRight ? provenPassword(user, stored, undefined) : describeWrong(user);
      // Where the account is shut a right password must not be told by an answer that comes sooner.
      const isShut = this.#findProblem(user, params) !== undefined;
      const whole = isRight && !isShut ? rightPassword(proven, new Secret(text), stored) : { proven };
      if (isRight && !isShut && !isEven) return this.#renew(whole);

      // `<password><code>`, for clients that can't prompt. Tried for every name, or the time would tell whose it is.
      const { digits } = config.twoFactor.totp;
      if (params.protocol !== 'sftp' || !endsWithDigits(text, digits)) return whole;
      asker?.requireWaiting();
      const isAllowed = user?.twoFactor.sftpPasswordWithCode === true;
      const start = new Secret(text.slice(0, -digits));
      const isStartRight = await passwords.compare(start, name, isAllowed ? stored : undefined);
      if (!isStartRight || isRight) return whole;
      const byStart = provenPassword(user, stored, new Secret(text.slice(-digits)));
      if (isShut) return { proven: byStart };
      const startRight = rightPassword(byStart, start, stored);
      return isEven ? startRight : this.#renew(startRight);
    });
    const { proven, right } = await looked.catch((error: unknown) => {
      // Nobody looked at it, so it took nobody's turn.
      if (isSallyportError(error, 'busy') || isSallyportError(error, 'deadline')) takeBack();
      throw error;
    });
    return async () => {
      if (right === undefined || typeof proven === 'string') return proven;
      // Whoever asked has its answer by then; in a turn of its own, or with the next login.
      const late = { ...turn, asker: undefined };
      const renewed = isEven
        ? await passwords.inTurn(late, () => this.#renew({ proven, right })).catch(() => ({ right }))
        : { right };
      if (renewed.right?.after === undefined) return proven;
      const { after } = renewed.right;
      return this.#store(proven, { ...right, after }, params, link, isEven ? late : turn);
    };
  }

  /** The hash of another system is replaced by our own as soon as its password is known. In the try's turn. */
  async #renew({ proven, right }: Looked): Promise<Looked> {
    if (right === undefined) return { proven };
    const after = await this.#parts.passwords.renew(right.password, right.before);
    return { proven, right: { ...right, after } };
  }

  /**
   * Before anything stands on the credential: what was proven by the old hash would end with it. Where it can not be
   * written the login goes on, and the next one tries again.
   */
  async #store(
    proven: FirstFactorProven,
    { password, before, after }: Right & { readonly after: Secret },
    params: Begin,
    link: NodeLink,
    turn: Turn,
  ): Promise<FirstFactorProven | string> {
    const { credentials, log, passwords, state, users } = this.#parts;
    const { username } = proven.user;
    try {
      if (await credentials.renewPassword(username, before, after)) {
        const record = buildRecord(this.#parts, 'account.password-rehashed', 'ok', {
          ...this.#whoTried(params, link),
          detail: 'the hash of another system was replaced by argon2id',
        });
        await state.commit([{ kind: 'audit', record }]);
      }
    } catch (error) {
      log.warn({ err: error, user: username }, 'the password hash of another system could not be replaced');
    }
    const user = users.find(username);
    const stored = user?.passwordHash;
    if (stored?.expose() === before.expose()) return proven;
    // Another login of the same user was quicker, or an admin who set another password.
    const isRight =
      stored?.expose() === after.expose() || (await passwords.verify(password, username, stored, turn));
    return isRight ? provenPassword(user, stored, proven.enclosedCode) : describeWrong(user);
  }

  async #verifyKey(
    params: Begin,
    factor: Extract<Begin['factor'], { type: 'publickey' }>,
    user: EffectiveUser | undefined,
    link: NodeLink,
  ): Promise<FirstFactorProven | string> {
    if (params.protocol !== 'sftp') return 'a key on a protocol without keys';
    let request: UserauthRequest;
    let isSigned: boolean;
    try {
      request = parseUserauthRequest(Buffer.from(factor.signed, 'base64url'));
      // Verified whether or not the key is anybody's: the same work for every name.
      isSigned = isUserauthSignature(request, Buffer.from(factor.signature, 'base64url'));
    } catch (error) {
      return `malformed signature: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (!isSigned) return 'wrong signature';
    if (request.user !== params.user) return 'the signed user name is another';
    // What a user signed for another server names that one's session (D-151).
    if (!this.#parts.isSessionOf(link, request.sessionId)) {
      const { clock, log } = this.#parts;
      log.error(
        { alarm: 'foreign-signature', node: link.node, atMs: clock.now() },
        'an SSH signature of another session',
      );
      return 'the signature is of an SSH session that main did not sign for this node';
    }
    const stored = user?.sshKeys.find((key) => key.blob.equals(request.key.blob));
    if (user === undefined) return `no such user; offered key ${request.key.fingerprint}`;
    if (stored === undefined) return `key ${request.key.fingerprint} is not the user's`;

    const { clock, log, state } = this.#parts;
    const result = await state.commit([
      {
        kind: 'use-ssh-signature',
        user: user.username,
        sshSession: createHash('sha256').update(request.sessionId).digest('base64url'),
        fingerprint: stored.fingerprint,
      },
    ]);
    if (!result.ok) {
      log.error(
        { alarm: 'signature-replayed', user: user.username, node: link.node, atMs: clock.now() },
        'an SSH signature was shown again',
      );
      return 'this SSH signature was used before';
    }
    return { user, factor: 'key', credential: stored.fingerprint, enclosedCode: undefined };
  }

  /** Those that throttle now (D-26). */
  async #findLimits(scopes: readonly ThrottleScope[]): Promise<readonly Limit[]> {
    const { clock, config, state } = this.#parts;
    const nowMs = clock.now();
    const locks = await state.read('locks', { scopes: scopes.map(({ scope }) => scope) });
    const found = scopes.map((one, index) => ({
      ...one,
      everyMs: one.node === undefined ? config.bans.thenOnePerMs : nodeThenOnePerMs,
      untilMs: locks[index] ?? 0,
    }));
    const limits = found.filter(({ untilMs }) => untilMs > nowMs);
    for (const { node, scope, untilMs } of limits) if (node !== undefined) this.#alarm(node, scope, untilMs);
    return limits;
  }

  /** Waits for its turn at each. Resolves with what takes these turns back. */
  async #passThrottles(
    params: Begin,
    name: string,
    link: NodeLink,
    limits: readonly Limit[],
    asker: Asker | undefined,
  ): Promise<() => void> {
    const asked = { node: link.node, source: householdOf(params.client.ip), name, asker };
    const taken: (() => void)[] = [];
    const takeBack = (): void => {
      for (const turn of taken) turn();
    };
    for (const limit of limits) {
      try {
        taken.push(await this.#throttles.enter(limit, asked));
      } catch (error) {
        takeBack();
        if (!isSallyportError(error, 'rate-limited')) throw error;
        throw await this.#turnAway(params, link, limits, limit, error.data?.retryAfterMs ?? limit.everyMs);
      }
    }
    return takeBack;
  }

  async #turnAway(
    params: Begin,
    link: NodeLink,
    limits: readonly Limit[],
    by: Limit,
    retryAfterMs: number,
  ): Promise<SallyportError> {
    const rule = `${limits.map(({ of }) => of).join(' and ')} throttled after too many wrong passwords`;
    // The widest one: what comes through a node is told as one, whatever names it tries.
    const tries = this.#turnedAway.count(limits.at(-1)?.scope ?? '');
    if (tries !== undefined) {
      const record = buildRecord(this.#parts, 'login.throttled', 'refused', {
        ...this.#whoTried(params, link),
        rule,
        detail: tries === 1 ? 'one try' : `${tries} tries since the last record, this one the latest`,
      });
      await this.#parts.state.commit([{ kind: 'audit', record }]);
    }
    // Where somebody signs in, one who tries without end must not have the node hold back everybody.
    const isOfSource = by.node !== undefined && !(await this.#isKnownAddress(params.client.ip));
    return new SallyportError('rate-limited', 'Too many tries; wait a little', {
      data: { retryAfterMs, throttled: isOfSource ? 'source' : 'name' },
      detail: rule,
    });
  }

  /** Of an audit record: who tried to come in, where and from where; under the name that admins know. */
  #whoTried({ user, protocol, client }: Begin, { node }: NodeLink) {
    const { users } = this.#parts;
    const username = users.resolve(user)?.username ?? user;
    return { user: username, node, protocol, clientIp: client.ip, agent: client.agent };
  }

  /** Once each time it begins; the map has two places for each pinned node. */
  #alarm(node: string, scope: string, untilMs: number): void {
    if (this.#alarmed.get(scope) === untilMs) return;
    this.#alarmed.set(scope, untilMs);
    this.#parts.log.error(
      { alarm: 'many-wrong-passwords', node, untilMs },
      'many wrong passwords come through one node: tries are let through slowly',
    );
  }
}

function rightPassword(
  proven: FirstFactorProven | string,
  password: Secret,
  before: Secret | undefined,
): Looked {
  return typeof proven === 'string' || before === undefined
    ? { proven }
    : { proven, right: { password, before } };
}

/** For the node alone, which counts it against the address. */
export function withBait({ code, publicMessage, reference, detail, cause }: SallyportError): SallyportError {
  return new SallyportError(code, publicMessage, {
    data: { bait: true },
    ...(reference !== undefined && { reference }),
    ...(detail !== undefined && { detail }),
    cause,
  });
}

interface Limit extends ThrottleScope {
  readonly everyMs: number;
}

function provenPassword(
  user: EffectiveUser | undefined,
  stored: Secret | undefined,
  enclosedCode: Secret | undefined,
): FirstFactorProven | string {
  if (user === undefined || stored === undefined) return describeWrong(user);
  return { user, factor: 'pwd', credential: passwordCredential(stored.expose()), enclosedCode };
}

/** For the audit alone: an admin who looks for a mistyped name needs to see that nobody has it. */
function describeWrong(user: EffectiveUser | undefined): string {
  return user === undefined ? 'no such user' : 'wrong password';
}

function endsWithDigits(text: string, digits: number): boolean {
  return text.length > digits && /^[0-9]+$/.test(text.slice(-digits));
}

/**
 * One counter for a name, whoever has it and whether anybody does (S-07): a name without a user that shared its counter
 * with others would be told from one with a user by when it is throttled. What strangers type may be a password, so it
 * is not kept as they typed it. How many there are is bounded by the tries that a node is let have in the window.
 */
export function passwordScope(name: string): string {
  return `password:${createHash('sha256').update(foldUsername(name)).digest('base64url').slice(0, 22)}`;
}

/** A wrong password as it is counted wherever one is typed; a scope makes it a change. */
export function wrongPassword({ bans }: Pick<MainAgentConfig, 'bans'>, atMs: number) {
  const { count, windowMs } = bans.wrongPasswords;
  return {
    kind: 'count-failure',
    atMs,
    windowMs,
    limit: count,
    lockMs: windowMs,
    lockMaxMs: windowMs,
    isBrief: true,
  } as const;
}

/** All that a node brings, whatever user and address it names. */
function nodeScope(node: string): string {
  return `password@${node}`;
}

/** A user at an address that user signed in from. */
function knownPlaceScope(name: string, ip: string): string {
  return `${passwordScope(name)} from ${ip}`;
}

/** All that a node brings of users at addresses they signed in from: counted apart, so that strangers slow none of them. */
function knownPlacesScope(node: string): string {
  return `known-password@${node}`;
}

/** What wrong passwords of such a try are counted by, narrowest first. */
interface ThrottleScope {
  readonly scope: string;
  /** Whose it is, for people. */
  readonly of: string;
  /** If it is a node's. */
  readonly node?: string;
}

/**
 * Which counts hold back a try. That a place is known is the node's word: it gets a wider limit, never none, or a node
 * that was broken into would lift both by naming it.
 */
export function throttleScopes(
  name: string,
  ip: string,
  node: string | undefined,
  isKnown: boolean,
): readonly ThrottleScope[] {
  const ofName = isKnown
    ? { scope: knownPlaceScope(name, ip), of: 'this name from there' }
    : { scope: passwordScope(name), of: 'this name' };
  if (node === undefined) return [ofName];
  const ofNode = isKnown
    ? { scope: knownPlacesScope(node), of: `known places through node ${node}`, node }
    : { scope: nodeScope(node), of: `node ${node}`, node };
  return [ofName, ofNode];
}
