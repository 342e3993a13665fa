import type { NodeLink, SessionHandlers } from '#main-agent/link/handlers.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { buildOtpauthUri } from '#main-agent/two-factor/otpauth-uri.ts';
import type { PendingSetup, PendingSetups } from '#main-agent/two-factor/pending-setups.ts';
import { drawQr } from '#main-agent/two-factor/qr.ts';
import { KeyLock } from '#main-agent/turns.ts';
import type { FactorStatus, Vault } from '#main-agent/vault/vault.ts';
import { SallyportError } from '#shared/error.ts';
import type { Method, Protocol } from '#shared/login.ts';
import { Secret } from '#shared/secret.ts';
import { findSetupObstacle, mayReplace, needsTicket } from './enrolment-rules.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import { factsOf } from '#main-agent/sessions/session-facts.ts';
import { viewSession } from '#main-agent/sessions/session-view.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Assertions } from '#main-agent/login/assertions.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { StepUpCheck } from './step-up-check.ts';

export type EnrolmentHandlers = Pick<
  SessionHandlers,
  'enrol.start' | 'enrol.confirm' | 'enrol.resume' | 'enrol.prove'
>;

/** Sessions that a requirement made by the set-up itself ends: they were opened without a factor. */
const withoutFactor: ReadonlySet<string> = new Set<Method>(['none', 'trusted-network']);

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly assertions: Assertions;
  readonly sessions: Sessions;
  readonly setups: PendingSetups;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Setting up an authenticator: show, confirm, prove. The secret goes out once, to be shown, and is saved only when proven. */
export function buildEnrolmentHandlers(parts: Parts, stepUp: StepUpCheck): EnrolmentHandlers {
  const { config, setups } = parts;
  const proof = new SetupProof(parts);
  const turns = new KeyLock();

  /** It is spent when the set-up is saved: a picture that ran out must not cost the user a ticket. */
  async function requireTicket(ticket: string | undefined, session: AnySession): Promise<readonly Change[]> {
    if (ticket === undefined)
      throw new SallyportError('ticket-required', 'Setting up needs a code from your administrator');
    const shown = await stepUp.checkCode(session, ['bypass'], new Secret(ticket));
    if (shown.outcome === 'right') return shown.evidence;
    throw new SallyportError('ticket-required', 'That is not the code from your administrator', {
      data: { attemptsLeft: shown.attemptsLeft },
    });
  }

  return {
    'enrol.start': async ({ ticket }, session) => {
      const status = await requireAllowed(parts, session);
      const spends = needsTicket(parts, session, status) ? await requireTicket(ticket, session) : [];
      const { totp } = config.twoFactor;
      const { secret, expiresInMs } = await setups.start(session.username, session.key, spends);
      const account = totp.label.replaceAll('{username}', session.username);
      const otpauthUri = buildOtpauthUri(secret, { issuer: totp.issuer, account }, totp);
      return {
        secret: encodeBase32(secret.expose()),
        otpauthUri,
        qr: await drawQr(otpauthUri),
        expiresInMs,
      };
    },

    'enrol.confirm': async (_params, session) => {
      await requireAllowed(parts, session);
      const { setup, leftMs } = setups.confirm(session.username, session.key);
      return { proveWithinMs: leftMs, challenge: setup.challenge, nonce: setup.nonce };
    },

    'enrol.resume': async (_params, session) => {
      await requireAllowed(parts, session);
      const { setup, leftMs } = setups.confirmed(session.username, session.key);
      return { proveWithinMs: leftMs, challenge: setup.challenge, nonce: setup.nonce };
    },

    // Proofs of one user take turns: tries are counted and one wins.
    'enrol.prove': (params, session, link, asker) =>
      turns.run(session.username, () => {
        asker?.requireWaiting();
        return proof.check(params, session, link);
      }),
  };
}

async function requireAllowed(parts: Parts, session: AnySession): Promise<FactorStatus> {
  const status = await parts.vault.status(session.username);
  const problem = findSetupObstacle(parts, session, status);
  if (problem !== undefined)
    throw new SallyportError('not-allowed', 'Setting up two-factor authentication is not enabled here', {
      detail: problem,
    });
  if (status.state !== 'none' && !mayReplace(parts, session))
    throw new SallyportError('already-enrolled', 'Two-factor authentication is set up already');
  return status;
}

