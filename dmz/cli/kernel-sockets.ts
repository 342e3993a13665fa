import { readFileSync } from 'node:fs';

/**
 * TCP sockets of this network namespace, from /proc/net/tcp and tcp6: who looks at them dials nobody (S-06).
 *
 * Trust: the kernel's own text.
 */
export interface KernelSockets {
  readonly listening: ReadonlySet<number>;
  /** Local ports with a connection that stands. */
  readonly connected: ReadonlySet<number>;
}

/** `st` of proc(5): TCP_ESTABLISHED and TCP_LISTEN. */
const established = '01';
const listening = '0A';

export function readKernelSockets(
  read: (file: string) => string = (file) => readFileSync(file, 'utf8'),
): KernelSockets {
  const found = { listening: new Set<number>(), connected: new Set<number>() };
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of read(file).split('\n').slice(1)) {
      const [, local = '', , state] = line.trim().split(/\s+/);
      const port = Number.parseInt(local.split(':')[1] ?? '', 16);
      if (Number.isNaN(port)) continue;
      if (state === listening) found.listening.add(port);
      else if (state === established) found.connected.add(port);
    }
  }
  return found;
}
