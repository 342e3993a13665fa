/**
 * The control connection over a WebSocket (RFC 6455), both ends. Text messages only; compression off on both ends
 * (a bomb, and secrets beside chosen text); size, fragments and buffered reads bounded.
 *
 * The WebSocket runs on a TLS socket whose peer was checked before (`link-tls.ts`): the dialling side never lets the
 * WebSocket client open a connection of its own.
 *
 * Trust: the library parses the peer's frames; what is not a text message within the bounds ends the connection.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocket, WebSocketServer, type RawData } from 'ws';
import { controlChunksMax, controlFragmentsMax, controlMessageBytesMax } from './limits.ts';
import type { MessageReceiver, MessageTransport } from './message-transport.ts';

export const controlPath = '/link';
/** Request or response head of the upgrade: ours have a dozen short lines. */
const headBytesMax = 4096;
/** The upgrade is one round trip. */
const upgradeTimeoutMs = 10_000;

const receiverLimits = {
  perMessageDeflate: false,
  maxPayload: controlMessageBytesMax,
  maxFragments: controlFragmentsMax,
  maxBufferedChunks: controlChunksMax,
  skipUTF8Validation: false,
} as const;

class WsTransport implements MessageTransport {
  readonly #webSocket: WebSocket;
  #closeReason = 'closed by the peer';

  constructor(webSocket: WebSocket) {
    this.#webSocket = webSocket;
    webSocket.on('error', (error) => {
      this.#closeReason = error.message;
    });
  }

  start(receiver: MessageReceiver): void {
    const webSocket = this.#webSocket;
    let closed = false;
    webSocket.on('message', (data: RawData, isBinary: boolean) => {
      if (closed) return;
      if (isBinary || !Buffer.isBuffer(data)) this.close('a binary message on control');
      else receiver.onMessage(data);
    });
    const close = (): void => {
      if (closed) return;
      closed = true;
      receiver.onClose(this.#closeReason);
    };
    webSocket.on('close', close);
    if (webSocket.readyState === WebSocket.CLOSED) queueMicrotask(close);
  }

  send(message: string): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return;
    // Called with an error when the connection is lost: the close event says so.
    this.#webSocket.send(message, () => undefined);
  }

  close(reason: string): void {
    this.#closeReason = reason;
    // No closing handshake: the peer may be dead or hostile, and nothing is worth waiting for.
    this.#webSocket.terminate();
  }

  get queuedBytes(): number {
    return this.#webSocket.bufferedAmount;
  }
}

/** Main's side: upgrades a checked TLS socket. Rejects when the node does not answer the upgrade in time and form. */
export function connectControl(socket: TLSSocket): Promise<MessageTransport> {
  return new Promise((resolve, reject) => {
    // A clock of our own: the client's begins anew with each byte, and not at all on a connection that it was given.
    const timer = setTimeout(() => fail(new Error('no upgrade in time')), upgradeTimeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const webSocket = new WebSocket(`ws://sallyport${controlPath}`, {
      ...receiverLimits,
      createConnection: () => socket,
      followRedirects: false,
      maxHeaderSize: headBytesMax,
      finishRequest: (request) => {
        // 100 to 199 but the upgrade: HTTP lets a server send them without end, and ours sends none.
        request.once('information', () => fail(new Error('an interim answer to the upgrade')));
        request.end();
      },
      // Masking protects proxies that read plain HTTP; inside TLS it only costs.
      generateMask: (mask) => void mask.fill(0),
    });
    webSocket.once('error', fail);
    // Made at once: a message may come in the same read as the answer to the upgrade.
    const transport = new WsTransport(webSocket);
    webSocket.once('open', () => {
      clearTimeout(timer);
      webSocket.off('error', fail);
      resolve(transport);
    });
  });
}

/** The DMZ's side: serves the upgrade on TLS sockets whose peer was checked. Hands out one transport per socket. */
export class ControlAcceptor {
  readonly #server: Server;
  readonly #webSockets: WebSocketServer;
  /** Sockets before their upgrade. */
  readonly #waiting = new WeakMap<Duplex, { readonly socket: TLSSocket; readonly timer: NodeJS.Timeout }>();
  readonly #onControl: (transport: MessageTransport, socket: TLSSocket) => void;

  constructor(onControl: (transport: MessageTransport, socket: TLSSocket) => void) {
    this.#onControl = onControl;
    this.#webSockets = new WebSocketServer({ ...receiverLimits, noServer: true, clientTracking: false });
    this.#server = createServer({
      maxHeaderSize: headBytesMax,
      keepAlive: false,
      insecureHTTPParser: false,
    });
    this.#server.on('request', (request) => request.socket.destroy());
    this.#server.on('clientError', (_error, socket) => socket.destroy());
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  accept(socket: TLSSocket): void {
    // The HTTP server's own timeouts run only while it listens, and this one never does.
    const timer = setTimeout(() => socket.destroy(), upgradeTimeoutMs);
    this.#waiting.set(socket, { socket, timer });
    socket.once('close', () => clearTimeout(timer));
    this.#server.emit('connection', socket);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // An Origin means a browser, and no browser has any business here.
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined || request.url !== controlPath || request.headers.origin !== undefined) {
      socket.destroy();
      return;
    }
    clearTimeout(waiting.timer);
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#onControl(new WsTransport(webSocket), waiting.socket);
    });
  }
}
