import { forgetWrongCodes } from '#main-agent/vault/vault.ts';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { Method } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import { randomReference } from '#shared/random-id.ts';
import type { ChallengeCheck } from './challenge-check.ts';
import type { Challenge, Challenges, SealedVerdict } from './challenges.ts';
import { type CodeCheck } from './code-check.ts';
import { withBait } from './first-factor.ts';
import { untilEven } from './sealed-start.ts';
import { SealedTurns } from './sealed-turns.ts';
import { bypassSessionMaxMs, owedChangesMax, owedPlacesMax } from './limits.ts';
import { endGone, type Passage, type Passages } from './passage.ts';
import { buildRefusal } from './refusal.ts';
import type { PreparedSession, Sessions } from '#main-agent/sessions/sessions.ts';
import { viewSession } from '#main-agent/sessions/session-view.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { Devices } from '#main-agent/sessions/devices.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';

/**
 * `login.assert`: the end of every login. One transaction holds what is spent, the session and the audit record; the
 * answer comes after it is durable, or the login did not happen (S-03, S-14).
 */

type Asserted = Result<'login.assert'>;

/** Errors that say what was wrong with who signs in, not with us. */
const verdicts: ReadonlySet<string> = new Set(['refused', 'challenge-gone', 'rate-limited']);

const spendingCodes: ReadonlySet<Change['kind']> = new Set(['use-time-step', 'use-code', 'use-bypass-code']);

interface Parts {
  readonly state: StateStore;
  readonly vault: Vault;
  readonly challenges: Challenges;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly devices: Devices;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A sealed login's end that is told in one word. */
interface Refused {
  readonly outcome: 'refused';
  readonly rule: string;
  readonly reference: string;
}

export class Admission {
  readonly #parts: Parts;
  readonly #checks: ChallengeCheck;
  readonly #codes: CodeCheck;
  readonly #passages: Passages;
  readonly #sealedTurns: SealedTurns;
  /** What was counted of users at places before a fault of ours refused them, until they sign in there. */
  readonly #owed = new BoundedMap<readonly Change[]>(owedPlacesMax);

  constructor(
    parts: Parts,
    steps: { readonly checks: ChallengeCheck; readonly codes: CodeCheck; readonly passages: Passages },
  ) {
    this.#parts = parts;
    this.#checks = steps.checks;
    this.#codes = steps.codes;
    this.#passages = steps.passages;
    this.#sealedTurns = new SealedTurns(parts.clock);
  }

  async assert(params: Params<'login.assert'>, link: NodeLink, asker?: Asker): Promise<Asserted> {
    const { challenges } = this.#parts;
    challenges.require(params.challenge, link.node);
    return challenges.inTurn(params.challenge, async () => {
      // Nothing is spent for who has gone, and somebody before us in the line may have ended it.
      asker?.requireWaiting();
      const record = challenges.require(params.challenge, link.node);
      const { code, method } = await this.#checks.requireAssertion(record, params, link);
      if (record.next.kind === 'sealed')
        return this.#unseal(record, record.next.verdict, code, params, link, asker);
      const user = await this.#checks.requireStillTrue(record, link);
      const passage = await this.#passages.find(record, code);
      if ('outcome' in passage) return passage;
      // The lease is ours to find; the node named the code it was given.
      if (code !== undefined && passage.method !== 'lease')
        await this.#checks.requireNamed(record, method, passage.method, link);
      return this.#admit(record, user, passage, params, link);
    });
  }

