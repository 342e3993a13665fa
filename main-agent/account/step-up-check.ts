import { forgetWrongCodes } from '#main-agent/vault/vault.ts';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { purposeOf } from '#shared/assertion/account-change.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { Method, StepUpPurpose } from '#shared/login.ts';
import { Secret } from '#shared/secret.ts';
import { type CodeCheck, type RightCode, type TryAgain } from '#main-agent/login/code-check.ts';
import { passwordScope, wrongPassword } from '#main-agent/login/first-factor.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { buildRefusal } from '#main-agent/login/refusal.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import type { Assertions } from '#main-agent/login/assertions.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { stepUpPasswordsMax, stepUpWindowMs } from './limits.ts';
import type { StepUps } from './step-ups.ts';

/**
 * The proof that a session's own user wants a change: the password and, from who is enrolled, a code that was not used
 * before, in an assertion signed for exactly that change. How the session was opened proves nothing here.
 *
 * A bypass code is for getting in, so it changes nothing; a recovery code may, but makes no new recovery codes: one
 * that was stolen would be ten.
 *
 * Trust: all of it comes from a node that may be an attacker's; the assertion says no more than what that node wants.
 */

export interface StepUpProof {
  readonly outcome: 'proven';
  readonly method: Method;
  /** Spends it in the change's commit. */
  readonly evidence: readonly Change[];
}

type Again = Extract<Result<'account.change'>, { outcome: 'again' }>;
type StepUpCode = 'totp' | 'recovery';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'bans'>;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly passwords: Passwords;
  readonly assertions: Assertions;
  readonly sessions: Sessions;
  readonly stepUps: StepUps;
  readonly clock: Clock;
  readonly log: Log;
}

export class StepUpCheck {
  readonly #parts: Parts;
  readonly #codes: CodeCheck;

  constructor(parts: Parts, codes: CodeCheck) {
    this.#parts = parts;
    this.#codes = codes;
  }

  /** Which codes a change of this purpose takes; none: the password is all there is to prove. */
  async codesFor(username: string, purpose: StepUpPurpose): Promise<readonly StepUpCode[]> {
    const status = await this.#parts.vault.status(username);
    if (status.state === 'broken')
      throw new SallyportError('not-allowed', 'Your administrator does not allow this here', {
        detail: status.problem ?? 'the enrolment is broken',
      });
    if (status.state === 'none') return [];
    return purpose === 'recovery-codes' || status.recoveryCodesLeft === 0 ? ['totp'] : ['totp', 'recovery'];
  }

  /** Wrong answers are counted durably before it answers; too many end the session. */
  async prove(
    params: Params<'account.change'>,
    session: FullSession,
    link: NodeLink,
    asker?: Asker,
  ): Promise<StepUpProof | Again> {
    const purpose = purposeOf(params.change);
    const kinds = await this.codesFor(session.username, purposeOf(params.change));
    const stepUp = this.#parts.stepUps.take(session, purpose);
    const { code, method } = await this.#parts.assertions
      .require(
        params,
        {
          purpose,
          challenge: stepUp.challenge,
          nonce: stepUp.nonce,
          username: session.username,
          protocol: session.protocol,
          methods: new Set(kinds.length === 0 ? ['none'] : kinds),
          withCode: kinds.length > 0,
          change: params.change,
        },
        link,
      )
      .catch(async (error: unknown) => {
        throw await this.#accuse(session, error);
      });
    const wrong = await this.#checkPassword(params.current, session, asker);
    if (wrong !== undefined) return wrong;
    const clear: Change = { kind: 'clear-failures', scope: stepUpScope(session) };
    if (code === undefined) return { outcome: 'proven', method: 'none', evidence: [clear] };
    const right = await this.checkCode(session, kinds, code);
    if (right.outcome === 'again') return right;
    if (right.method !== method) {
      const detail = `claim method ${method} is not what the code is: ${right.method}`;
      throw await this.#accuse(session, new SallyportError('refused', 'Refused', { detail }));
    }
    return {
      outcome: 'proven',
      method,
      evidence: [...right.evidence, clear, forgetWrongCodes(session.username)],
    };
  }

  /** One code of this session's user; wrong ones count for the user as at login. */
  async checkCode(
    session: Parameters<Parts['stepUps']['attemptOf']>[0],
    kinds: readonly (StepUpCode | 'bypass')[],
    code: Secret,
  ): Promise<RightCode | TryAgain> {
    const attempt = this.#parts.stepUps.attemptOf(session);
    try {
      return await this.#codes.checkStored(attempt, kinds, code);
    } catch (error) {
      if (attempt.attemptsLeft > 0 || !isSallyportError(error)) throw error;
      throw await this.#endSession(session.key, 'too many wrong codes');
    }
  }

  /** The code was right, and somebody else spent it first. */
  lostRace(session: FullSession): Promise<TryAgain> {
    return this.#codes.again(this.#parts.stepUps.attemptOf(session), 'used-code');
  }

  async #checkPassword(
    current: string,
    session: FullSession,
    asker: Asker | undefined,
  ): Promise<Again | undefined> {
    const { clock, config, passwords, state } = this.#parts;
    const { username, node, clientIp } = session;
    const scope = stepUpScope(session);
    const nowMs = clock.now();
    if (((await state.read('failures', { scope, nowMs })).lockedUntilMs ?? 0) > nowMs)
      throw await this.#endSession(session.key, 'too many wrong passwords');
    const stored = session.user().passwordHash;
    const turn = { node, clientIp, known: true, asker };
    if (await passwords.verify(new Secret(current), username, stored, turn)) return undefined;
    const [limit, lockMs] = [stepUpPasswordsMax, stepUpWindowMs];
    await state.commit([
      {
        kind: 'count-failure',
        scope,
        atMs: nowMs,
        windowMs: stepUpWindowMs,
        limit,
        lockMs,
        lockMaxMs: lockMs,
      },
      { ...wrongPassword(config, nowMs), scope: passwordScope(username) },
      this.#refused(session, 'wrong password'),
    ]);
    const { inARow, lockedUntilMs = 0 } = await state.read('failures', { scope, nowMs });
    if (lockedUntilMs > nowMs) throw await this.#endSession(session.key, 'too many wrong passwords');
    return { outcome: 'again', reason: 'wrong-password', attemptsLeft: Math.max(0, limit - inARow) };
  }

  async #endSession(key: string, reason: string): Promise<SallyportError> {
    this.#parts.stepUps.end(key);
    await this.#parts.sessions.end(key, reason);
    return new SallyportError('no-session', 'You are signed out', { detail: reason });
  }

  /** Anything wrong with a signed assertion is a node misbehaving. */
  async #accuse(session: FullSession, error: unknown): Promise<SallyportError> {
    const { log, state } = this.#parts;
    const rule = isSallyportError(error) ? (error.detail ?? error.code) : 'assertion';
    const refusal = buildRefusal(rule, error);
    const { node, username: user } = session;
    log.error({ alarm: 'assertion-refused', node, user, detail: rule }, 'step-up refused');
    await state.commit([this.#refused(session, rule, refusal.reference)]);
    return refusal.error;
  }

  #refused(session: FullSession, rule: string, reference?: string): Change {
    const { username, node, protocol, clientIp, key } = session;
    return {
      kind: 'audit',
      record: buildRecord(this.#parts, 'account.step-up-refused', 'refused', {
        user: username,
        node,
        protocol,
        clientIp,
        sessionKey: key,
        rule,
        ...(reference !== undefined && { reference }),
      }),
    };
  }
}

function stepUpScope({ key }: Pick<FullSession, 'key'>): string {
  return `step-up:${key}`;
}
