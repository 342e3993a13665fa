/**
 * Keeps one link to one worker of one node: dials, hands over, and dials again after a wait that doubles and is
 * jittered, so that workers that fell together do not come back in step.
 */
import { randomInt } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import { toSallyportError } from '#shared/error.ts';
import type { ByteTransport } from '#shared/link/byte-transport.ts';
import {
  controlProtocol,
  dialPeer,
  exporterOf,
  laneProtocol,
  type LinkIdentity,
} from '#shared/link/link-tls.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import { ReadBuffer, SocketTransport } from '#shared/link/socket-transport.ts';
import { connectControl } from '#shared/link/ws-transport.ts';
import type { Log } from '#shared/log.ts';
import { backoffMsMax, backoffMsMin, dialTimeoutMs, steadyAfterMs } from './limits.ts';
import type { NodeConnection } from './node-connection.ts';

export interface WorkerDialerOptions {
  readonly node: string;
  readonly worker: number;
  readonly host: string;
  readonly port: number;
  readonly identity: LinkIdentity;
  /** The node's key, asked at each dial; two while keys are rotated. */
  readonly fingerprints: () => readonly string[];
  /** Makes the connection object of a dialled control connection; it is started here. */
  readonly connect: (dialled: {
    readonly transport: MessageTransport;
    readonly exporter: string;
    readonly dialLane: () => Promise<ByteTransport>;
    readonly onClose: (reason: string) => void;
  }) => NodeConnection;
  readonly clock: Clock;
  readonly log: Log;
}

export class WorkerDialer {
  readonly #options: WorkerDialerOptions;
  #connection: NodeConnection | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #nextWaitMs: number | undefined;
  #stopped = false;
  /** Of the steady clock; undefined: no link was up since the last one ended. */
  #upAt: number | undefined;
  #lastError: string | undefined;
  #sinceMs: number;

  constructor(options: WorkerDialerOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.now();
  }

  get worker(): number {
    return this.#options.worker;
  }

  get port(): number {
    return this.#options.port;
  }

  /** The present link, if its hello was good. */
  get connection(): NodeConnection | undefined {
    return this.#connection?.isOpen === true ? this.#connection : undefined;
  }

  /** Why there is none. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** When it went up or down. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  start(): void {
    void this.#dial();
  }

  /** The hello was good: if the link lasts, its loss starts with a short wait again. */
  markUp(): void {
    this.#upAt = this.#options.clock.monotonic();
    this.#lastError = undefined;
    this.#sinceMs = this.#options.clock.now();
  }

  /** The next dial waits as long as that, whatever was before. */
  waitNext(waitMs: number): void {
    this.#nextWaitMs = waitMs;
  }

  stop(reason: string): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#connection?.close(reason);
  }

  async #dial(): Promise<void> {
    const { node, worker, connect, log } = this.#options;
    try {
      const socket = await this.#dialPeer(controlProtocol);
      const exporter = exporterOf(socket);
      const transport = await connectControl(socket);
      if (this.#stopped) {
        transport.close('stopped');
        return;
      }
      this.#connection = connect({
        transport,
        exporter,
        dialLane: () => this.#dialLane(),
        onClose: (reason) => this.#lost(reason),
      });
      this.#connection.start();
    } catch (error) {
      const failure = toSallyportError(error);
      // An unreachable node is tried for ever; only its first failure is news.
      const level = this.#attempt === 0 || failure.code === 'protocol-violation' ? 'warn' : 'debug';
      log[level]({ node, worker, err: failure }, 'link: dial failed');
      this.#lost(
        failure.code === 'protocol-violation' ? `${failure.message}: ${failure.hint ?? ''}` : failure.message,
      );
    }
  }

  #dialPeer(protocol: typeof controlProtocol | typeof laneProtocol, readBuffer?: ReadBuffer) {
    const { host, port, identity, fingerprints, clock } = this.#options;
    return dialPeer({
      host,
      port,
      protocol,
      identity,
      fingerprints: fingerprints(),
      timeoutMs: dialTimeoutMs,
      cure: otherKeyCure,
      clock,
      ...(readBuffer !== undefined && { readBuffer }),
    });
  }

  async #dialLane(): Promise<ByteTransport> {
    const readBuffer = new ReadBuffer();
    return new SocketTransport(await this.#dialPeer(laneProtocol, readBuffer), readBuffer);
  }

  #lost(reason: string): void {
    if (this.#connection?.isOpen !== true && this.#lastError === undefined)
      this.#sinceMs = this.#options.clock.now();
    this.#connection = undefined;
    this.#lastError = reason;
    if (this.#stopped) return;
    // A node that takes each link and ends it at once must not have us shake hands all day.
    if (this.#upAt !== undefined && this.#options.clock.monotonic() - this.#upAt >= steadyAfterMs)
      this.#attempt = 0;
    this.#upAt = undefined;
    const waitMs = this.#nextWaitMs ?? backoffMs(this.#attempt);
    this.#nextWaitMs = undefined;
    this.#attempt += 1;
    this.#timer = setTimeout(() => void this.#dial(), waitMs);
  }
}

const otherKeyCure =
  'if that box or main was restored from a backup of before `node rotate`: `sallyport node show` there prints its ' +
  "line, `sallyport nodes enrol '<line>' --replace` here takes it; then restart main-agent. Else somebody else answers";

/** Half fixed, half random, of a wait that doubles from 0.2 s to 10 s. */
export function backoffMs(attempt: number): number {
  const full = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(attempt, 16));
  return full / 2 + randomInt(Math.ceil(full / 2) + 1);
}
