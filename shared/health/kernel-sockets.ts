import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

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

type Read = (file: string) => string;

export function readKernelSockets(read: Read = readText): KernelSockets {
  const found = { listening: new Set<number>(), connected: new Set<number>() };
  for (const { port, state } of readTables(read)) {
    if (state === listening) found.listening.add(port);
    else if (state === established) found.connected.add(port);
  }
  return found;
}

/** Whose a listening port is; undefined: not to be seen by who asks. */
export function findListener(port: number): { readonly pid: number; readonly name: string } | undefined {
  const inodes = new Set(
    readTables(readText)
      .filter((one) => one.port === port && one.state === listening)
      .map(({ inode }) => `socket:[${inode}]`),
  );
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const holds = readdirSync(`/proc/${pid}/fd`).some((fd) =>
        inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`)),
      );
      // systemd holds what it hands over as well.
      if (holds && pid !== '1') return { pid: Number(pid), name: readText(`/proc/${pid}/comm`).trim() };
    } catch {
      // It has ended meanwhile, or is not ours to look at.
    }
  }
  return undefined;
}

function readTables(read: Read) {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
    read(file)
      .split('\n')
      .slice(1)
      .flatMap((line) => {
        const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
        const port = Number.parseInt(local.split(':')[1] ?? '', 16);
        return Number.isNaN(port) ? [] : [{ port, state, inode }];
      }),
  );
}

function readText(file: string): string {
  return readFileSync(file, 'utf8');
}
