import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Recipient, DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus, Vault } from '#main-agent/vault/vault.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { ChallengeView, Params } from '#shared/link/messages.ts';
import { randomReference } from '#shared/random-id.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { assess } from './assessment.ts';
import type { Challenge, ChallengeNext, Challenges } from './challenges.ts';
import { viewChallenge } from './challenge-view.ts';
import type { Waivers } from './waivers.ts';
import type { FirstFactor, FirstFactorProven } from './first-factor.ts';
import { challengeLifeMs } from './limits.ts';
import { nextOf } from './next-step.ts';
import { isWaivable, type Decision } from './policy.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly challenges: Challenges;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/** `login.begin`: from a first factor to a challenge. */
export class LoginStart {
  readonly #parts: Parts;
  readonly #firstFactor: FirstFactor;
  readonly #waivers: Waivers;

  constructor(parts: Parts, firstFactor: FirstFactor, waivers: Waivers) {
    this.#parts = parts;
    this.#firstFactor = firstFactor;
    this.#waivers = waivers;
  }

  async begin(params: Params<'login.begin'>, link: NodeLink, asker?: Asker): Promise<ChallengeView> {
    const { challenges, clock, config, delivered, vault } = this.#parts;
    const beganAtMs = clock.monotonic();
    const proven = await this.#firstFactor.verify(params, link, asker);
    const { user } = proven;
    const status = await vault.status(user.username);
    const { decision } = assess(user, status, {
      protocol: params.protocol,
      nowMs: clock.now(),
      nodeValidatedLogins: link.validatedLogins,
      config,
      delivered,
    });
    if (decision.outcome === 'refuse') throw await this.#firstFactor.refuse(params, link, decision.rule);

    const next = await this.#findNext(params, link, proven, decision, status);
    const isLocked = (status.wrongCodes.lockedUntilMs ?? 0) > clock.now();
    const lifeMs =
      next.kind === 'code' && next.recipient !== undefined
        ? await this.#deliver(params, link, next.recipient, isLocked)
        : challengeLifeMs;
    const record = challenges.open({
      node: link.node,
      username: user.username,
      factor: proven.factor,
      credential: proven.credential,
      protocol: params.protocol,
      listener: params.listener,
      clientIp: params.client.ip,
      clientPort: params.client.port,
      agent: params.client.agent,
      next,
      enclosedCode: next.kind === 'code' ? proven.enclosedCode : undefined,
      beganAtMs,
      attemptsLeft: config.twoFactor.attempts.perLogin,
      lifeMs,
    });
    if (next.kind === 'instruct') await this.#noteInstruction(record);
    return viewChallenge(this.#parts, record);
  }

  async #findNext(
    params: Params<'login.begin'>,
    link: NodeLink,
    proven: FirstFactorProven,
    decision: Exclude<Decision, { outcome: 'refuse' }>,
    status: FactorStatus,
  ): Promise<ChallengeNext> {
    if (isWaivable(decision)) {
      const waiver = await this.#waivers.find(params, link, proven);
      if (waiver !== undefined) return { kind: 'admit', waiver };
    }
    const recipient = recipientOf(proven.user, params, link);
    return nextOf(decision, { recovery: status.recoveryCodesLeft > 0, recipient });
  }

  /** Has a code sent unless one lives, or none could be used. How long the challenge may live. */
  async #deliver(
    params: Params<'login.begin'>,
    link: NodeLink,
    recipient: Recipient,
    isLocked: boolean,
  ): Promise<number> {
    const { delivered, state } = this.#parts;
    try {
      const view = isLocked ? delivered.view(recipient) : await delivered.request(recipient);
      return view.expiresInMs;
    } catch (error) {
      if (!isSallyportError(error, 'delivery-failed')) throw error;
      const reference = randomReference();
      await state.commit([
        {
          kind: 'audit',
          record: buildRecord(this.#parts, 'login.refused', 'failed', {
            user: recipient.username,
            node: link.node,
            protocol: params.protocol,
            clientIp: params.client.ip,
            rule: 'the code could not be delivered',
            ...(error.detail !== undefined && { detail: error.detail }),
            reference,
          }),
        },
      ]);
      throw new SallyportError('delivery-failed', error.publicMessage, { reference, cause: error });
    }
  }

  async #noteInstruction(record: Challenge): Promise<void> {
    await this.#parts.state.commit([
      {
        kind: 'audit',
        record: buildRecord(this.#parts, 'login.refused', 'refused', {
          user: record.username,
          node: record.node,
          protocol: record.protocol,
          clientIp: record.clientIp,
          agent: record.agent,
          rule: 'set-up is forced and not done; told where',
        }),
      },
    ]);
  }
}

function recipientOf(user: EffectiveUser, params: Params<'login.begin'>, link: NodeLink): Recipient {
  return {
    username: user.username,
    email: user.email,
    phone: user.phone,
    ttlMs: user.twoFactor.deliveredTtlMs,
    node: link.node,
    protocol: params.protocol,
    clientIp: params.client.ip,
  };
}
