import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { ChallengeView, Params } from '#shared/link/messages.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { factsOfBegin, type Challenge, type Challenges } from './challenges.ts';
import { viewChallenge } from './challenge-view.ts';
import type { DueStep } from './due-step.ts';
import type { FirstFactor } from './first-factor.ts';
import { challengeLifeMs } from './limits.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly state: StateStore;
  readonly challenges: Challenges;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/** `login.begin`: from a first factor to a challenge. */
export class LoginStart {
  readonly #parts: Parts;
  readonly #firstFactor: FirstFactor;
  readonly #due: DueStep;

  constructor(parts: Parts, firstFactor: FirstFactor, due: DueStep) {
    this.#parts = parts;
    this.#firstFactor = firstFactor;
    this.#due = due;
  }

  async begin(params: Params<'login.begin'>, link: NodeLink, asker?: Asker): Promise<ChallengeView> {
    const { challenges, clock, config } = this.#parts;
    const beganAtMs = clock.monotonic();
    const proven = await this.#firstFactor.verify(params, link, asker);
    const { username } = proven.user;
    const due = await this.#due.find(params, link, proven);
    if ('rule' in due) throw await this.#firstFactor.refuse(params, link, due.rule);
    const { isLocked, next } = due;
    const lifeMs =
      next.kind === 'code' && next.recipient !== undefined
        ? await this.#due.deliver(params, link, next.recipient, isLocked)
        : challengeLifeMs;
    const record = challenges.open({
      ...factsOfBegin(params, link),
      username,
      shownName: username,
      factor: proven.factor,
      credential: proven.credential,
      next,
      enclosedCode: next.kind === 'code' ? proven.enclosedCode : undefined,
      takeBack: [],
      beganAtMs,
      attemptsLeft: config.twoFactor.attempts.perLogin,
      lifeMs,
    });
    if (next.kind === 'instruct') await this.#noteInstruction(record);
    return viewChallenge(this.#parts, record);
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
