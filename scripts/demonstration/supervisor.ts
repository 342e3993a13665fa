import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import type { InheritedListeners } from './inherited-listeners.ts';

/**
 * Keeps one node of the product running, as systemd would: started again when it dies, with the same listening sockets
 * and without a network where its unit says so, ended on stop. The rest of the sandbox is systemd's: configs/systemd.
 */
export interface Supervised {
  readonly name: string;
  /** Of the node process itself; undefined between two lives. */
  readonly pid: number | undefined;
  /** SIGTERM, then SIGKILL when it does not drain in time. Resolves when it is gone; never starts again. */
  stop(): Promise<void>;
}

/** Long enough that a crash loop does not burn a core, short enough that a client's retry finds it back. */
const restartDelayMs = 300;
/** The demo promises to be gone within 5 s of Ctrl-C; a drain may take most of it. */
const stopMs = 3_500;

export function supervise(options: {
  readonly name: string;
  /** Of Node. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** With them the node has these sockets and no network (PrivateNetwork=yes). Closed on stop. */
  readonly listeners?: InheritedListeners;
  readonly logFile: string;
  /** Each new life, the first included. */
  readonly onStart: (pid: number) => void;
}): Supervised {
  let child: ChildProcess | undefined;
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let gone: (() => void) | undefined;

  const start = (): void => {
    const log = openSync(options.logFile, 'a', 0o600);
    const { listeners, args } = options;
    child =
      listeners === undefined
        ? spawn(process.execPath, args, {
            env: { ...process.env, ...options.env },
            stdio: ['ignore', log, log],
          })
        : // unshare becomes the node: the process id stays.
          spawn('unshare', ['--net', process.execPath, ...args], {
            env: {
              ...process.env,
              ...options.env,
              LISTEN_FDS: String(listeners.descriptors.length),
              LISTEN_FDNAMES: listeners.names.join(':'),
            },
            stdio: ['ignore', log, log, ...listeners.descriptors],
          });
    closeSync(log);
    child.once('spawn', () => {
      if (child?.pid !== undefined) options.onStart(child.pid);
    });
    // `exit` does not come when the command could not be started at all; `error` does.
    child.once('error', ended);
    child.once('exit', ended);
  };
  const ended = (): void => {
    child = undefined;
    gone?.();
    if (!stopping && timer === undefined)
      timer = setTimeout(() => {
        timer = undefined;
        if (!stopping) start();
      }, restartDelayMs);
  };

  start();
  return {
    name: options.name,
    get pid() {
      return child?.pid;
    },
    async stop() {
      stopping = true;
      clearTimeout(timer);
      const last = child;
      if (last === undefined) {
        options.listeners?.close();
        return;
      }
      const exited = new Promise<void>((resolve) => {
        gone = resolve;
      });
      last.kill('SIGTERM');
      const killer = setTimeout(() => last.kill('SIGKILL'), stopMs);
      await exited;
      clearTimeout(killer);
      options.listeners?.close();
    },
  };
}
