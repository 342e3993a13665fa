import { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadDmzConfig, type DmzConfig } from '#dmz/config.ts';
import type { FromWorker, Seat, ToWorker } from '#dmz/workers/messages.ts';
import { WorkerPool } from '#dmz/workers/pool.ts';
import { buildLog } from '#shared/log.ts';

/** A worker's process, played: it starts at once and takes each connection, until it is told otherwise. */
class PlayedProcess {
  readonly seat: Seat;
  readonly told: ToWorker[] = [];
  readonly sockets: Socket[] = [];
  takes = true;
  answers = true;
  isKilled = false;
  readonly #on: { message: (message: FromWorker) => void; exit: (why: string) => void };

  constructor(seat: Seat, on: PlayedProcess['on']) {
    this.seat = seat;
    this.#on = on;
  }

  get on() {
    return this.#on;
  }

  send(message: ToWorker, socket?: Socket): void {
    this.told.push(message);
    if (message.type === 'ask' && this.answers)
      this.say({ type: 'answer', id: message.id, value: this.seat.worker });
    if (message.type === 'stop') this.on.exit('exit code 0');
    if (message.type !== 'connection') return;
    if (socket !== undefined) this.sockets.push(socket);
    if (this.takes) this.say({ type: 'taken' });
  }

  say(message: FromWorker): void {
    queueMicrotask(() => this.on.message(message));
  }

  kill(): void {
    this.isKilled = true;
    this.on.exit('SIGKILL');
  }

  hasRoom(): boolean | undefined {
    const answer = this.told.findLast(({ type }) => type === 'entered');
    return answer?.type === 'entered' ? answer.hasRoom : undefined;
  }
}

let config: DmzConfig;
let lives: PlayedProcess[];

beforeEach(async () => {
  vi.useFakeTimers();
  lives = [];
  config = await loadDmzConfig('configs/dmz.yaml', { credentials: 'nowhere' }).catch(() => ({}) as DmzConfig);
});
afterEach(() => vi.useRealTimers());

function build(
  workers = 2,
  start: (life: PlayedProcess) => void = (life) =>
    life.say({ type: 'started', linkPort: 8444 + life.seat.worker }),
) {
  return new WorkerPool({
    workers,
    startProcess: (seat, on) => {
      const life = new PlayedProcess(seat, on);
      lives.push(life);
      start(life);
      return life;
    },
    seat: () => ({ config, configFile: 'dmz.yaml', link: { fd: 5 } }),
    awaitingCodePerUserMax: 2,
    bansMax: 100,
    log: buildLog('silent', {}),
  });
}

const latest = (worker: number) => lives.findLast(({ seat }) => seat.worker === worker) as PlayedProcess;
const address = (network: number) => `198.${18 + (network >> 8)}.${network & 255}.7`;
const settle = () => vi.advanceTimersByTimeAsync(0);

/** A network of that worker. */
async function networkOf(pool: WorkerPool, worker: number): Promise<string> {
  for (let network = 0; network < 200; network += 1) {
    const before = latest(worker).sockets.length;
    pool.hand('https', address(network), new Socket());
    await settle();
    if (latest(worker).sockets.length > before) return address(network);
  }
  throw new Error('no such network');
}

