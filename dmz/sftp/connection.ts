import type { Socket } from 'node:net';
import type { Admission, Guard } from '#dmz/guard/guard.ts';
import type { Endpoint } from '#dmz/guard/proxy-header.ts';
import type { Admitted, LoginService } from '#dmz/login/login-service.ts';
import { Authentication } from '#dmz/sftp/authenticate.ts';
import { unreachableText } from '#dmz/sftp/authentication/prompts.ts';
import { Channels } from '#dmz/sftp/channels/channels.ts';
import { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { SftpSession } from '#dmz/sftp/session.ts';
import { disconnectReason, message } from '#dmz/sftp/transport/messages.ts';
import type { TransportSetup } from '#dmz/sftp/transport/setup.ts';
import { SshTransport } from '#dmz/sftp/transport/transport.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import type { ClientAddress } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';

interface ConnectionOptions {
  readonly socket: Socket;
  /** Who it really is; behind a balancer the socket knows only the balancer. */
  readonly peer: Endpoint;
  readonly setup: TransportSetup;
  readonly ident: string;
  readonly admission: Admission;
  readonly guard: Pick<Guard, 'malformed'>;
  readonly login: LoginService;
  readonly listener: string;
  readonly publicUrl: string;
  readonly banner: () => string | undefined;
  readonly onRefused: (what: string, client: ClientAddress) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly onClosed: () => void;
}

/**
 * One SSH connection from accept to close: transport, then authentication, then channels with SFTP sessions on them.
 * Each stage gets the messages of its own time only.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #transport: SshTransport;
  readonly #ip: string;
  readonly #port: number;
  #authentication: Authentication | undefined;
  #channels: Channels | undefined;
  #admitted: Admitted | undefined;
  readonly #sessions = new Set<Promise<void>>();
  #isEnded = false;
  readonly #startedAt: number;

  constructor(options: ConnectionOptions) {
    const { socket, clock } = options;
    this.#options = options;
    this.#startedAt = clock.monotonic();
    this.#ip = options.peer.ip;
    this.#port = options.peer.port;
    this.#transport = new SshTransport({
      socket,
      setup: options.setup,
      ident: options.ident,
      unreachableText,
      clock,
      handlers: {
        onIdentified: () => options.admission.reached('hello'),
        onReady: () => options.admission.reached('secured'),
        onMessage: (type, payload) => this.#onMessage(type, payload),
        onWritable: () => this.#channels?.resume(),
        onClosed: () => void this.#onClosed(),
        onMalformed: (what) => {
          options.log.info({ ip: this.#ip, what }, 'ssh connection broke the protocol');
          options.guard.malformed(this.#ip, 'sftp', what);
        },
      },
    });
    this.#authentication = new Authentication({
      peer: this.#transport,
      login: options.login,
      admission: options.admission,
      client: () => this.client,
      listener: options.listener,
      publicUrl: options.publicUrl,
      banner: options.banner(),
      clock,
      log: options.log,
      onAdmitted: (admitted) => this.#onAdmitted(admitted),
      onForged: () => options.guard.malformed(this.#ip, 'sftp', 'signature of another key'),
    });
    this.#transport.start();
  }

  get client(): ClientAddress {
    return { ip: this.#ip, port: this.#port, agent: this.#transport.agent };
  }

  get isAuthenticated(): boolean {
    return this.#admitted !== undefined;
  }

  sweep(): void {
    this.#transport.sweep();
    if (!this.#transport.isDead) this.#authentication?.sweep();
  }

  /** Ends it with a word of why; what is under way ends as if the client had gone. */
  disconnect(text: string): void {
    this.#transport.disconnect(disconnectReason.byApplication, text);
  }

  destroy(): void {
    this.#transport.destroy();
  }

  #onMessage(type: number, payload: Buffer): void {
    if (this.#channels !== undefined) {
      // RFC 4252 §5.1: requests that were on their way when success was said are ignored.
      if (type === message.userauthRequest) return;
      this.#channels.onMessage(type, payload);
    } else if (this.#authentication !== undefined) {
      this.#authentication.onMessage(type, payload);
    } else {
      throw new MalformedMessage(`message ${type} out of place`);
    }
  }

  #onAdmitted(admitted: Admitted): void {
    const { clock, log } = this.#options;
    this.#admitted = admitted;
    this.#authentication = undefined;
    this.#transport.allowRenewal();
    const { username } = admitted.view;
    const { kex, cs } = this.#transport.negotiated ?? {};
    const algorithms = { kex, cipher: cs?.cipher };
    const ms = Math.round(clock.monotonic() - this.#startedAt);
    log.info({ username, ...this.client, ...algorithms, ms }, 'sftp session open');
    const slots = new StreamSlots();
    this.#channels = new Channels({
      carrier: this.#transport,
      clock,
      onRefused: (what) => this.#options.onRefused(what, this.client),
      prove: (keys) => this.#transport.proveHostKeys(keys),
      onSftp: (channel) => {
        const onMalformed = (what: string) => this.#options.guard.malformed(this.#ip, 'sftp', what);
        const { files } = admitted;
        const { finished } = new SftpSession({ channel, files, slots, username, clock, log, onMalformed });
        this.#sessions.add(finished);
        void finished.then(() => this.#sessions.delete(finished));
      },
    });
    const announced = this.#transport.announcedHostKeys();
    if (announced.length > 1) this.#channels.announce(announced);
    const onEnded = () => this.disconnect(endText(admitted.ended.reason));
    if (admitted.ended.aborted) onEnded();
    else admitted.ended.addEventListener('abort', onEnded, { once: true });
  }

  async #onClosed(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#options.admission.release();
    this.#authentication?.close();
    this.#channels?.abort();
    // Uploads are put aside first: afterwards main would no longer know whose they are.
    await Promise.all(this.#sessions);
    await this.#admitted?.end().catch((error: unknown) => {
      this.#options.log.debug({ err: error }, 'session end not delivered');
    });
    this.#options.onClosed();
  }
}

/** The text main gave, if it gave one. */
function endText(reason: unknown): string {
  const text = reason instanceof Error ? reason.message : reason;
  return typeof text === 'string' && text !== '' ? `Session ended: ${text}` : 'Session ended';
}
