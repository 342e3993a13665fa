import { connect } from 'node:net';

/** Whether somebody takes a connection there; nothing is sent. */

const patienceMs = 5_000;

/** Why not; undefined: somebody does. */
export function whyUnreachable(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: patienceMs });
    const end = (why: string | undefined): void => {
      socket.destroy();
      resolve(why);
    };
    socket.once('connect', () => end(undefined));
    socket.once('timeout', () => end(`no answer within ${patienceMs / 1000} s`));
    socket.once('error', (error) => end(error.message));
  });
}
