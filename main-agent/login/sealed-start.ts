import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import { sendIntervalMs } from '#main-agent/two-factor/limits.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import { toSallyportError } from '#shared/error.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { isInNetworks } from '#shared/networks.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { ChallengeView, Params } from '#shared/link/messages.ts';
import { randomReference } from '#shared/random-id.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { factsOfBegin, type Challenges, type SealedVerdict } from './challenges.ts';
import { viewChallenge } from './challenge-view.ts';
import type { DueStep } from './due-step.ts';
import type { FirstFactor, FirstFactorLook } from './first-factor.ts';
import { challengeLifeMs, sealedAnswerStepMs } from './limits.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Pick<Vault, 'requireReady'>;
  readonly challenges: Challenges;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * `login.begin` where `validated_logins` is `sealed` (D-171): whoever it is and whatever was shown is asked for a code,
 * in the same words and after the same work; what was found is kept until the answer comes, and then told in one word.
 *
 * Trust: as of the first factor. The node learns nothing here that it could tell, so its word is not needed for that.
 */
export class SealedStart {
  readonly #parts: Parts;
  readonly #firstFactor: FirstFactor;
  readonly #due: DueStep;

  constructor(parts: Parts, firstFactor: FirstFactor, due: DueStep) {
    this.#parts = parts;
    this.#firstFactor = firstFactor;
    this.#due = due;
  }

  async begin(params: Params<'login.begin'>, link: NodeLink, asker?: Asker): Promise<ChallengeView> {
    const { challenges, clock, config, delivered, state, users } = this.#parts;
    const beganAtMs = clock.monotonic();
    const mayEndAtOnce = this.#mayEndAtOnce(params, link);
    // Or only who has shown what is right would be told.
    if (mayEndAtOnce) await this.#parts.vault.requireReady(undefined);
    const settle = await this.#firstFactor.look(params, link, asker, { isEven: true });
    // Every password counts as a wrong one until its login is good: a count that came with the refusal would be told by
    // the throttle of the name, also to who never answers.
    const failures = await this.#firstFactor.failures(params, link);
    if (failures.length > 0) await state.commit(failures);
    const lookedAtMs = clock.monotonic();
    const takeBack = failures.map(({ scope, atMs }) => ({ kind: 'take-back-failure', scope, atMs }) as const);
    // From here on the answer waits for nothing that depends on who it is: what does is begun after it has gone.
    const verdict = nextTurn().then(() => this.#findVerdict(params, link, settle));
    const { factor, user } = params;
    const ttlMs = delivered.isConfigured ? config.twoFactor.delivered.ttlMs : 0;
    const facts = {
      ...factsOfBegin(params, link),
      username: users.resolve(user)?.username ?? foldUsername(user),
      shownName: user,
      factor: factor.type === 'password' ? ('pwd' as const) : ('key' as const),
      credential: '',
      enclosedCode: undefined,
      takeBack,
      beganAtMs,
      attemptsLeft: 1,
      lifeMs: Math.max(challengeLifeMs, ttlMs),
    };
    if (mayEndAtOnce) {
      const found = await verdict;
      await untilEven(clock, lookedAtMs);
      if (found.kind === 'passed' && found.next.kind === 'admit') {
        const { credential, next, username } = found;
        const admitted = { ...facts, credential, next, username, shownName: username };
        return viewChallenge(this.#parts, challenges.open(admitted));
      }
    }
    const resendAtMs = clock.monotonic() + sendIntervalMs;
    const record = challenges.open({ ...facts, next: { kind: 'sealed', verdict, resendAtMs } });
    return viewChallenge(this.#parts, record);
  }

  /**
   * Whom nothing more is asked of may be let in at once: being let in is the end, and tells no more than the end after
   * a question would. So it is with keys, which programs sign in with that have nobody to answer, and in networks that
   * the administrator trusts. Of people who type a password everybody is asked.
   */
  #mayEndAtOnce({ client, factor }: Params<'login.begin'>, { node }: NodeLink): boolean {
    const { trustedNetworks } = this.#parts.config.twoFactor;
    return (
      factor.type === 'publickey' ||
      trustedNetworks.some((one) => one.nodes.includes(node) && isInNetworks(client.ip, [one.cidr]))
    );
  }

  /** Never rejects: a fault that only some could meet is told like what is wrong with anybody. */
  async #findVerdict(
    params: Params<'login.begin'>,
    link: NodeLink,
    settle: FirstFactorLook,
  ): Promise<SealedVerdict> {
    const { log, state } = this.#parts;
    let isBait = false;
    try {
      isBait = await this.#firstFactor.isBait(params);
      return await this.#judge(params, link, settle, isBait);
    } catch (error) {
      const { code, detail } = toSallyportError(error);
      const reference = randomReference();
      const rule = `a fault of ours: ${detail ?? code}`;
      log.error({ err: error, reference }, 'a sealed login was not judged');
      await state
        .commit([this.#firstFactor.refused(params, link, rule, reference)])
        .catch((failure: unknown) =>
          log.error({ err: failure, reference, rule }, 'a refusal was not written down'),
        );
      return { kind: 'refused', isBait, isFault: true, rule, reference };
    }
  }

  async #judge(
    params: Params<'login.begin'>,
    link: NodeLink,
    settle: FirstFactorLook,
    isBait: boolean,
  ): Promise<SealedVerdict> {
    const { log, state } = this.#parts;
    const proven = await settle();
    const refuse = async (rule: string): Promise<SealedVerdict> => {
      const reference = randomReference();
      await state.commit([this.#firstFactor.refused(params, link, rule, reference)]);
      return { kind: 'refused', isBait, isFault: false, rule, reference };
    };
    if (typeof proven === 'string') return refuse(proven);
    const due = await this.#due.find(params, link, proven);
    if ('rule' in due) return refuse(due.rule);
    const { isLocked, next } = due;
    if (next.kind === 'instruct') return refuse('set-up is forced and not done');
    if (next.kind === 'code' && next.recipient !== undefined)
      void this.#due.deliver(params, link, next.recipient, isLocked).catch((error: unknown) => {
        log.warn({ err: error, user: proven.user.username }, 'the code of a sealed login was not sent');
      });
    return {
      kind: 'passed',
      isBait,
      next,
      username: proven.user.username,
      credential: proven.credential,
      enclosedCode: next.kind === 'code' ? proven.enclosedCode : undefined,
    };
  }
}

/** Waits for the next whole step since then, so that what was done meanwhile is not told by its time. */
export async function untilEven(clock: Pick<Clock, 'monotonic'>, sinceMs: number): Promise<void> {
  const goneMs = clock.monotonic() - sinceMs;
  await wait(sealedAnswerStepMs - (goneMs % sealedAnswerStepMs));
}
