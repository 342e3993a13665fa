import {
  codeEntry,
  linkedPassword,
  login as loginEntry,
  type Challenge,
  type CodeAnswer,
  type LoginAnswer,
  type PasswordSet,
  type PendingCode,
} from '#dmz/http-api/sign-in.ts';
import { isGivenOnly } from '#dmz/login/code-shape.ts';
import type { Admitted, Again, FirstFactorPassed, LoginService } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import {
  clearSession,
  readDeviceCookie,
  readSessionCookie,
  setDevice,
  setHalfSession,
  setSession,
} from '#dmz/https/exchange/cookie.ts';
import { sendEmpty, sendJson, sendProblem, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { readJson, requireNoInput } from '#dmz/https/exchange/json-body.ts';
import type { Visitor } from '#dmz/https/exchange/route.ts';
import { describeAgain } from '#dmz/https/exchange/try-again.ts';

/**
 * Signing in and out. Each step that succeeds gives a new cookie; the value before it is dead on main by then.
 *
 * May not decide: anything about factors. It translates between the wire and the login service.
 */

const listener = 'https';

type Known = Exclude<Visitor, { kind: 'stranger' }>;
type HandlerFor<V extends unknown[]> = (exchange: Exchange, ...visitor: V) => Promise<void>;

export function buildLoginApi({ login }: { readonly login: LoginService }): {
  readonly postLogin: HandlerFor<[]>;
  readonly getCode: HandlerFor<[Known]>;
  readonly postCode: HandlerFor<[Known]>;
  readonly postResend: HandlerFor<[Known]>;
  readonly postLogout: HandlerFor<[Known]>;
  readonly postLinkedPassword: HandlerFor<[]>;
} {
  /** What the browser had before is over once it gets a new cookie: nothing may live on that nobody can end. */
  async function endPrevious(exchange: Exchange): Promise<void> {
    const previous = readSessionCookie(exchange.request.headers.cookie);
    try {
      if (previous?.kind === 'half')
        await (await login.resume(previous.challenge, exchange.client, 'https', listener)).cancel();
      if (previous?.kind === 'session') await (await login.attach(previous.session, exchange.client)).end();
    } catch (error) {
      // Gone already, as it should be.
      exchange.log.debug({ err: error }, 'previous session could not be ended');
    }
  }

  async function resume(exchange: Exchange, visitor: Known): Promise<FirstFactorPassed> {
    if (visitor.kind !== 'half')
      throw new SallyportError('challenge-gone', 'Sign-in refused', { detail: 'a session, not a half one' });
    return login.resume(visitor.challenge, exchange.client, 'https', listener);
  }

  /** Once the half session is over its cookie is worth nothing, and sign-in starts again. */
  async function whileItLasts(exchange: Exchange, visitor: Known, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const isOver = isSallyportError(error, 'refused') || isSallyportError(error, 'challenge-gone');
      if (!isOver || visitor.kind !== 'half') throw error;
      await sendProblem(exchange, error, { headers: clearSession() });
    }
  }

  return {
    async postLogin(exchange) {
      const { username, password } = await readJson(exchange, loginEntry);
      const device = readDeviceCookie(exchange.request.headers.cookie);
      const passed = await login.begin({
        user: username,
        protocol: 'https',
        listener,
        client: exchange.client,
        factor: { type: 'password', password },
        ...(device === undefined ? {} : { device }),
        gone: goneOf(exchange),
      });
      await endPrevious(exchange);
      switch (passed.view.next) {
        case 'admit':
        case 'setup':
          return sendAdmitted(exchange, await passed.admit());
        case 'code':
          return sendJson<LoginAnswer>(
            exchange,
            200,
            { state: 'code-required', challenge: describeChallenge(passed) },
            setHalfSession(passed.id),
          );
        case 'instruct':
          await passed.cancel();
          throw new SallyportError('refused', 'Sign-in refused', {
            detail: 'main asked to instruct on https',
          });
      }
    },

    /** What is asked, for a page that was loaded again between the steps. */
    getCode: (exchange, visitor) =>
      whileItLasts(exchange, visitor, async () => {
        const passed = await resume(exchange, visitor);
        const challenge = describeChallenge(passed);
        await sendJson<PendingCode>(exchange, 200, {
          state: 'code-required',
          username: passed.view.username,
          challenge,
        });
      }),

    postCode: (exchange, visitor) =>
      whileItLasts(exchange, visitor, async () => {
        const { code, remember_device: rememberDevice = false } = await readJson(exchange, codeEntry);
        const passed = await resume(exchange, visitor);
        const result = await passed.answer(new Secret(code), { rememberDevice });
        await (result.outcome === 'again' ? sendAgain(exchange, result) : sendAdmitted(exchange, result));
      }),

    async postResend(exchange, visitor) {
      await requireNoInput(exchange);
      await (await resume(exchange, visitor)).resend();
      await sendEmpty(exchange, 204);
    },

    /** Whoever is signed in here stays so: the link's user may be another. */
    async postLinkedPassword(exchange) {
      const { token, password } = await readJson(exchange, linkedPassword);
      try {
        const set = await login.setPassword(token, password, exchange.client, goneOf(exchange));
        await sendJson<PasswordSet>(exchange, 200, { username: set.username });
      } catch (error) {
        if (isSallyportError(error, 'too-weak'))
          return sendProblem(exchange, error, { reason: 'weak-password' });
        // Says nothing about a session that this browser has.
        if (isSallyportError(error, 'refused')) return sendProblem(exchange, error, { reason: 'dead-link' });
        throw error;
      }
    },

    async postLogout(exchange, visitor) {
      await requireNoInput(exchange);
      if (visitor.kind === 'half') await endPrevious(exchange);
      else await visitor.session.end();
      await sendEmpty(exchange, 204, clearSession());
    },
  };
}

