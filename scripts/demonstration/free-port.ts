import net from 'node:net';
import { z } from 'zod';

/**
 * Ports of 127.0.0.1 that stay ours. A port that was only looked up is free for everybody again, and two installations
 * that start in the same second take it from each other; so each is bound here, without listening, until this process
 * ends. Whoever is meant to listen there binds it too: with SO_REUSEADDR, which servers set, the kernel allows that as
 * long as nobody listens. To others it gives the port neither for listening (0) nor for dialling out. Two that want one
 * port by its number are told apart by a name that only one of them can have.
 */

/**
 * Of Node's own handle. `listen` is not called on it: this process would then take connections itself. `fd` is -1 and
 * `getsockname` fails when the port was taken. It keeps no process alive.
 */
const boundHandle = z.custom<{
  readonly fd: number;
  getsockname(out: { port?: number }): number;
  close(): void;
}>((handle) => typeof handle === 'object' && handle !== null && 'getsockname' in handle);
type BoundHandle = z.output<typeof boundHandle>;

/** What node:cluster makes its shared sockets with; there is no public name for "bind and don't accept". */
const bind = z
  .custom<(address: string, port: number, family: 4 | -1) => unknown>((found) => typeof found === 'function')
  .parse(Reflect.get(net, '_createServerHandle'));

/** Throws when the port is taken. */
export function bindPort(
  port: number,
  name: string,
): { readonly handle: BoundHandle; readonly port: number } {
  const handle = boundHandle.parse(bind('127.0.0.1', port, 4), {
    error: () => `port ${port} for ${name} can not be had`,
  });
  const bound: { port?: number } = {};
  // A port in use is reported late by libuv; without this look the child would listen on any other.
  const isBound = handle.getsockname(bound) === 0 && bound.port !== undefined && bound.port !== 0;
  if (!isBound || (port !== 0 && bound.port !== port)) throw new Error(`port ${port} for ${name} is taken`);
  return { handle, port: bound.port ?? 0 };
}

/** Never closed: the process holds its ports as long as it lives. */
const held = new Map<number, readonly unknown[]>();

/** Holds a port, 0: any; returns which. Throws when it is taken. */
export function holdPort(port: number, name: string): number {
  if (held.has(port)) return port;
  const bound = bindPort(port, name);
  // An abstract Unix socket: gone with this process, however it ends. An error is a number here.
  const mark = bind(`\0sallyport-demo-port-${bound.port}`, -1, -1);
  if (typeof mark === 'number') {
    bound.handle.close();
    throw new Error(`port ${bound.port} for ${name} is taken`);
  }
  held.set(bound.port, [bound.handle, mark]);
  return bound.port;
}

/** A port that nobody listens on, and nobody else is given. */
export function findFreePort(): number {
  return holdPort(0, 'a server');
}
