import type { Socket } from 'node:net';
import type { Admission, Guard } from '#dmz/guard/guard.ts';
import type { Endpoint } from '#dmz/guard/proxy-header.ts';
import type { HttpsMetrics } from './metrics.ts';

/** A connection that was let in, and whose it is. */
interface Arrival {
  readonly client: Endpoint;
  readonly admission: Admission;
}

/**
 * Who is behind each connection: known when it is let in, before TLS, and asked for by the TLS socket above it. The one
 * under TLS can't be had from that, but both have the same ends.
 */
export class Arrivals {
  readonly #guard: Guard;
  readonly #metrics: Pick<HttpsMetrics, 'connections'>;
  readonly #secured = new WeakMap<object, Arrival>();
  readonly #byEnds = new Map<string, Arrival>();
  #open = 0;
  readonly #onAllGone = new Set<() => void>();

  constructor(guard: Guard, metrics: Pick<HttpsMetrics, 'connections'>) {
    this.#guard = guard;
    this.#metrics = metrics;
  }

  /** Undefined, and the connection is cut: the guard has no room for it. */
  letIn(socket: Socket, client: Endpoint): Arrival | undefined {
    const admission = this.#guard.admitConnection(client.ip, 'https', () => socket.destroy());
    if (!admission.admitted) {
      socket.destroy();
      return undefined;
    }
    const ends = endsOf(socket);
    const arrival = { client, admission };
    this.#byEnds.set(ends, arrival);
    this.#open += 1;
    this.#metrics.connections(1);
    socket.once('close', () => {
      // The same ends may be another connection's by now.
      if (this.#byEnds.get(ends) === arrival) this.#byEnds.delete(ends);
      this.#metrics.connections(-1);
      admission.release();
      this.#open -= 1;
      if (this.#open === 0) for (const done of this.#onAllGone) done();
    });
    return arrival;
  }

  /** TLS is there. */
  secured(socket: Socket): void {
    const arrival = this.#byEnds.get(endsOf(socket));
    if (arrival === undefined) {
      socket.destroy();
      return;
    }
    this.#secured.set(socket, arrival);
    arrival.admission.reached('secured');
  }

  /** Resolves when no connection is left. */
  allGone(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open === 0) resolve();
      else this.#onAllGone.add(resolve);
    });
  }

  /** By the TLS socket. */
  of(socket: object): Arrival | undefined {
    return this.#secured.get(socket);
  }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}