/** Of the client: a browser that was closed, or that asks anew. */
function goneOf({ response }: Exchange): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}

function sendAdmitted(exchange: Exchange, admitted: Admitted): Promise<void> {
  const { session, state, username, displayName } = admitted.view;
  const cookies = [
    ...setSession(session),
    ...(admitted.device === undefined ? [] : setDevice(admitted.device)),
  ];
  const user = { username, display_name: displayName };
  return sendJson<CodeAnswer>(exchange, 200, state === 'signed-in' ? { state, user } : { state }, cookies);
}

/** 401 with what the person can do about it; the half or set-up session lives on under the same cookie. */
export function sendAgain(exchange: Exchange, again: Again): Promise<void> {
  const { reason, attemptsLeft, driftSeconds, reference } = again;
  const error = new SallyportError('refused', describeAgain(reason), {
    data: driftSeconds === undefined ? { attemptsLeft } : { attemptsLeft, driftSeconds },
    ...(reference === undefined ? {} : { reference }),
  });
  return sendProblem(exchange, error, { reason });
}

function describeChallenge(passed: FirstFactorPassed): Challenge {
  const { asked, expiresInMs } = passed.view;
  if (asked === undefined) throw new SallyportError('internal', 'Something went wrong on our side');
  return {
    method: asked.method,
    hint: asked.hint,
    recovery: asked.recovery,
    ...(asked.sealed === true ? { sealed: true } : {}),
    ...(isGivenOnly(asked) ? { given: true } : {}),
    attempts_left: asked.attemptsLeft,
    expires_in: Math.floor(expiresInMs / 1000),
    ...(asked.rememberDevice === true ? { remember_device: true } : {}),
    ...(asked.sentAgoMs === undefined ? {} : { sent_ago: Math.round(asked.sentAgoMs / 1000) }),
    ...(asked.resendInMs === undefined ? {} : { resend_in: Math.ceil(asked.resendInMs / 1000) }),
  };
}