/** The last step: a code that only the new authenticator can show. */
class SetupProof {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Saves it when the code is right; else it says how many tries are left. */
  async check(
    { session: _id, ...evidence }: Parameters<SessionHandlers['enrol.prove']>[0],
    session: AnySession,
    link: NodeLink,
  ): ReturnType<SessionHandlers['enrol.prove']> {
    const { setups, vault } = this.#parts;
    await requireAllowed(this.#parts, session);
    const { username, key, protocol } = session;
    const { setup } = setups.confirmed(username, key);
    const { code } = await this.#parts.assertions
      .require(
        evidence,
        {
          purpose: 'enrol',
          challenge: setup.challenge,
          nonce: setup.nonce,
          username,
          protocol,
          methods: new Set(['totp']),
          withCode: true,
        },
        link,
      )
      .catch((error: unknown) => {
        this.#parts.log.error(
          { alarm: 'assertion-refused', node: link.node, user: username, err: error },
          'proof refused',
        );
        throw error;
      });
    const step = code === undefined ? undefined : await vault.prove(setup.setup, code);
    // Still: a reset, or another picture, may have ended it meanwhile.
    setups.requireSame(username, key, setup);
    if (step === undefined) return this.#wrong(session, setup);
    return this.#save(session, setup, step, link);
  }

  async #wrong(
    session: AnySession,
    setup: PendingSetup,
  ): Promise<{ outcome: 'again'; reason: 'wrong-code'; attemptsLeft: number }> {
    const attemptsLeft = this.#parts.setups.countWrong(session.username, setup);
    await this.#parts.state.commit([
      {
        kind: 'audit',
        record: buildRecord(this.#parts, 'two-factor.proof-refused', 'refused', {
          user: session.username,
          node: session.node,
          sessionKey: session.key,
          rule: `wrong code, ${attemptsLeft} tries left`,
        }),
      },
    ]);
    return { outcome: 'again', reason: 'wrong-code', attemptsLeft };
  }

  async #save(
    session: AnySession,
    setup: PendingSetup,
    step: number,
    link: NodeLink,
  ): ReturnType<SessionHandlers['enrol.prove']> {
    const { config, sessions, setups, users, vault } = this.#parts;
    const { twoFactor } = config;
    const { username, node, protocol, method, clientIp } = session;
    const { reEnrol: _spent, ...kept } = factsOf(sessions, session);
    const renewed = sessions.prepare(
      // It has proven a code now, so the requirement that the set-up makes does not end it.
      { ...kept, worker: link.worker, state: 'signed-in', method: 'totp' },
      { instead: session, sessionsMax: Infinity },
    );
    const requiredOn: readonly Protocol[] = twoFactor.autoEnable ? twoFactor.autoEnableProtocols : [];
    const result = await vault
      .enrol({
        username,
        secret: { setup: setup.setup },
        step,
        requiredOn,
        recoveryCodes: twoFactor.enrolment.recoveryCodes,
        via: { node, session: renewed.stored.key },
        replace: mayReplace(this.#parts, session),
        alongside: (id) => [
          ...setup.spends,
          renewed.change,
          {
            kind: 'note-account-change',
            change: {
              kind: 'enrolled',
              username,
              node,
              session: renewed.stored.key,
              clientIp,
              atMs: this.#parts.clock.now(),
              subject: id,
            },
          },
          {
            kind: 'audit',
            record: buildRecord(this.#parts, 'two-factor.enrolled', 'ok', {
              user: username,
              node,
              protocol,
              clientIp,
              method,
              sessionKey: renewed.stored.key,
              rule: requiredOn.length === 0 ? 'not required yet' : `required on ${requiredOn.join(', ')}`,
            }),
          },
        ],
      })
      .catch((error: unknown) => {
        renewed.cancel();
        throw error;
      });
    if (!result.ok) {
      renewed.cancel();
      if (result.reason === 'already-enrolled')
        throw new SallyportError('already-enrolled', 'Two-factor authentication is set up already');
      throw new SallyportError('setup-expired', 'This set-up is over; start again', {
        detail: 'commit refused',
      });
    }
    setups.end(username);
    const live = renewed.open();
    const user = users.find(username) ?? session.user();
    notifyUser(this.#parts, user, 'two-factor-enrolled', { node, clientIp });
    const effective = [...new Set([...user.twoFactor.requiredOn, ...requiredOn])];
    if (effective.length > 0)
      await sessions.endWhereMethod(username, withoutFactor, 'a second factor is required now', live.key);
    return {
      outcome: 'enrolled',
      recoveryCodes: result.recoveryCodes.map((one) => one.expose()),
      requiredOn: effective,
      view: await viewSession(this.#parts, live, renewed.id),
    };
  }
}