describe('the workers of a node', () => {
  it('start from the last to the first, which is told the link ports of all', async () => {
    await build(3).start();
    expect(lives.map(({ seat }) => seat.worker)).toEqual([2, 1, 0]);
    expect(latest(0).seat.linkPorts.slice(1)).toEqual([8445, 8446]);
  });

  it('have a source and the networks around it at one of them, and all sources at all of them', async () => {
    const pool = build(4);
    await pool.start();
    for (let network = 0; network < 64; network += 1) {
      for (const host of [1, 2, 3]) pool.hand('sftp', `10.0.${network}.${host}`, new Socket());
      for (const end of ['1::1', '1:2:3::4', 'ff00::1'])
        pool.hand('https', `2001:db8:${network + 1}:${end}`, new Socket());
    }
    await settle();
    const counts = lives.map(({ sockets }) => sockets.length);
    expect(counts.map((count) => count > 0 && count % 3)).toEqual([0, 0, 0, 0]);
    expect(counts.reduce((sum, count) => sum + count)).toBe(384);
  });

  it('are started again when they die: the others keep theirs, and what waited is served', async () => {
    const pool = build();
    await pool.start();
    const [here, there] = [await networkOf(pool, 0), await networkOf(pool, 1)];
    const [dead, other] = [latest(0), latest(1)];
    dead.kill();
    pool.hand('https', here, new Socket());
    pool.hand('https', there, new Socket());
    await settle();
    expect([latest(0), latest(1)]).toEqual([dead, other]);
    const seen = other.sockets.length;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(latest(0)).not.toBe(dead);
    expect(latest(0).sockets).toHaveLength(1);
    expect([latest(1), other.sockets.length, pool.restarts]).toEqual([other, seen, 1]);
  });

  it('that go on dying wait longer each time, and who lived for a while starts with the short wait again', async () => {
    const pool = build();
    await pool.start();
    const livesWithin = async (ms: number) => {
      latest(1).kill();
      const before = lives.length;
      await vi.advanceTimersByTimeAsync(ms);
      return lives.length > before;
    };
    expect(await livesWithin(150)).toBe(true);
    expect(await livesWithin(150)).toBe(false);
    await vi.advanceTimersByTimeAsync(10_200);
    expect(await livesWithin(150)).toBe(true);
  });

  it('that hang for half a minute are ended, and those that answer are not', async () => {
    const pool = build();
    await pool.start();
    const [hangs, well] = [latest(1), latest(0)];
    await settle();
    hangs.answers = false;
    await vi.advanceTimersByTimeAsync(34_000);
    expect(hangs.isKilled).toBe(false);
    await vi.advanceTimersByTimeAsync(2_000);
    expect([hangs.isKilled, well.isKilled]).toEqual([true, false]);
    expect(latest(1)).not.toBe(hangs);
  });

  it('that can not start at first are an error of the node', async () => {
    const error = { code: 'config', message: 'no such key', hint: 'make one' } as const;
    const pool = build(2, (life) => life.say({ type: 'failed', error }));
    await expect(pool.start()).rejects.toMatchObject({
      code: 'config',
      publicMessage: 'no such key',
      hint: 'make one',
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lives).toHaveLength(1);
  });

  it('get one connection after the other, and of too many the most crowded network loses its oldest', async () => {
    const pool = build(1);
    await pool.start();
    latest(0).takes = false;
    const sockets = Array.from({ length: 514 }, () => new Socket());
    const quiet = new Socket();
    pool.hand('https', '198.51.100.1', quiet);
    for (const socket of sockets.slice(0, 512)) pool.hand('https', '192.0.2.1', socket);
    expect(latest(0).sockets).toEqual([quiet]);
    const second = new Socket();
    pool.hand('https', '198.51.100.1', second);
    expect(sockets.map(({ destroyed }) => destroyed).indexOf(true)).toBe(0);
    expect([quiet.destroyed, second.destroyed]).toEqual([false, false]);
  });

  it('share the places of a user who is asked for a code, and a dead one gives its own back', async () => {
    const pool = build();
    await pool.start();
    const ask = async (worker: number) => {
      latest(worker).say({ type: 'enter', id: 1, user: 'alice' });
      await settle();
      return latest(worker).hasRoom();
    };
    expect([await ask(0), await ask(1), await ask(1)]).toEqual([true, true, false]);
    latest(0).say({ type: 'leave', user: 'alice' });
    await settle();
    expect([await ask(1), await ask(0)]).toEqual([true, false]);
    latest(1).kill();
    await vi.advanceTimersByTimeAsync(200);
    expect(await ask(0)).toBe(true);
  });

  it('are given the bans of the process before them, of their own sources alone', async () => {
    const pool = build();
    await pool.start();
    const [here, there] = [await networkOf(pool, 0), await networkOf(pool, 1)];
    const banOf = (source: string) => ({ source, kind: 'failures' as const, untilMs: 9, lengthMs: 5 });
    latest(0).say({ type: 'banned', ban: banOf(here) });
    latest(1).say({ type: 'banned', ban: banOf(there) });
    await settle();
    latest(0).kill();
    await vi.advanceTimersByTimeAsync(200);
    expect(latest(0).seat.bans).toEqual([banOf(here)]);
  });

  it('know which main the others have, also when they begin, and when it is gone', async () => {
    const pool = build();
    await pool.start();
    const by = { boot: 'a'.repeat(22), from: { from: '10.0.0.2', sinceMs: 7 } };
    const heard = (worker: number) => latest(worker).told.findLast(({ type }) => type === 'held-elsewhere');
    latest(1).say({ type: 'held', by });
    await settle();
    expect([heard(0), heard(1)]).toEqual([{ type: 'held-elsewhere', by }, { type: 'held-elsewhere' }]);
    latest(0).kill();
    await vi.advanceTimersByTimeAsync(200);
    expect(latest(0).told[0]).toEqual({ type: 'held-elsewhere', by });
    latest(1).kill();
    expect(heard(0)).toEqual({ type: 'held-elsewhere' });
  });

  it('end when they are told, and are not started again', async () => {
    const pool = build();
    await pool.start();
    await pool.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lives.map(({ told }) => told.at(-1)?.type)).toEqual(['stop', 'stop']);
  });
});
