import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Recipient } from '#main-agent/two-factor/delivered-codes.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { ChallengeView, Params } from '#shared/link/messages.ts';
import { randomReference } from '#shared/random-id.ts';
import { isInNetworks } from '#main-agent/sessions/account-rules.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser } from '#main-agent/two-factor/code-delivery.ts';
import { assess } from './assessment.ts';
import type { Challenge, ChallengeNext, WaiverUse } from './challenges.ts';
import { viewChallenge } from './challenge-view.ts';
import { FirstFactor, type FirstFactorProven } from './first-factor.ts';
import { challengeLifeMs } from './limits.ts';
import type { LoginParts } from './login-parts.ts';
import { nextOf } from './next-step.ts';
import { isWaivable, type Decision } from './policy.ts';

/** `login.begin`: from a first factor to a challenge. */
export class LoginStart {
  readonly #parts: LoginParts;
  readonly #firstFactor: FirstFactor;

  constructor(parts: LoginParts) {
    this.#parts = parts;
    this.#firstFactor = new FirstFactor(parts);
  }

  async begin(params: Params<'login.begin'>, link: NodeLink, asker?: Asker): Promise<ChallengeView> {
    const { challenges, clock, config, delivered, vault } = this.#parts;
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
      const waiver = await this.#findWaiver(params, link, proven);
      if (waiver !== undefined) return { kind: 'admit', waiver };
    }
    const recipient = recipientOf(proven.user, params, link);
    return nextOf(decision, { recovery: status.recoveryCodesLeft > 0, recipient });
  }

  /** Why the code need not be asked, if it need not (S-01: the only exceptions). */
  async #findWaiver(
    params: Params<'login.begin'>,
    link: NodeLink,
    proven: FirstFactorProven,
  ): Promise<WaiverUse | undefined> {
    const { config, leases } = this.#parts;
    const { ip, agent } = params.client;
    const network = config.twoFactor.trustedNetworks.find(
      (one) => one.nodes.includes(link.node) && isInNetworks(ip, [one.cidr]),
    );
    if (network !== undefined) return { kind: 'trusted-network', cidr: network.cidr };

    const { username } = proven.user;
    const { credential } = proven;
    const binding = { username, credential, protocol: params.protocol, node: link.node, clientIp: ip, agent };
    const lease = leases.find(binding);
    if (lease !== undefined) return { kind: 'lease', lease: lease.id };
    if (params.device === undefined || params.protocol !== 'https') return undefined;
    return this.#findDevice(params.device, proven, params, link);
  }

  async #findDevice(
    value: string,
    { user, credential }: FirstFactorProven,
    params: Params<'login.begin'>,
    link: NodeLink,
  ): Promise<WaiverUse | undefined> {
    const { devices, log, state } = this.#parts;
    const { username } = user;
    const verdict = await devices.find(value, { username, node: link.node, credential });
    if (verdict.kind === 'known')
      return { kind: 'device', device: verdict.device.id, valueHash: verdict.valueHash };
    if (verdict.kind === 'copied') {
      log.error(
        { alarm: 'device-copied', user: username, node: link.node },
        'a device cookie has two holders',
      );
      await state.commit([
        { kind: 'end-device', id: verdict.device.id },
        {
          kind: 'audit',
          record: buildRecord(this.#parts, 'device.revoked', 'ok', {
            user: username,
            node: link.node,
            clientIp: params.client.ip,
            rule: 'a replaced device cookie was shown again',
          }),
        },
      ]);
      notifyUser(this.#parts, user, 'device-copied', { node: link.node, clientIp: params.client.ip });
    }
    return undefined;
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
            ...(error.detail === undefined ? {} : { detail: error.detail }),
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
