import type { Admission } from '#dmz/guard/guard.ts';
import type { Admitted, Again, FirstFactorPassed, LoginService } from '#dmz/login/login-service.ts';
import type { AuthenticationEvent } from '#dmz/sftp/authentication/machine.ts';
import type { AuthenticationRequest } from '#dmz/sftp/authentication/messages.ts';
import {
  againInstruction,
  codeInstruction,
  deliveryFailedInstruction,
  enrolledText,
  proofAgainInstruction,
  proofInstruction,
  setupInstruction,
  tooManyWaitingText,
  turnedAwayText,
} from '#dmz/sftp/authentication/prompts.ts';
import { sealedAnswerMs } from '#dmz/sftp/limits.ts';
import { isSignatureRight } from '#dmz/sftp/authentication/signature.ts';
import { isSallyportError, toSallyportError } from '#shared/error.ts';
import type { ClientAddress, FirstFactorEvidence } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';

export interface LoginStepsOptions {
  readonly login: LoginService;
  readonly admission: Pick<Admission, 'awaitCode' | 'authenticated'>;
  /** Ready when the first message comes: by then the client has said what it is. */
  readonly client: () => ClientAddress;
  /** Part of what every login signs. */
  readonly listener: string;
  readonly publicUrl: string;
  readonly log: Log;
  /** A signature that its own key did not make, which no honest client sends. */
  readonly onForged: () => void;
}

/**
 * What the machine's questions come to: each asks the login service and says in one event what came of it. Holds the
 * challenge and the session while they live.
 *
 * May not decide: what is asked next, or whether anybody is let in.
 */
export class LoginSteps {
  readonly #options: LoginStepsOptions;
  #passed: FirstFactorPassed | undefined;
  /** A password can be asked for again in the same exchange, a signature can't. */
  #isPassword = false;
  #lifeMs = 0;
  /** A session that may do nothing but set up a second factor. */
  #confined: Admitted | undefined;
  #proof = '';
  #again: Again | undefined;
  #notice = '';
  #admitted: Admitted | undefined;
  readonly #gone = new AbortController();

  constructor(options: LoginStepsOptions) {
    this.#options = options;
  }

  /** What a round without a prompt says, or the end of the connection. */
  get notice(): string {
    return this.#notice;
  }

  get admitted(): Admitted | undefined {
    return this.#admitted;
  }

  /** How long an answer to what was asked last is of use, from when it was asked. */
  get lifeMs(): number {
    return this.#lifeMs;
  }

  codeInstruction(again: boolean): string {
    const asked = this.#passed?.view.asked;
    if (asked === undefined) return '';
    return again && this.#again !== undefined ? againInstruction(asked, this.#again) : codeInstruction(asked);
  }

  proofInstruction(again: boolean): string {
    return again && this.#again !== undefined ? proofAgainInstruction(this.#again) : this.#proof;
  }

