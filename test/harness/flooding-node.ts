/**
 * A DMZ node that was broken into, as a process of its own: has the node's real keys and sends main whatever it may
 * send, as fast as it can, and then what it may not, so that main closes the link and dials again. Arguments: where it
 * listens, its keys, main's fingerprint and its name, as JSON. Prints how many messages of each kind it sent when it is
 * told to stop.
 */
import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';
import { systemClock } from '#shared/clock.ts';
import { signEdgeEvent, type EdgeEvent } from '#shared/link/edge-event.ts';
import { wireVersions } from '#shared/link/limits.ts';
import {
  acceptOptions,
  buildLinkIdentity,
  controlProtocol,
  laneProtocol,
  requirePeer,
} from '#shared/link/link-tls.ts';
import type { ClientAddress, EventBody, EventName, Params, Verb } from '#shared/link/messages.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import { ControlAcceptor } from '#shared/link/ws-transport.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';

export interface FloodingNodeOptions {
  readonly name: string;
  readonly port: number;
  readonly identityKey: string;
  readonly signingKey: string;
  readonly mainIdentity: string;
}

/** Of a link before it breaks the protocol and main closes it. */
const politeMs = 1_500;
const queuedBytesMax = 1024 * 1024;
const messagesPerTurn = 50;

const options = JSON.parse(process.argv[2] ?? '') as FloodingNodeOptions;
const signingKey: KeyObject = createPrivateKey(readFileSync(options.signingKey));
const sent = new Map<string, number>();
const client = (): ClientAddress => ({
  ip: `198.51.100.${randomBytes(1)[0] ?? 0}`,
  port: 4711,
  agent: 'x'.repeat(255),
});
const name = (): string => randomBytes(120).toString('hex');

class Flood {
  readonly #transport: MessageTransport;
  readonly #boot = randomId();
  readonly #endsAt = performance.now() + politeMs;
  #sequence = 0;
  #request = 0;
  #isOver = false;

  constructor(transport: MessageTransport) {
    this.#transport = transport;
    transport.start({
      onMessage: (message) => this.#receive(message.toString()),
      onClose: () => {
        this.#isOver = true;
      },
    });
  }

  #receive(text: string): void {
    const { kind, id } = JSON.parse(text) as { kind: string; id?: number };
    if (kind === 'ping') this.#send('pong', { kind: 'pong', id, nowMs: Date.now() });
    if (kind !== 'hello') return;
    const { name: node, port } = options;
    const own = { versions: wireVersions, name: node, software: 'evil', boot: this.#boot, nowMs: Date.now() };
    this.#send('hello', {
      kind: 'hello',
      hello: { ...own, worker: 0, workerPorts: [port], validatedLogins: true },
    });
    this.#flood();
  }

  #flood(): void {
    if (this.#isOver) return;
    for (let count = 0; count < messagesPerTurn && this.#transport.queuedBytes < queuedBytesMax; count += 1)
      this.#sendPolite(count);
    if (performance.now() > this.#endsAt) this.#breakOff();
    else setImmediate(() => this.#flood());
  }

  #sendPolite(turn: number): void {
    const edge: EdgeEvent = signEdgeEvent(
      {
        boot: this.#boot,
        sequence: (this.#sequence += 1 + (turn % 2)),
        kind: 'refused',
        atMs: Date.now(),
        detail: 'x'.repeat(512),
        clientIp: '198.51.100.1',
      },
      { node: options.name, worker: 0 },
      signingKey,
    );
    switch (turn % 6) {
      case 0:
        return this.#event('edge.event', edge);
      case 1:
        return this.#event('edge.event', { ...edge, boot: randomId(), signature: 'A'.repeat(86) });
      case 2:
        return this.#event('lane.grant', { token: randomId() });
      case 3:
        return this.#ask('login.probe', { user: name(), key: 'AAAA', client: client() });
      case 4:
        return this.#ask('session.attach', { session: randomId(), client: client() });
      default:
        return this.#ask('login.begin', {
          user: name(),
          protocol: this.#sequence % 3 === 0 ? 'https' : 'sftp',
          listener: 'https',
          client: client(),
          factor:
            this.#sequence % 3 === 0
              ? { type: 'password', password: 'wrong' }
              : { type: 'publickey', signed: 'AAAA', signature: 'AAAA' },
        });
    }
  }

  /** What main closes the link for: a head it never signed, files of foreign sessions, names that no schema takes. */
  #breakOff(): void {
    if (this.#sequence % 2 === 0)
      this.#event('audit.known', {
        start: 1,
        boot: randomId(),
        sequence: 1e9,
        hash: 'a'.repeat(64),
        signature: 'A'.repeat(86),
      });
    for (let count = 0; count < 150; count += 1)
      this.#ask('fs.stat', { session: randomId(), path: [name()], followLinks: true });
    this.#ask('fs.stat', { session: randomId(), path: ['x'.repeat(100_000)], followLinks: true });
  }

  #event<E extends EventName>(event: E, body: EventBody<E>): void {
    this.#send(event, { kind: 'event', name: event, body });
  }

  #ask<V extends Verb>(verb: V, params: Params<V>): void {
    this.#send(verb, { kind: 'request', id: (this.#request += 1), verb, params, patienceMs: 20_000 });
  }

  #send(what: string, message: object): void {
    sent.set(what, (sent.get(what) ?? 0) + 1);
    this.#transport.send(JSON.stringify(message));
  }
}

const acceptor = new ControlAcceptor((transport) => new Flood(transport));
const identity = buildLinkIdentity(new Secret(readFileSync(options.identityKey, 'utf8')), options.name);
const server = createServer(acceptOptions(identity, 10_000));
server.on('secureConnection', (socket) => {
  socket.on('error', () => undefined);
  const expected = {
    fingerprints: [options.mainIdentity],
    protocols: [controlProtocol, laneProtocol],
  } as const;
  if (requirePeer(socket, expected, systemClock) === controlProtocol) acceptor.accept(socket);
  else {
    // A lane that main dialled for nothing.
    sent.set('lanes dialled', (sent.get('lanes dialled') ?? 0) + 1);
    socket.destroy();
  }
});
server.listen(options.port, '127.0.0.1');
process.once('SIGTERM', () => {
  process.stdout.write(JSON.stringify(Object.fromEntries(sent)), () => process.exit(0));
});
