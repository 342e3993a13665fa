import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { DmzConfig } from '#dmz/config.ts';
import { forkWorker } from '#dmz/workers/fork.ts';
import type { WorkerProcess } from '#dmz/workers/slot.ts';
import { eventually } from '#test/harness/patience.ts';

/** A worker's program that hangs up and stays: as every process that dies, between two moments, only longer. */
const deafAtOnce = `data:text/javascript,${encodeURIComponent(
  'process.exit = () => setInterval(() => undefined, 1_000); setImmediate(() => process.disconnect());',
)}`;

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

function start(nodeOptions: string): { worker: WorkerProcess; exited: Promise<string> } {
  const { promise: exited, resolve } = Promise.withResolvers<string>();
  const worker = forkWorker(
    { ...process.env, NODE_OPTIONS: nodeOptions },
    {
      worker: 0,
      workers: 2,
      // It does not come to be read.
      config: {} as DmzConfig,
      configFile: 'nowhere',
      link: { host: '127.0.0.1', port: 0 },
      linkPorts: [],
      bans: [],
    },
    { message: () => undefined, exit: resolve },
  );
  open.push({ close: () => worker.kill() });
  return { worker, exited };
}

describe('a worker that is deaf', () => {
  it('is ended, and what is handed to it meanwhile is closed', async () => {
    const { worker, exited } = start(`--import "${deafAtOnce}"`);
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    open.push(server);
    await once(server, 'listening');
    const clients: Promise<unknown>[] = [];
    const handed: Socket[] = [];
    server.on('connection', (socket) => {
      handed.push(socket);
      worker.send({ type: 'connection', door: 'https' }, socket);
    });
    expect(await exited).toBe('SIGKILL');
    for (let count = 0; count < 3; count += 1) {
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
      client.on('error', () => undefined);
      clients.push(once(client, 'close'));
    }
    await Promise.all(clients);
    expect(handed).toHaveLength(3);
    await eventually(() => expect(handed.every(({ destroyed }) => destroyed)).toBe(true));
  });
});
