import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { z } from 'zod';

/**
 * Sockets for a process that has no network of its own, as configs/systemd opens them: they are bound here, in the
 * network everybody else is in, and handed over by descriptor (sd_listen_fds(3)). They outlive that process, so its
 * ports stay and clients wait while it is started again.
 */
export interface InheritedListeners {
  /** In the order of `names`. */
  readonly descriptors: readonly number[];
  readonly names: readonly string[];
  close(): void;
}

/**
 * Of Node's own handle. `listen` is not called on it: this process would then take connections itself; whoever
 * inherits the socket calls listen(2) on it. `fd` is -1 and `getsockname` fails when the port was taken.
 */
const boundHandle = z.custom<{
  readonly fd: number;
  getsockname(out: { port?: number }): number;
  close(): void;
}>((handle) => typeof handle === 'object' && handle !== null && 'getsockname' in handle);

/** What node:cluster makes its shared sockets with; there is no public name for "bind and don't accept". */
const bind = z
  .custom<(host: string, port: number, family: 4) => unknown>((found) => typeof found === 'function')
  .parse(Reflect.get(net, '_createServerHandle'));

/** On 127.0.0.1. Throws when a port is taken. */
export function bindListeners(ports: Readonly<Record<string, number>>): InheritedListeners {
  const handles = Object.entries(ports).map(([name, port]) => {
    const handle = boundHandle.parse(bind('127.0.0.1', port, 4), {
      error: () => `port ${port} for ${name} can not be had`,
    });
    const bound: { port?: number } = {};
    // A port in use is reported late by libuv; without this look the child would listen on any other.
    if (handle.getsockname(bound) !== 0 || bound.port !== port)
      throw new Error(`port ${port} for ${name} is taken`);
    return handle;
  });
  return {
    descriptors: handles.map(({ fd }) => fd),
    names: Object.keys(ports),
    close: () => {
      for (const handle of handles) handle.close();
    },
  };
}

/** Whether this process may start others without a network (needs CAP_SYS_ADMIN; in a container not even root may). */
export function canLeaveNetwork(): boolean {
  return process.getuid?.() === 0 && spawnSync('unshare', ['--net', 'true']).status === 0;
}
