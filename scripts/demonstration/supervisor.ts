import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';

/**
 * Keeps one node of the product running, as systemd would: started again when it dies, ended on stop. What systemd
 * adds (sandbox, sockets, watchdog) is in configs/systemd, not here.
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
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
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
    const env = { ...process.env, ...options.env };
    child = spawn(options.command, options.args, { env, stdio: ['ignore', log, log] });
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
      if (last === undefined) return;
      const exited = new Promise<void>((resolve) => {
        gone = resolve;
      });
      last.kill('SIGTERM');
      const killer = setTimeout(() => last.kill('SIGKILL'), stopMs);
      await exited;
      clearTimeout(killer);
    },
  };
}