  /** One answer to both factors (D-171), in the turn of its name. */
  async #unseal(
    sealed: Challenge,
    found: Promise<SealedVerdict>,
    code: Secret | undefined,
    params: Params<'login.assert'>,
    link: NodeLink,
    asker: Asker | undefined,
  ): Promise<Asserted> {
    const { challenges, clock, state, vault } = this.#parts;
    const { username: user, clientIp, node } = sealed;
    const seen = await state.read('last-good-login', { user, clientIp, nowMs: clock.now() });
    const turn = { node, clientIp, known: seen !== undefined, asker };
    return this.#sealedTurns.run(foldUsername(user), turn, async () => {
      const sinceMs = clock.monotonic();
      challenges.require(sealed.id, node);
      try {
        // Before the verdict is looked at: what is out of order is told to everybody, and counts against nobody.
        await vault.requireReady(code);
      } catch (error) {
        challenges.end(sealed.id);
        if (sealed.takeBack.length > 0) await state.commit(sealed.takeBack);
        throw error;
      }
      const verdict = await found;
      challenges.end(sealed.id);
      const end = await this.#answer(sealed, verdict, code, params, link);
      if (end.outcome === 'admitted') return end;
      await untilEven(clock, sinceMs);
      const { error } = buildRefusal(end.rule, undefined, end.reference);
      throw verdict.isBait ? withBait(error) : error;
    });
  }

  /** Admitted, or the one refusal whatever was wrong: with what was shown, or with us. No second try. */
  async #answer(
    sealed: Challenge,
    verdict: SealedVerdict,
    code: Secret | undefined,
    params: Params<'login.assert'>,
    link: NodeLink,
  ): Promise<Extract<Asserted, { outcome: 'admitted' }> | Refused> {
    if (verdict.kind === 'refused') {
      if (verdict.isFault) this.#owe(sealed);
      return { outcome: 'refused', ...verdict };
    }
    const record: Challenge = { ...sealed, ...verdict };
    // Nothing was typed that could be one, so nothing counts against the user's factor.
    if (record.next.kind === 'code' && record.enclosedCode === undefined && code?.expose() === '')
      return this.#refuse(record, 'no code, where one is due');
    try {
      const user = await this.#checks.requireStillTrue(record, link);
      const passage = await this.#passages.find(record, code);
      const result = 'outcome' in passage ? passage : await this.#admit(record, user, passage, params, link);
      if (result.outcome === 'admitted') return result;
      return await this.#refuse(record, result.reason, result.reference);
    } catch (error) {
      // It comes after both factors.
      if (isSallyportError(error, 'too-many-sessions')) throw error;
      const { code: kind, detail, reference } = toSallyportError(error);
      if (verdicts.has(kind)) return this.#refuse(record, detail ?? kind, reference);
      this.#owe(sealed);
      const refused = await this.#refuse(record, `a fault of ours: ${detail ?? kind}`, reference);
      this.#parts.log.error(
        { err: error, reference: refused.reference },
        'a sealed login was refused for a fault of ours',
      );
      return refused;
    }
  }

  /**
   * A refusal that was not the user's fault is not to count against them, and who tries passwords may not see that it
   * does not. So it is taken back when they sign in from there, which tells no more than that.
   */
  #owe({ username, clientIp, takeBack }: Challenge): void {
    const place = placeOf({ username, clientIp });
    this.#owed.set(place, [...(this.#owed.get(place) ?? []), ...takeBack].slice(-owedChangesMax));
  }

  /** Under the reference that it has, or as one that is written down now, as far as it can be. */
  async #refuse(record: Challenge, rule: string, known?: string): Promise<Refused> {
    if (known !== undefined) return { outcome: 'refused', rule, reference: known };
    const reference = randomReference();
    await this.#note(record, rule, reference).catch((error: unknown) =>
      this.#parts.log.error({ err: error, reference, rule }, 'a refusal was not written down'),
    );
    return { outcome: 'refused', rule, reference };
  }

  async #note(record: Challenge, rule: string, reference = randomReference()): Promise<string> {
    await this.#parts.state.commit([this.#checks.refused(record, rule, reference)]);
    return reference;
  }

  async #admit(
    record: Challenge,
    user: EffectiveUser,
    passage: Passage,
    params: Params<'login.assert'>,
    link: NodeLink,
  ): Promise<Asserted> {
    const { challenges, clock, devices, leases, sessions, state } = this.#parts;
    const { method } = passage;
    const { username, node, protocol, credential, clientIp, agent } = record;
    const isFull = passage.state === 'signed-in';
    const offered = isFull ? leases.offer(record, method) : undefined;
    const wantsDevice =
      params.rememberDevice === true && protocol === 'https' && isFull && isVerifiedCode(method);
    const remembered = wantsDevice
      ? await devices.remember({ username, node, credential, agent })
      : undefined;

    const lease = passage.lease ?? offered?.id;
    const facts = {
      username,
      node,
      worker: link.worker,
      protocol,
      state: passage.state,
      method,
      clientIp,
      agent,
      credential,
      ...(lease !== undefined && { lease }),
      ...(passage.reEnrol ? { reEnrol: true } : {}),
    };
    let session: PreparedSession;
    try {
      session = sessions.prepare(facts, {
        sessionsMax: user.limits.sessions,
        ...(method === 'bypass' && { maxMs: bypassSessionMaxMs }),
      });
    } catch (error) {
      throw await this.#noRoom(record, error);
    }
    const changes: Change[] = [
      ...passage.evidence,
      ...record.takeBack,
      ...(this.#owed.get(placeOf(record)) ?? []),
      session.change,
      { kind: 'note-login', user: username, clientIp, atMs: clock.now() },
      ...(isVerifiedCode(method) || method === 'recovery' ? [forgetWrongCodes(username)] : []),
      ...(offered?.changes ?? []),
      ...(remembered?.changes ?? []),
      {
        kind: 'audit',
        record: buildRecord(this.#parts, 'login.admitted', 'ok', {
          user: username,
          node,
          protocol,
          clientIp,
          agent,
          method,
          rule: passage.rule,
          sessionKey: session.stored.key,
          durationMs: Math.round(clock.monotonic() - record.beganAtMs),
          assertion: params.assertion,
        }),
      },
    ];
    const result = await state.commit(changes).catch((error: unknown) => {
      session.cancel();
      throw error;
    });
    if (!result.ok) {
      session.cancel();
      return this.#lostRace(record, result.failed, user, params, link);
    }
    challenges.end(record.id);
    this.#owed.delete(placeOf(record));
    const live = session.open();
    passage.spent();
    offered?.keep();
    // A set-up that was proven since the decision ended the sessions without a factor before this one was among them.
    if (method === 'none') await sessions.rejudge(username);
    if (live.ended.aborted) throw endGone(this.#parts, record, 'the session ended as it began');
    if (method === 'recovery') notifyUser(this.#parts, user, 'recovery-code-used', { node, clientIp });
    const device = passage.device ?? remembered?.cookie;
    return {
      outcome: 'admitted',
      view: await viewSession(this.#parts, live, session.id),
      ...(device !== undefined && { device }),
    };
  }

  /** Nothing was spent, and nothing was wrong with what was shown. */
  async #noRoom(record: Challenge, error: unknown): Promise<unknown> {
    if (!isSallyportError(error, 'too-many-sessions')) return error;
    const reference = await this.#note(record, `too many sessions: ${error.detail ?? ''}`);
    const { code, publicMessage, detail, hint } = error;
    return new SallyportError(code, publicMessage, {
      reference,
      ...(detail !== undefined && { detail }),
      ...(hint !== undefined && { hint }),
    });
  }

  /** Somebody else spent it first. */
  async #lostRace(
    record: Challenge,
    failed: Change['kind'],
    user: EffectiveUser,
    params: Params<'login.assert'>,
    link: NodeLink,
  ): Promise<Asserted> {
    const { next } = record;
    if (spendingCodes.has(failed)) {
      if (record.enclosedCode !== undefined) {
        this.#parts.challenges.end(record.id);
        throw buildRefusal('the code inside the password was used before').error;
      }
      if (next.kind !== 'code' || next.recipient === undefined || failed !== 'use-code')
        return this.#codes.again(record, 'used-code');
      const lost = await this.#codes.usedDelivered(record, next);
      if (lost.outcome === 'again') return lost;
      return this.#admit(record, user, this.#passages.ride(record, lost.lease), params, link);
    }
    if (failed === 'use-lease' || failed === 'rotate-device' || failed === 'require-enrolment')
      throw endGone(this.#parts, record, `${failed} failed`);
    throw new SallyportError('internal', 'Something went wrong on our side', {
      detail: `the login's commit failed at ${failed}`,
    });
  }
}

function placeOf({ username, clientIp }: Pick<Challenge, 'username' | 'clientIp'>): string {
  return JSON.stringify([username, clientIp]);
}

/** A code that the user's own device or mailbox showed just now. */
function isVerifiedCode(method: Method): boolean {
  return method === 'totp' || method === 'email' || method === 'sms';
}
