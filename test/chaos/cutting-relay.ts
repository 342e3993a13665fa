import net from 'node:net';
import { holdPort } from '#scripts/demonstration/free-port.ts';

/**
 * A wire between two that cuts each connection after so many bytes of it, of both directions together: a network that
 * fails at an exact place. It knows nothing of what it carries.
 */
export interface CuttingRelay {
  readonly port: number;
  /** Connections it has cut. */
  readonly cuts: number;
  /** From here on it counts and cuts; until then, and after `calm`, it carries everything. */
  storm(): void;
  calm(): void;
  close(): Promise<void>;
}

/** What becomes of a connection: after how many bytes it is cut, and whether both ends are told by a reset. */
export interface Fate {
  readonly bytesMax: number;
  readonly isReset: boolean;
}

/** On a port of 127.0.0.1; each connection goes to `target` there. */
export async function startCuttingRelay(target: number, nextFate: () => Fate): Promise<CuttingRelay> {
  let cuts = 0;
  let isCalm = true;
  const sockets = new Set<net.Socket>();

  const carry = (from: net.Socket, to: net.Socket, take: (bytes: number) => number): void => {
    from.on('data', (piece: Buffer) => {
      const part = piece.subarray(0, take(piece.length));
      if (part.length > 0 && to.writable && !to.write(part)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    from.on('end', () => to.end());
    from.on('close', () => to.destroy());
    from.on('error', () => to.destroy());
  };

  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const { bytesMax, isReset } = nextFate();
    const far = net.connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    let left = bytesMax;
    const take = (bytes: number): number => {
      if (isCalm) return bytes;
      const taken = Math.min(bytes, left);
      left -= taken;
      if (taken < bytes) cut();
      return taken;
    };
    let isCut = false;
    const cut = (): void => {
      if (isCut) return;
      isCut = true;
      cuts += 1;
      // What was let through arrives, as far as the network has it.
      setImmediate(() => {
        for (const socket of [near, far])
          if (isReset) socket.resetAndDestroy();
          else socket.destroy();
      });
    };
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    carry(near, far, take);
    carry(far, near, take);
  });
  const port = holdPort(0, 'the relay');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port,
    get cuts() {
      return cuts;
    },
    storm: () => {
      isCalm = false;
    },
    calm: () => {
      isCalm = true;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
