import type { Listen } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';

/**
 * Listening sockets that a supervisor opened and handed over, by name (sd_listen_fds(3)). With all its sockets
 * inherited, a node can run in a network namespace of its own that has no network at all (S-06).
 */

/** First inherited descriptor, fixed by sd_listen_fds(3). */
const firstDescriptor = 3;
/** More sockets than all nodes together have listeners: the variable is not ours, or damaged. */
const socketsMax = 16;

export type ListenAt = { readonly host: string; readonly port: number } | { readonly fd: number };

export type InheritedSockets = ReadonlyMap<string, number>;

/**
 * Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; no sockets when they were meant for another process. Of several with
 * one name, as a socket unit with several addresses has them, the second is `name-1`, the third `name-2`.
 */
export function readInheritedSockets(env: NodeJS.ProcessEnv, pid: number): InheritedSockets {
  const sockets = new Map<string, number>();
  if (env['LISTEN_PID'] !== undefined && Number(env['LISTEN_PID']) !== pid) return sockets;
  const count = Number(env['LISTEN_FDS'] ?? 0);
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':');
  if (!Number.isInteger(count) || count < 0 || count > socketsMax)
    throw new SallyportError('config', 'The inherited sockets can not be used', {
      detail: `LISTEN_FDS=${env['LISTEN_FDS']}`,
      hint: 'start through systemd socket units, or use an address in `listen`',
    });
  for (let index = 0; index < count; index += 1) {
    const name = names[index] ?? '';
    const before = names.slice(0, index).filter((one) => one === name).length;
    sockets.set(before === 0 ? name : `${name}-${before}`, firstDescriptor + index);
  }
  return sockets;
}

/** Where a listener of the configuration really listens. */
export function resolveListen(listen: Listen, inherited: InheritedSockets): ListenAt {
  if (listen.type === 'tcp') return { host: listen.host, port: listen.port };
  const fd = inherited.get(listen.name);
  if (fd !== undefined) return { fd };
  throw new SallyportError('config', 'An inherited socket is missing', {
    detail: `systemd:${listen.name} was not handed over; there are: ${[...inherited.keys()].join(', ') || 'none'}`,
    hint: `a socket unit with FileDescriptorName=${listen.name} must start this service`,
  });
}