  async probe(request: AuthenticationRequest | undefined): Promise<AuthenticationEvent> {
    if (request?.method !== 'probe') return { type: 'refused' };
    const { login, client } = this.#options;
    return this.#toEvent(async () => ({
      type: 'probed',
      acceptable: await login.probe(request.user, request.key, client()),
    }));
  }

  /** A first factor: what the request brought, or the answer to the password prompt. */
  async begin(
    request: AuthenticationRequest | undefined,
    answer: Secret | undefined,
  ): Promise<AuthenticationEvent> {
    const factor = request === undefined ? undefined : this.#evidence(request, answer);
    if (request === undefined || factor === undefined) return { type: 'refused' };
    const { user } = request;
    const { login, listener, client } = this.#options;
    return this.#toEvent(async () => {
      const gone = this.#gone.signal;
      const attempt = { user, protocol: 'sftp', listener, client: client(), factor, gone } as const;
      this.#passed = await login.begin(attempt);
      this.#again = undefined;
      this.#isPassword = factor.type === 'password';
      this.#lifeMs = this.#passed.view.expiresInMs;
      return { type: 'first-factor-right', next: await this.#nextOf(this.#passed) };
    });
  }

  async admit(): Promise<AuthenticationEvent> {
    const passed = this.#passed;
    if (passed === undefined) return { type: 'refused' };
    return this.#toEvent(async () => this.#keep(await passed.admit()));
  }

  async answer(code: Secret | undefined): Promise<AuthenticationEvent> {
    const passed = this.#passed;
    if (passed === undefined || code === undefined) return { type: 'refused' };
    return this.#toEvent(async () => {
      try {
        const result = await passed.answer(code);
        if (result.outcome === 'admitted') return await this.#keep(result);
        this.#again = result;
        return { type: 'again' };
      } catch (error) {
        // Main was away between the two factors, or thinks otherwise by now. Nothing the client did counts for that.
        if (this.#confined !== undefined || !isLost(error)) throw error;
        return { type: this.#isPassword ? 'lost' : 'unreachable' };
      }
    });
  }

  /** A code made from the key that was shown. */
  async prove(code: Secret | undefined): Promise<AuthenticationEvent> {
    const confined = this.#confined;
    if (confined === undefined || code === undefined) return { type: 'refused' };
    return this.#toEvent(async () => {
      const result = await confined.enrolment.prove(code);
      if (result.outcome === 'again') {
        this.#again = result;
        if (result.attemptsLeft > 0) return { type: 'again' };
        await this.abandon();
        return { type: 'refused' };
      }
      this.#confined = undefined;
      this.#admitted = result.admitted;
      this.#notice = enrolledText(result.recoveryCodes);
      return { type: 'enrolled' };
    });
  }

  /** Nobody is there any more to hear what is being decided. */
  leave(): void {
    this.#gone.abort();
  }

  /** Nobody is there any more, or all is void: what was opened on main is closed again. */
  async abandon(): Promise<void> {
    const session = this.#admitted ?? this.#confined;
    const passed = this.#passed;
    this.#admitted = undefined;
    this.#confined = undefined;
    this.#passed = undefined;
    if (session === undefined) await passed?.cancel();
    else await session.end().catch(() => undefined);
  }

  async #nextOf(passed: FirstFactorPassed): Promise<'admit' | 'code' | 'notice'> {
    const { admission, publicUrl } = this.#options;
    if (passed.view.next === 'admit') return 'admit';
    if (passed.view.next === 'code' && passed.view.asked !== undefined) {
      // Nothing is proven by then: it stays among those that have to hurry, and takes no place of its user's.
      if (passed.view.asked.sealed === true) {
        this.#lifeMs = Math.min(this.#lifeMs, sealedAnswerMs);
        return 'code';
      }
      if (await admission.awaitCode(passed.view.username)) return 'code';
      this.#notice = tooManyWaitingText;
    } else {
      // Set-up is done on the web, whichever way main says so.
      this.#notice = setupInstruction(publicUrl);
    }
    await passed.cancel();
    return 'notice';
  }

  #evidence(request: AuthenticationRequest, answer: Secret | undefined): FirstFactorEvidence | undefined {
    switch (request.method) {
      case 'password':
        return { type: 'password', password: request.password.expose() };
      case 'keyboard-interactive':
        return answer === undefined ? undefined : { type: 'password', password: answer.expose() };
      case 'publickey':
        // Main verifies and decides; a signature that can't be right doesn't need to go there.
        if (isSignatureRight(request))
          return {
            type: 'publickey',
            signed: request.signed.toString('base64url'),
            signature: request.signature.toString('base64url'),
          };
        this.#options.onForged();
        return undefined;
      case 'none':
      case 'probe':
      case 'other':
        return undefined;
    }
  }

  async #keep(admitted: Admitted): Promise<AuthenticationEvent> {
    if (admitted.view.state === 'signed-in') {
      this.#admitted = admitted;
      return { type: 'admitted' };
    }
    this.#confined = admitted;
    return this.#startSetup(admitted);
  }

  /** Nobody scans a picture here: the key is shown as text, so showing it is confirming it. */
  async #startSetup({ enrolment }: Admitted): Promise<AuthenticationEvent> {
    const { secret } = await enrolment.start();
    const { proveWithinMs } = await enrolment.confirm();
    this.#again = undefined;
    this.#lifeMs = proveWithinMs;
    this.#proof = proofInstruction(secret, proveWithinMs);
    return { type: 'setup' };
  }

  async #toEvent(ask: () => Promise<AuthenticationEvent>): Promise<AuthenticationEvent> {
    try {
      return await ask();
    } catch (error) {
      const { code, publicMessage, data } = toSallyportError(error);
      // Without its set-up a confined session has no use here.
      if (this.#confined !== undefined) await this.abandon();
      if (code === 'link-down' || code === 'deadline') return { type: 'unreachable' };
      if (code === 'busy' || code === 'rate-limited' || code === 'too-many-sessions') {
        this.#notice = turnedAwayText(publicMessage, data?.retryAfterMs);
        return { type: 'turned-away' };
      }
      if (code === 'delivery-failed') {
        this.#notice = deliveryFailedInstruction;
        return { type: 'first-factor-right', next: 'notice' };
      }
      if (!isSallyportError(error) || code === 'internal')
        this.#options.log.error({ err: error }, 'login failed on our side');
      return { type: 'refused' };
    }
  }
}

function isLost(error: unknown): boolean {
  return isSallyportError(error, 'link-down') || isSallyportError(error, 'challenge-gone');
}
