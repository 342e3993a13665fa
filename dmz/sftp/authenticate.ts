import type { Admitted } from '#dmz/login/login-service.ts';
import {
  authenticationDeadlineMaxMs,
  firstFactorMs,
  messagesBeforeSuccessMax,
  serviceRequestsMax,
} from '#dmz/sftp/limits.ts';
import { LoginSteps, type LoginStepsOptions } from '#dmz/sftp/authentication/login-steps.ts';
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
  codePrompt,
  lostInstruction,
  passwordPrompt,
  tooManyFailuresText,
  tooSlowText,
  unreachableText,
} from '#dmz/sftp/authentication/prompts.ts';
import { disconnectReason, firstConnectionMessage, message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import type { Secret } from '#shared/secret.ts';

/** What authentication needs of the transport below it. */
interface AuthenticationPeer {
  send(payload: Buffer): void;
  disconnect(reason: number, text: string): void;
  readonly sessionId: Buffer;
  readonly isDead: boolean;
}

interface AuthenticationOptions extends LoginStepsOptions {
  readonly peer: AuthenticationPeer;
  readonly banner: string | undefined;
  readonly clock: Clock;
  readonly onAdmitted: (admitted: Admitted) => void;
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
  readonly #steps: LoginSteps;
  #deadline: number;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    this.#steps = new LoginSteps(options);
    this.#deadline = options.clock.monotonic() + firstFactorMs;
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
    this.#steps.leave();
    const { at } = this.#state;
    if (at === 'closed') return;
    this.#state = { ...this.#state, at: 'closed' };
    // What is being decided is seen to when the decision comes; what is done is the session's.
    if (at !== 'deciding' && at !== 'done') void this.#steps.abandon();
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
        peer.send(infoRequest(action.lost ? lostInstruction : '', [passwordPrompt]));
        return;
      case 'ask-code':
        peer.send(infoRequest(this.#steps.codeInstruction(action.again), [codePrompt]));
        return;
      case 'ask-proof':
        peer.send(infoRequest(this.#steps.proofInstruction(action.again), [codePrompt]));
        return;
      case 'tell':
        peer.send(infoRequest(this.#steps.notice, []));
        return;
      case 'succeed':
        this.#succeed();
        return;
      case 'probe':
        void this.#decide(this.#steps.probe(this.#request));
        return;
      case 'begin':
        void this.#decide(this.#steps.begin(this.#request, this.#takeAnswer()));
        return;
      case 'admit':
        void this.#decide(this.#steps.admit());
        return;
      case 'answer':
        void this.#decide(this.#steps.answer(this.#takeAnswer()));
        return;
      case 'prove':
        void this.#decide(this.#steps.prove(this.#takeAnswer()));
        return;
      case 'cancel':
        void this.#steps.abandon();
        return;
      case 'disconnect':
        this.#disconnect(action.why);
    }
  }

  #disconnect(why: Extract<AuthenticationAction, { type: 'disconnect' }>['why']): void {
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
      case 'turned-away':
        peer.disconnect(disconnectReason.tooManyConnections, this.#steps.notice);
        return;
      case 'timeout':
        peer.disconnect(disconnectReason.byApplication, tooSlowText);
    }
  }

  #takeAnswer(): Secret | undefined {
    const answer = this.#answer;
    this.#answer = undefined;
    return answer;
  }

  /** What came of a question to the login service; without effect if the connection is over by then. */
  async #decide(asked: Promise<AuthenticationEvent>): Promise<void> {
    const event = await asked;
    if (this.#state.at === 'closed' || this.#options.peer.isDead) {
      await this.#steps.abandon();
      return;
    }
    if (event.type === 'first-factor-right' || event.type === 'setup') this.#prolong(this.#steps.lifeMs);
    if (event.type === 'lost') this.#prolong(firstFactorMs);
    try {
      this.#step(event);
    } catch (error) {
      this.#options.log.error({ err: error }, 'authentication step failed');
      this.#options.peer.disconnect(disconnectReason.protocolError, 'Protocol error');
    }
  }

  /** After a right first factor the life of what was asked counts, not the time a silent client gets. */
  #prolong(lifeMs: number): void {
    const untilMs = this.#options.clock.monotonic() + Math.min(lifeMs, authenticationDeadlineMaxMs);
    this.#deadline = Math.max(this.#deadline, untilMs);
  }

  #succeed(): void {
    const { admitted } = this.#steps;
    if (admitted === undefined) throw new Error('success without a session');
    const { peer, admission, onAdmitted } = this.#options;
    admission.authenticated();
    if (admitted.view.notice !== undefined) peer.send(bannerMessage(`${admitted.view.notice}\n`));
    peer.send(successMessage());
    onAdmitted(admitted);
  }
}
