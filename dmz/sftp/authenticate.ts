import type { Admission } from '#dmz/guard/guard.ts';
import type { Admitted, Again, FirstFactorPassed, LoginService } from '#dmz/login/login-service.ts';
import {
  authenticationDeadlineMaxMs,
  firstFactorMs,
  messagesBeforeSuccessMax,
  serviceRequestsMax,
} from '#dmz/sftp/limits.ts';
import {
  type AuthenticationAction,
  type AuthenticationEvent,
  type AuthenticationState,
  initialState,
  stepAuthentication,
} from '#dmz/sftp/authentication/machine.ts';
import {
  type AuthenticationRequest,
  bannerMessage,
  failureMessage,
  infoRequest,
  keyAcceptable,
  readAnswers,
  readAuthenticationRequest,
  readServiceRequest,
  serviceAccept,
  successMessage,
} from '#dmz/sftp/authentication/messages.ts';
import {
  againInstruction,
  codeInstruction,
  codePrompt,
  deliveryFailedInstruction,
  passwordPrompt,
  setupInstruction,
  tooManyFailuresText,
  tooManyWaitingText,
  tooSlowText,
  unreachableText,
} from '#dmz/sftp/authentication/prompts.ts';
import { isSignatureRight } from '#dmz/sftp/authentication/signature.ts';
import { disconnectReason, firstConnectionMessage, message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, toSallyportError } from '#shared/error.ts';
import type { ClientAddress, FirstFactorEvidence } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';

/** What authentication needs of the transport below it. */
export interface AuthenticationPeer {
  send(payload: Buffer): void;
  disconnect(reason: number, text: string): void;
  readonly sessionId: Buffer;
  readonly isDead: boolean;
}

export interface AuthenticationOptions {
  readonly peer: AuthenticationPeer;
  readonly login: LoginService;
  readonly admission: Pick<Admission, 'awaitCode' | 'authenticated'>;
  /** Ready when the first message comes: by then the client has said what it is. */
  readonly client: () => ClientAddress;
  readonly listener: string;
  readonly publicUrl: string;
  readonly banner: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly onAdmitted: (admitted: Admitted) => void;
  /** A signature that its own key did not make, which no honest client sends. */
  readonly onForged: () => void;
}

/**
 * One connection's login: reads the client's authentication messages, lets the machine decide what is next, asks the
 * login service, and answers.
 *
 * Trust: everything the client sends. Decides nothing about rights: `Admitted` comes from the login service alone, and
 * success is sent only with one in hand.
 */
