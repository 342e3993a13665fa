/**
 * Main's table of requests: which verb needs what proof, and who then answers it (S-05). Login verbs need none, nor do
 * those about the node's own host keys, which are bound to the node by its link; session
 * verbs a live session of this very node; file verbs and streams one that is past its second factor; verbs about the
 * user's own account such a one of the web. The handler gets the proof as a value, so that none can forget to ask.
 *
 * A verb that is not in the table never gets here: the codec closes the link. What names a dead or foreign session is
 * answered `no-session` and counted; a node that keeps at it is cut off.
 *
 * Trust: params passed their schema; every word in them is still the node's word.
 */
import type { FullSession, SessionRegistry } from '#main-agent/sessions/session.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { AnyRequest } from '#shared/link/codec.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { StreamHeader, Verb } from '#shared/link/messages.ts';
import type {
  AccountHandlers,
  AccountVerb,
  FileHandlers,
  FileVerb,
  HostKeyHandlers,
  HostKeyVerb,
  LoginHandlers,
  LoginVerb,
  NodeLink,
  SessionHandlers,
  SessionVerb,
  StreamHandler,
} from './handlers.ts';
import { strayGraceMs, straysMax, strayWindowMs } from './limits.ts';
import type { OperationLog } from './operations.ts';

/** Everything main answers. */
export interface LinkHandlers {
  readonly hostKeys: HostKeyHandlers;
  readonly login: LoginHandlers;
  readonly session: SessionHandlers;
  readonly account: AccountHandlers;
  readonly files: FileHandlers;
  readonly onStream: StreamHandler;
  readonly sessions: SessionRegistry;
}

/** The table. A Record over all verbs: a new verb without a row does not compile. */
const proofs: Readonly<Record<Verb, 'node' | 'nothing' | 'session' | 'web session' | 'full session'>> = {
  'hostkey.sign': 'node',
  'hostkey.prove': 'node',
  'login.probe': 'nothing',
  'login.begin': 'nothing',
  'login.resume': 'nothing',
  'login.assert': 'nothing',
  'login.resend': 'nothing',
  'login.cancel': 'nothing',
  'login.set-password': 'nothing',
  'session.attach': 'session',
  'session.end': 'session',
  'account.view': 'session',
  'enrol.start': 'session',
  'enrol.confirm': 'session',
  'enrol.resume': 'session',
  'enrol.prove': 'session',
  'account.sessions': 'web session',
  'account.leases': 'web session',
  'account.devices': 'web session',
  'account.ssh-keys': 'web session',
  'account.end': 'web session',
  'account.step-up': 'web session',
  'account.change': 'web session',
  'fs.list': 'full session',
  'fs.stat': 'full session',
  'fs.usage': 'full session',
  'fs.open-folder': 'full session',
  'fs.read-folder': 'full session',
  'fs.open': 'full session',
  'fs.write': 'full session',
  'fs.stat-handle': 'full session',
  'fs.change-handle': 'full session',
  'fs.sync': 'full session',
  'fs.copy-range': 'full session',
  'fs.commit': 'full session',
  'fs.release': 'full session',
  'fs.create-upload': 'full session',
  'fs.find-upload': 'full session',
  'fs.list-uploads': 'full session',
  'fs.open-upload': 'full session',
  'fs.remove-upload': 'full session',
  'fs.make-folder': 'full session',
  'fs.remove-file': 'full session',
  'fs.remove-folder': 'full session',
  'fs.list-bin': 'full session',
  'fs.restore-binned': 'full session',
  'fs.empty-bin': 'full session',
  'fs.rename': 'full session',
  'fs.copy': 'full session',
  'fs.change': 'full session',
  'fs.read-link': 'full session',
  'fs.hash': 'full session',
  'fs.survey': 'full session',
};

type RequestOf<V extends Verb> = Extract<AnyRequest, { readonly verb: V }>;

function isHostKeyRequest(request: AnyRequest): request is RequestOf<HostKeyVerb> {
  return proofs[request.verb] === 'node';
}

function isLoginRequest(request: AnyRequest): request is RequestOf<LoginVerb> {
  return proofs[request.verb] === 'nothing';
}

function isSessionRequest(request: AnyRequest): request is RequestOf<SessionVerb> {
  return proofs[request.verb] === 'session';
}

