import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Recipient, DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Params } from '#shared/link/messages.ts';
import { randomReference } from '#shared/random-id.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { assess } from './assessment.ts';
import type { DueNext } from './challenges.ts';
import type { Waivers } from './waivers.ts';
import type { FirstFactorProven } from './first-factor.ts';
import { nextOf } from './next-step.ts';
import { isWaivable } from './policy.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/** What a right first factor leads to. */
type Due =
  | { readonly rule: string }
  | {
      readonly next: DueNext;
      /** No code but an admin's could be used: none is sent. */
      readonly isLocked: boolean;
    };

/** What is due after a right first factor, and the code that has to be sent for it. */
export class DueStep {
  readonly #parts: Parts;
  readonly #waivers: Waivers;

  constructor(parts: Parts, waivers: Waivers) {
    this.#parts = parts;
    this.#waivers = waivers;
  }

  async find(params: Params<'login.begin'>, link: NodeLink, proven: FirstFactorProven): Promise<Due> {
    const { clock, config, delivered, vault } = this.#parts;
    const { user } = proven;
    const status = await vault.status(user.username);
    const { decision } = assess(user, status, {
      protocol: params.protocol,
      nowMs: clock.now(),
      nodeValidatedLogins: link.validatedLogins,
      config,
      delivered,
    });
    if (decision.outcome === 'refuse') return { rule: decision.rule };
    const isLocked = (status.wrongCodes.lockedUntilMs ?? 0) > clock.now();
    if (isWaivable(decision)) {
      const waiver = await this.#waivers.find(params, link, proven);
      if (waiver !== undefined) return { next: { kind: 'admit', waiver }, isLocked };
    }
    const recipient = recipientOf(user, params, link);
    return { next: nextOf(decision, { recovery: status.recoveryCodesLeft > 0, recipient }), isLocked };
  }

  /** Has a code sent unless one lives, or none could be used. How long the challenge may live. */
  async deliver(
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
