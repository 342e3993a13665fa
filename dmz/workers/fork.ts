import { fork, type StdioOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { FromWorker } from './messages.ts';
import type { StartProcess, WorkerProcess } from './slot.ts';

const program = fileURLToPath(new URL('./main.ts', import.meta.url));
/** The descriptor in the worker of a link socket that was handed over: the one after Node's channel. */
const linkDescriptor = 4;
/** What the node's process may and its workers, who listen to strangers, may not. */
const permission = '--allow-child-process';

const fromWorker = z.custom<FromWorker>(
  (message) => typeof message === 'object' && message !== null && 'type' in message,
);

/** A worker as a process of its own, which ends with this one. `env`: of this one. */
export function forkWorker(env: NodeJS.ProcessEnv, ...[seat, on]: Parameters<StartProcess>): WorkerProcess {
  const { LISTEN_FDS: _count, LISTEN_FDNAMES: _names, LISTEN_PID: _pid, NODE_OPTIONS, ...others } = env;
  const hasSocket = 'fd' in seat.link;
  const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc'];
  const child = fork(program, [], {
    execArgv: process.execArgv.filter((argument) => argument !== permission),
    env: { ...others, NODE_OPTIONS: NODE_OPTIONS?.replace(permission, '') },
    stdio: 'fd' in seat.link ? [...stdio, seat.link.fd] : stdio,
  });
  child.on('message', (message) => {
    const told = fromWorker.parse(message);
    if (told.type !== 'ready') on.message(told);
    else child.send({ type: 'start', seat: hasSocket ? { ...seat, link: { fd: linkDescriptor } } : seat });
  });
  child.on('error', () => undefined);
  // A process that dies is deaf before its end is told, for milliseconds or as long as it hangs; who is deaf serves nobody.
  const end = (): void => void child.kill('SIGKILL');
  child.once('disconnect', end);
  child.once('exit', (code, signal) => on.exit(signal ?? `exit code ${code}`));
  return {
    send: (message, socket) =>
      void child.send(message, socket, { keepOpen: true }, (error) => {
        // With a connection on its way, Node tells of no disconnect.
        if (error !== null) end();
      }),
    kill: end,
  };
}