function isAccountRequest(request: AnyRequest): request is RequestOf<AccountVerb> {
  return proofs[request.verb] === 'web session';
}

export class Dispatcher {
  readonly #handlers: LinkHandlers;
  readonly #link: NodeLink;
  readonly #operations: OperationLog;
  readonly #clock: Clock;
  readonly #onTooManyStrays: () => void;
  /** When the latest strays came, at most `straysMax`. */
  readonly #strays: number[] = [];
  #graceUntil = -Infinity;

  constructor(options: {
    readonly handlers: LinkHandlers;
    readonly link: NodeLink;
    readonly operations: OperationLog;
    readonly clock: Clock;
    readonly onTooManyStrays: () => void;
  }) {
    this.#handlers = options.handlers;
    this.#link = options.link;
    this.#operations = options.operations;
    this.#clock = options.clock;
    this.#onTooManyStrays = options.onTooManyStrays;
  }

  /** A session of this node was just ended, or the link just joined: what comes now may still name a dead one. */
  allowStrays(): void {
    this.#graceUntil = this.#clock.monotonic() + strayGraceMs;
  }

  /** `asker`: who waits for it; a handler asks it before each piece of work that stood in a queue. */
  async answer(request: AnyRequest, asker: Asker): Promise<unknown> {
    const around = [this.#link, asker];
    if (isHostKeyRequest(request)) return this.#call(this.#handlers.hostKeys, request, around);
    if (isLoginRequest(request)) return this.#call(this.#handlers.login, request, around);
    if (isSessionRequest(request)) {
      const session = this.#requireSession(request.params.session, request.verb);
      return this.#call(this.#handlers.session, request, [session, ...around]);
    }
    const session = this.#requireFullSession(request.params.session, request.verb);
    if (isAccountRequest(request)) {
      if (session.protocol !== 'https')
        throw new SallyportError('not-allowed', 'Your account can be changed on the web only');
      return this.#call(this.#handlers.account, request, [session, ...around]);
    }
    const act = (): Promise<unknown> => this.#call(this.#handlers.files, request, [session, ...around]);
    return changes(request) ? this.#operations.run(session.key, request, act) : act();
  }

  /** A stream the node opened. Refused by reset. */
  openStream(header: StreamHeader, stream: LaneStream): void {
    let session: FullSession;
    try {
      session = this.#requireFullSession(header.session, 'stream');
    } catch (error) {
      stream.reset(toSallyportError(error));
      return;
    }
    this.#handlers.onStream(header, stream, session, this.#link);
  }

  /** The handler of exactly this verb, its params, then the proof. One place for what the compiler can't pair up. */
  async #call(
    table: HostKeyHandlers | LoginHandlers | SessionHandlers | AccountHandlers | FileHandlers,
    request: AnyRequest,
    proof: readonly unknown[],
  ): Promise<unknown> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every table maps verbs to functions of params and proof
    const handler = (table as Readonly<Record<string, (...values: unknown[]) => Promise<unknown>>>)[
      request.verb
    ];
    if (handler === undefined) throw new Error(`no handler for ${request.verb}`);
    return handler.call(table, request.params, ...proof);
  }

  #requireSession(sessionId: string, verb: Verb | 'stream') {
    try {
      return this.#handlers.sessions.require(sessionId, this.#link);
    } catch (error) {
      // Attaching asks whether a cookie is good, and any stranger may send a bad one: that is no fault of the node's.
      if (isSallyportError(error, 'no-session') && verb !== 'session.attach') this.#countStray();
      throw error;
    }
  }

  #requireFullSession(sessionId: string, verb: AccountVerb | FileVerb | 'stream'): FullSession {
    const session = this.#requireSession(sessionId, verb);
    if (session.state === 'signed-in') return session;
    throw new SallyportError('setup-required', 'Two-factor authentication must be set up first');
  }

  #countStray(): void {
    const now = this.#clock.monotonic();
    if (now < this.#graceUntil) return;
    const oldest = this.#strays.length < straysMax ? undefined : this.#strays.shift();
    this.#strays.push(now);
    if (oldest !== undefined && now - oldest <= strayWindowMs) this.#onTooManyStrays();
  }
}

type ChangeRequest = Extract<AnyRequest, { readonly params: { readonly op: number } }>;

function changes(request: AnyRequest): request is ChangeRequest {
  return 'op' in request.params;
}
