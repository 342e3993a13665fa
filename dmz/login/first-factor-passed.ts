import type { Guard } from '#dmz/guard/guard.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import type { Method } from '#shared/login.ts';
import { isSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { buildAdmitted, type SessionSurroundings } from './admitted-session.ts';
import { toAgain } from './again.ts';
import type { LoginFacts, Proof } from './assertion-writer.ts';
import { recogniseCode, recogniseShape } from './code-shape.ts';
import { loginTimeoutMs } from './limits.ts';
import type { Admitted, Again, FirstFactorPassed } from './login-service.ts';
import { asRefusal, isBait, rateLimited, refuse } from './refusal.ts';
import type { Unanswered } from './unanswered.ts';

type Asked = NonNullable<ChallengeView['asked']>;

/**
 * Between the factors. What may come next was decided on main and is in the view; a step main did not offer is
 * refused here, and would be refused there too.
 */
export function buildFirstFactorPassed(
  around: SessionSurroundings & { readonly guard: Guard; readonly unanswered: Unanswered },
  view: ChallengeView,
  facts: LoginFacts,
): FirstFactorPassed {
  const { link, guard, unanswered } = around;
  let attemptsLeft = view.asked?.attemptsLeft ?? 0;

  async function assert(
    proof: Pick<Proof, 'method' | 'code'>,
    rememberDevice = false,
  ): Promise<Admitted | Again> {
    const full: Proof = { purpose: 'login', challenge: view.challenge, nonce: view.nonce, ...proof };
    try {
      const result = await link.request(
        'login.assert',
        async (binding) => ({
          challenge: view.challenge,
          ...(await around.writeAssertion(facts, full, binding)),
          ...(rememberDevice ? { rememberDevice } : {}),
        }),
        { timeoutMs: loginTimeoutMs },
      );
      if (result.outcome === 'again') {
        attemptsLeft = result.attemptsLeft;
        return toAgain(result);
      }
      const live = around.sessions.keep(result.view, facts.client);
      guard.signedIn(facts.client.ip, facts.user);
      return buildAdmitted(around, live, facts, result.device);
    } catch (error) {
      throw asRefusal(error);
    }
  }

  /** Both factors at once: what main says of them is what the guard hears of the first. */
  async function assertSealed(untrustedCode: Secret, asked: Asked, remember: boolean): Promise<Admitted> {
    // What has no code's shape is no answer; but whether one is due only main knows.
    const code = recogniseShape(untrustedCode, asked.shapes, asked.deliveredLength)?.code ?? new Secret('');
    unanswered.answered(view.challenge);
    const { ip } = facts.client;
    const result = await assert({ method: 'sealed', code }, remember).catch((error: unknown) => {
      if (isSallyportError(error, 'refused'))
        guard.firstFactorFailed(ip, facts.user, { isBait: isBait(error) });
      throw error;
    });
    if (result.outcome === 'again') throw refuse('main asked again where one answer is given');
    const waitMs = guard.firstFactorRight(ip, facts.user);
    if (waitMs === undefined) return result;
    await result.end();
    throw rateLimited(waitMs);
  }

  const passed: FirstFactorPassed = {
    id: view.challenge,
    view,

    async admit() {
      if (view.next !== 'admit' && view.next !== 'setup') throw refuse(`admit asked, next is ${view.next}`);
      const method: Method = view.next === 'admit' ? (view.admitAs ?? 'none') : 'none';
      const result = await assert({ method });
      if (result.outcome === 'again') throw refuse('main asked again where no code was given');
      return result;
    },

    async answer(code: Secret, options = {}) {
      if (view.next !== 'code' || view.asked === undefined) throw refuse(`code given, next is ${view.next}`);
      if (view.asked.sealed === true) return assertSealed(code, view.asked, options.rememberDevice === true);
      const recognised = recogniseCode(code, view.asked);
      if (recognised === undefined) {
        guard.firstFactorFailed(facts.client.ip, facts.user);
        // A person mistypes and may correct it; an SSH client that answers every prompt with the saved password
        // would go on until the factor is locked, so its attempt ends here.
        if (facts.protocol === 'https') return { outcome: 'again', reason: 'wrong-code', attemptsLeft };
        await passed.cancel();
        throw refuse('answer has no offered shape');
      }
      return assert(recognised, options.rememberDevice === true);
    },

    async resend() {
      if (view.next !== 'code') throw refuse(`resend asked, next is ${view.next}`);
      return link.request('login.resend', { challenge: view.challenge }, { timeoutMs: loginTimeoutMs });
    },

    async cancel() {
      unanswered.giveUp(view.challenge);
      await link.request('login.cancel', { challenge: view.challenge }).catch(() => undefined);
    },
  };
  return passed;
}
