/** A worker of a node that a test plays: takes main's links over real TLS on loopback, and says what the test has it say. */
import { once } from 'node:events';
import { createServer, type TLSSocket } from 'node:tls';
import { systemClock } from '#shared/clock.ts';
import type { AnyEvent } from '#shared/link/codec.ts';
import { acceptOptions, buildLinkIdentity, controlProtocol, exporterOf } from '#shared/link/link-tls.ts';
import { wireVersions } from '#shared/link/limits.ts';
import type { Hello } from '#shared/link/messages.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import { ControlSession } from '#shared/link/session.ts';
import { ControlAcceptor } from '#shared/link/ws-transport.ts';
import { randomId } from '#shared/random-id.ts';
import { nodeKey } from './tls-link.ts';

/** One link of main's, the node's end. */
export interface PlayedLink {
  readonly session: ControlSession;
  readonly transport: MessageTransport;
  /** What an assertion sent over it is bound to. */
  readonly exporter: string;
  /** What main told. */
  readonly told: AnyEvent[];
  /** It was closed, by whichever end. */
  isClosed: boolean;
  /** Why, as this end saw it. */
  closeReason: string | undefined;
}

export interface PlayedNode {
  readonly port: number;
  /** Main's links, oldest first. */
  readonly links: readonly PlayedLink[];
  /** Dialled lanes, of which nothing is read. */
  readonly lanes: readonly TLSSocket[];
  /** What the next hello says. */
  hello: Partial<Hello>;
  close(): void;
}

export async function buildPlayedNode(
  hello: Partial<Hello> = {},
  privateKeyPem = nodeKey.privateKeyPem,
  port = 0,
): Promise<PlayedNode> {
  const boot = randomId();
  const links: PlayedLink[] = [];
  const lanes: TLSSocket[] = [];
  const sockets = new Set<TLSSocket>();
  const control = new ControlAcceptor((transport, socket) => {
    const told: AnyEvent[] = [];
    const session = new ControlSession({
      side: 'dmz',
      transport,
      clock: systemClock,
      hello: {
        versions: [...wireVersions],
        name: 'dmz1',
        software: 'played',
        boot,
        worker: 0,
        validatedLogins: true,
        ...node.hello,
      },
      onOpen: () => undefined,
      onEvent: (event) => void told.push(event),
      onClose: (reason) => {
        link.isClosed = true;
        link.closeReason = reason;
      },
      onFailure: () => undefined,
    });
    const exporter = exporterOf(socket);
    const link: PlayedLink = { session, transport, exporter, told, isClosed: false, closeReason: undefined };
    links.push(link);
    session.start();
  });
  const server = createServer(acceptOptions(buildLinkIdentity(privateKeyPem, 'dmz1'), 5000), (socket) => {
    socket.on('error', () => undefined);
    sockets.add(socket);
    if (socket.alpnProtocol === controlProtocol) control.accept(socket);
    else lanes.push(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const node: PlayedNode = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    links,
    lanes,
    hello,
    close: () => {
      server.close();
      for (const { session } of links) session.close('over');
      for (const socket of sockets) socket.destroy();
    },
  };
  return node;
}
