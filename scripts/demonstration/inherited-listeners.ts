import { spawnSync } from 'node:child_process';
import { bindPort } from './free-port.ts';

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

/** On 127.0.0.1. Throws when a port is taken. */
export function bindListeners(ports: Readonly<Record<string, number>>): InheritedListeners {
  const handles = Object.entries(ports).map(([name, port]) => bindPort(port, name).handle);
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