export class Authentication {
  readonly #options: AuthenticationOptions;
  #state: AuthenticationState = initialState;
  #messages = 0;
  #serviceRequests = 0;
  #hasBanner = false;
  #user: string | undefined;
  /** What the client just sent, for the action that uses it. */
  #request: AuthenticationRequest | undefined;
  #answer: Secret | undefined;
  #passed: FirstFactorPassed | undefined;
  #again: Again | undefined;
  /** What a `tell` round says. */
  #notice = '';
  #admitted: Admitted | undefined;
  #deadline: number;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    this.#deadline = options.clock.monotonic() + firstFactorMs;
  }

  get isDone(): boolean {
    return this.#state.at === 'done';
  }

  /** Any message before success. Throws MalformedMessage. */
  onMessage(type: number, payload: Buffer): void {
    this.#messages += 1;
    if (this.#messages > messagesBeforeSuccessMax)
      throw new MalformedMessage('too many messages before success');
    if (type >= firstConnectionMessage) throw new MalformedMessage(`message ${type} before success`);
    switch (type) {
      case message.serviceRequest:
        this.#onServiceRequest(readServiceRequest(payload));
        return;
      case message.userauthRequest:
        this.#onRequest(readAuthenticationRequest(payload, this.#options.peer.sessionId));
        return;
      case message.userauthInfoResponse: {
        const answers = readAnswers(payload);
        this.#answer = answers[0];
        this.#step({ type: 'answers', count: answers.length });
        return;
      }
      default:
        throw new MalformedMessage(`message ${type} before success`);
    }
  }

  sweep(): void {
    if (this.#options.clock.monotonic() >= this.#deadline) this.#step({ type: 'timeout' });
  }

  /** The connection is gone. */
  close(): void {
    if (this.#state.at === 'closed') return;
    const mayForget = this.#state.at === 'asking-code' || this.#state.at === 'first-factor-passed';
    this.#state = { ...this.#state, at: 'closed' };
    if (mayForget) void this.#passed?.cancel();
  }

  /** Again and again is fine: paramiko asks once for each method it tries. */
  #onServiceRequest(name: string): void {
    this.#serviceRequests += 1;
    if (name !== 'ssh-userauth' || this.#serviceRequests > serviceRequestsMax) {
      this.#options.peer.disconnect(disconnectReason.serviceNotAvailable, 'No such service');
      return;
    }
    this.#options.peer.send(serviceAccept(name));
    const { banner } = this.#options;
    if (banner === undefined || banner === '' || this.#hasBanner) return;
    this.#hasBanner = true;
    this.#options.peer.send(bannerMessage(`${banner}\n`));
  }

  #onRequest(request: AuthenticationRequest): void {
    if (this.#serviceRequests === 0) throw new MalformedMessage('authentication before its service');
    // RFC 4252 §5 lets a client change the name and makes us forget everything then; no real one does.
    if (this.#user !== undefined && this.#user !== request.user)
      throw new MalformedMessage('another user name');
    this.#user = request.user;
    this.#request = request;
    this.#step({ type: request.method });
  }

  #step(event: AuthenticationEvent): void {
    const { state, actions } = stepAuthentication(this.#state, event);
    this.#state = state;
    for (const action of actions) this.#act(action);
  }

  #act(action: AuthenticationAction): void {
    const { peer } = this.#options;
    switch (action.type) {
      case 'fail':
        peer.send(failureMessage(action.methods, action.partial));
        return;
      case 'accept-key':
        if (this.#request?.method === 'probe')
          peer.send(keyAcceptable(this.#request.algorithm, this.#request.key));
        return;
      case 'ask-password':
        peer.send(infoRequest('', [passwordPrompt]));
        return;
      case 'ask-code':
        peer.send(infoRequest(this.#codeInstruction(action.again), [codePrompt]));
        return;
      case 'tell':
        peer.send(infoRequest(this.#notice, []));
        return;
      case 'succeed':
        this.#succeed();
        return;
      case 'probe':
        void this.#decide(() => this.#probe());
        return;
      case 'begin':
        void this.#decide(() => this.#begin());
        return;
      case 'admit':
        void this.#decide(() => this.#admit());
        return;
      case 'answer':
        void this.#decide(() => this.#answerCode());
        return;
      case 'cancel':
        void this.#passed?.cancel();
        this.#passed = undefined;
        return;
      case 'disconnect':
        this.#disconnect(action.why);
    }
  }

  #disconnect(why: 'protocol' | 'failures' | 'unreachable' | 'timeout'): void {
    const { peer } = this.#options;
    switch (why) {
      case 'protocol':
        throw new MalformedMessage('authentication messages out of order');
      case 'failures':
        peer.disconnect(disconnectReason.noMoreAuthMethods, tooManyFailuresText);
        return;
      case 'unreachable':
        peer.disconnect(disconnectReason.serviceNotAvailable, unreachableText);
        return;
      case 'timeout':
        peer.disconnect(disconnectReason.byApplication, tooSlowText);
    }
  }

  /** Runs a question to the login service; whatever happens becomes exactly one event, or nothing if we are closed. */
  async #decide(ask: () => Promise<AuthenticationEvent>): Promise<void> {
    let event: AuthenticationEvent;
    try {
      event = await ask();
    } catch (error) {
      event = this.#toEvent(error);
    }
    if (this.#state.at === 'closed' || this.#options.peer.isDead) {
      // Nobody is there any more: what was opened for them is closed again.
      await this.#admitted?.end().catch(() => undefined);
      if (this.#admitted === undefined) await this.#passed?.cancel();
      return;
    }
    try {
      this.#step(event);
    } catch (error) {
      this.#options.log.error({ err: error }, 'authentication step failed');
      this.#options.peer.disconnect(disconnectReason.protocolError, 'Protocol error');
    }
  }

  #toEvent(error: unknown): AuthenticationEvent {
    const { code } = toSallyportError(error);
    if (code === 'link-down' || code === 'deadline' || code === 'busy') return { type: 'unreachable' };
    if (code === 'delivery-failed') {
      this.#notice = deliveryFailedInstruction;
      return { type: 'first-factor-right', next: 'notice' };
    }
    if (!isSallyportError(error) || code === 'internal')
      this.#options.log.error({ err: error }, 'login failed on our side');
    return { type: 'refused' };
  }

  async #probe(): Promise<AuthenticationEvent> {
    const request = this.#request;
    if (request?.method !== 'probe') return { type: 'refused' };
    const acceptable = await this.#options.login.probe(request.user, request.key, this.#options.client());
    return { type: 'probed', acceptable };
  }

  async #begin(): Promise<AuthenticationEvent> {
    const factor = this.#firstFactor();
    if (factor === undefined || this.#user === undefined) return { type: 'refused' };
    const { login, listener, clock } = this.#options;
    const user = this.#user;
    const client = this.#options.client();
    const passed = await login.begin({ user, protocol: 'sftp', listener, client, factor });
    this.#again = undefined;
    this.#passed = passed;
    // From here on the challenge's life counts, not the time a silent client gets.
    this.#deadline = clock.monotonic() + Math.min(passed.view.expiresInMs, authenticationDeadlineMaxMs);
    const next = this.#nextOf(passed);
    if (next === 'code' && !this.#options.admission.awaitCode(passed.view.username)) {
      this.#notice = tooManyWaitingText;
      await passed.cancel();
      return { type: 'first-factor-right', next: 'notice' };
    }
    return { type: 'first-factor-right', next };
  }

  #nextOf(passed: FirstFactorPassed): 'admit' | 'code' | 'notice' {
    if (passed.view.next === 'admit') return 'admit';
    if (passed.view.next === 'code' && passed.view.asked !== undefined) return 'code';
    // Set-up is done on the web, whichever way main says so.
    this.#notice = setupInstruction(this.#options.publicUrl);
    return 'notice';
  }

  #firstFactor(): FirstFactorEvidence | undefined {
    const request = this.#request;
    if (request?.method === 'password') return { type: 'password', password: request.password.expose() };
    if (request?.method === 'keyboard-interactive' && this.#answer !== undefined)
      return { type: 'password', password: this.#answer.expose() };
    if (request?.method !== 'publickey') return undefined;
    // Main verifies and decides; a signature that can't be right doesn't need to go there.
    if (!isSignatureRight(request)) {
      this.#options.onForged();
      return undefined;
    }
    return {
      type: 'publickey',
      signed: request.signed.toString('base64url'),
      signature: request.signature.toString('base64url'),
    };
  }

  async #admit(): Promise<AuthenticationEvent> {
    if (this.#passed === undefined) return { type: 'refused' };
    return this.#keep(await this.#passed.admit());
  }

  async #answerCode(): Promise<AuthenticationEvent> {
    const answer = this.#answer;
    this.#answer = undefined;
    if (this.#passed === undefined || answer === undefined) return { type: 'refused' };
    const result = await this.#passed.answer(answer);
    if (result.outcome === 'again') {
      this.#again = result;
      return { type: 'again' };
    }
    return this.#keep(result);
  }

  async #keep(admitted: Admitted): Promise<AuthenticationEvent> {
    if (admitted.view.state === 'signed-in') {
      this.#admitted = admitted;
      return { type: 'admitted' };
    }
    // A session confined to set-up has no use here.
    await admitted.end().catch(() => undefined);
    return { type: 'refused' };
  }

  #codeInstruction(again: boolean): string {
    const asked = this.#passed?.view.asked;
    if (asked === undefined) return '';
    return again && this.#again !== undefined ? againInstruction(asked, this.#again) : codeInstruction(asked);
  }

  #succeed(): void {
    const admitted = this.#admitted;
    if (admitted === undefined) throw new Error('success without a session');
    const { peer, admission, onAdmitted } = this.#options;
    admission.authenticated();
    if (admitted.view.notice !== undefined) peer.send(bannerMessage(`${admitted.view.notice}\n`));
    peer.send(successMessage());
    onAdmitted(admitted);
  }
}
