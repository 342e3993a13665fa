import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { DmzConfig } from '#dmz/config.ts';
import { forkWorker } from '#dmz/workers/fork.ts';
import type { FromWorker } from '#dmz/workers/messages.ts';
import { Slot, type WorkerProcess } from '#dmz/workers/slot.ts';
import { buildLog } from '#shared/log.ts';
import { eventually } from '#test/harness/patience.ts';

/** Run in a worker's place: it says that it has started, and then does what is told here instead of serving. */
function pretend(then: string): string {
  const started: FromWorker = { type: 'started', linkPort: 1 };
  const program = `
    setInterval(() => undefined, 1_000);
    process.send(${JSON.stringify(started)}, () => { ${then} });
    await new Promise(() => undefined);`;
  return `--import "data:text/javascript,${encodeURIComponent(program)}"`;
}

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function start(nodeOptions: string): Promise<{ slot: Slot; lives: WorkerProcess[]; exits: string[] }> {
  const lives: WorkerProcess[] = [];
  const exits: string[] = [];
  const slot = new Slot({
    worker: 0,
    startProcess: (seat, on) => {
      const exit = (why: string): void => {
        exits.push(why);
        on.exit(why);
      };
      const life = forkWorker({ ...process.env, NODE_OPTIONS: nodeOptions }, seat, { ...on, exit });
      lives.push(life);
      return life;
    },
    seat: () => ({
      worker: 0,
      workers: 2,
      // It does not come to be read.
      config: {} as DmzConfig,
      configFile: 'nowhere',
      link: { host: '127.0.0.1', port: 0 },
      linkPorts: [],
      bans: [],
    }),
    hasRoomFor: () => true,
    onBanned: () => undefined,
    onHeld: () => undefined,
    log: buildLog('silent', {}),
  });
  open.push(async () => {
    const stopped = slot.stop();
    for (const life of lives) life.kill();
    await stopped;
  });
  await slot.start();
  return { slot, lives, exits };
}

/** Its connections are handed to the slot; each client's promise resolves when it is told the end. */
async function openDoor(slot: Slot): Promise<{ knock: () => Promise<unknown>; server: Server }> {
  const server = createServer({ pauseOnConnect: true }, (socket) =>
    slot.hand({ door: 'https', network: '127.0.0.0/24', socket }),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(() => void server.close());
  const knock = async (): Promise<unknown> => {
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => undefined);
    const closed = once(client, 'close');
    await once(client, 'connect');
    return closed;
  };
  return { knock, server };
}

describe('a connection that is on its way to a worker', () => {
  it('is closed when the worker dies before it has taken it', async () => {
    // Node keeps a handle open for which no acknowledgement came, and never says so.
    const { slot, lives } = await start(pretend(`process.kill(process.pid, 'SIGSTOP')`));
    const { knock, server } = await openDoor(slot);
    const arrived = once(server, 'connection');
    const closed = knock();
    await arrived;
    lives[0]?.kill();
    await expect(closed).resolves.toBeDefined();
  });

  it('is closed when the worker hears nothing any more, and that one is ended', async () => {
    const { slot, exits } = await start(pretend('process.disconnect()'));
    const { knock } = await openDoor(slot);
    await knock();
    await knock();
    await eventually(() => expect(exits[0]).toBe('SIGKILL'));
  });
});
