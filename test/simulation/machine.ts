/**
 * A world in which nothing happens by itself (D-176): every timer, message, disk call and hash of the processes in it waits in a
 * line until the seed says that it is its turn, so the same seed is the same run, and a process can die between any two
 * turns, which is at every await. `standInForMachine` comes before everything else.
 *
 * Whose code runs is known by AsyncLocalStorage; what runs outside of every process has the real timers, disks and dice.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import type { Clock } from '#shared/clock.ts';
import { buildRandom } from '#test/harness/random.ts';

const processes = new AsyncLocalStorage<Process>();
const realImmediate = globalThis.setImmediate;
const realNow = Date.now.bind(Date);

/** What one turn takes; small enough that nothing times out while the world is busy. */
const turnMs = 0.02;

interface Turn {
  readonly process: Process;
  readonly label: string;
  readonly run: () => void;
  /** What is left of it when its process dies before its turn: half a write. */
  readonly half?: (() => void) | undefined;
}

/** Turns that come one after the other: what is sent on one connection, what one disk is asked. */
export class Line {
  readonly turns: Turn[] = [];
}

interface Timer {
  readonly process: Process;
  readonly dueMs: number;
  readonly number: number;
  readonly run: () => void;
  readonly everyMs: number | undefined;
  isOver: boolean;
}

/** A program on a box of its own, with a clock of its own. */
export class Process {
  readonly name: string;
  readonly machine: Machine;
  readonly clock: Clock;
  isAlive = true;
  /** Of the wall clock: what it is off, and how fast it goes. */
  wall: { offsetMs: number; sinceMs: number; rate: number };
  /** What the disk says instead of doing what it is asked. */
  diskFault: (what: string) => NodeJS.ErrnoException | undefined = () => undefined;
  readonly #deaths = new Set<() => void>();
  readonly immediates = new Line();

  constructor(machine: Machine, name: string, wall = { offsetMs: machine.startMs, sinceMs: 0, rate: 1 }) {
    this.machine = machine;
    this.name = name;
    this.wall = wall;
    this.clock = {
      // Whole milliseconds, as of a real one.
      now: () => Math.floor(this.wall.offsetMs + (machine.steadyMs - this.wall.sinceMs) * this.wall.rate),
      monotonic: () => machine.steadyMs,
    };
  }

  /** The wall clock alone: at once, and from now on by its rate. */
  turnClock(jumpMs: number, rate = this.wall.rate): void {
    const { steadyMs } = this.machine;
    this.wall = { offsetMs: this.clock.now() + jumpMs, sinceMs: steadyMs, rate };
  }

  run<T>(act: () => T): T {
    return processes.run(this, act);
  }

  /** Returns the unsubscribe. */
  onDeath(listener: () => void): () => void {
    this.#deaths.add(listener);
    return () => void this.#deaths.delete(listener);
  }

  /** As `kill -9`: what it was about to do is not done, or half; nothing of it runs any more. */
  die(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.machine.bury(this);
    for (const listener of this.#deaths) listener();
    this.#deaths.clear();
  }
}

export class Machine {
  readonly startMs = Date.UTC(2026, 10, 24, 12, 0, 0);
  readonly random: (below: number) => number;
  steadyMs = 1_000;
  turns = 0;
  readonly #bytes: (below: number) => number;
  #ready: Line[] = [];
  #timers: Timer[] = [];
  #numbers = 0;
  /** Real work of threads and disks that a turn began and that is not done. */
  #outside = 0;
  readonly #hash = crypto.createHash('sha256');
  readonly told: string[] = [];
  readonly #onTold: ((line: string) => void) | undefined;
  readonly #isEveryTurnTold: boolean;

  /** `isEveryTurnTold`: not only what people and weather do. */
  constructor(seed: number, onTold?: (line: string) => void, isEveryTurnTold = false) {
    this.random = buildRandom(seed);
    this.#bytes = buildRandom(seed ^ 0x5eed);
    this.#onTold = onTold;
    this.#isEveryTurnTold = isEveryTurnTold;
  }

  /** True `of` times in `among`. */
  chance(of: number, among: number): boolean {
    return this.random(among) < of;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.random(from.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  randomBytes(size: number): Buffer {
    return Buffer.from(Array.from({ length: size }, () => this.#bytes(256)));
  }

  /** Into the trace, which is what two runs of one seed are compared by. */
  tell(line: string): void {
    const text = `${this.turns} ${this.steadyMs.toFixed(1)} ${line}`;
    this.#hash.update(`${text}\n`);
    this.told.push(text);
    if (this.told.length > 400) this.told.splice(0, 200);
    this.#onTold?.(text);
  }

  hash(): string {
    return this.#hash.copy().digest('hex');
  }

  post(process: Process, line: Line, label: string, run: () => void, half?: () => void): void {
    if (!process.isAlive) return;
    line.turns.push({ process, label, run, half });
    if (line.turns.length === 1) this.#ready.push(line);
  }

  /**
   * Something a process has done outside of itself: begun at a turn, done, and its outcome known at another one. In
   * between, and before, the process may die.
   */
  gate<T>(
    process: Process,
    label: string,
    perform: () => T | Promise<T>,
    more: {
      readonly half?: (() => void) | undefined;
      readonly line?: Line | undefined;
      /** Real threads do it: everybody waits until they have. */
      readonly isReal?: boolean;
    } = {},
  ): Promise<T> {
    const line = more.line ?? new Line();
    return new Promise<T>((resolve, reject) => {
      const begin = async (): Promise<void> => {
        if (more.isReal === true) this.#outside += 1;
        try {
          const value = await perform();
          this.post(process, line, `${label} done`, () => resolve(value));
        } catch (error) {
          this.post(process, line, `${label} failed`, () => reject(error));
        } finally {
          if (more.isReal === true) this.#outside -= 1;
        }
      };
      this.post(process, line, label, () => void begin(), more.half);
    });
  }

  addTimer(process: Process, run: () => void, inMs: number, everyMs?: number): Timer {
    const number = (this.#numbers += 1);
    const dueMs = this.steadyMs + Math.max(0.01, Number.isFinite(inMs) ? inMs : 1);
    const timer: Timer = { process, dueMs, number, run, everyMs, isOver: !process.isAlive };
    if (!timer.isOver) this.#insert(timer);
    return timer;
  }

  #insert(timer: Timer): void {
    let [low, high] = [0, this.#timers.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#timers[middle]?.dueMs ?? 0) <= timer.dueMs) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
  }

  timersOf(process: Process): number {
    return this.#timers.filter((one) => one.process === process && !one.isOver).length;
  }

  bury(process: Process): void {
    this.#timers = this.#timers.filter((one) => one.process !== process);
    for (const line of this.#ready) {
      for (const turn of line.turns) if (turn.process === process && this.chance(1, 2)) turn.half?.();
      const left = line.turns.filter((turn) => turn.process !== process);
      line.turns.splice(0, line.turns.length, ...left);
    }
    this.#ready = this.#ready.filter((line) => line.turns.length > 0);
  }

  /** One turn of somebody. False: everybody waits for a timer. */
  async turn(): Promise<boolean> {
    await this.#settle();
    this.#wakeDue();
    const at = this.#ready.length === 0 ? -1 : this.random(this.#ready.length);
    const line = this.#ready[at];
    const turn = line?.turns.shift();
    if (line === undefined || turn === undefined) return false;
    if (line.turns.length === 0) {
      const last = this.#ready.pop();
      if (last !== undefined && last !== line) this.#ready[at] = last;
    }
    this.turns += 1;
    this.steadyMs += turnMs;
    this.#hash.update(`${turn.process.name} ${turn.label}\n`);
    if (this.#isEveryTurnTold) this.#onTold?.(`  ${turn.process.name} ${turn.label}`);
    processes.run(turn.process, turn.run);
    return true;
  }

  /** Time passes, whatever is under way. */
  async pass(ms: number): Promise<void> {
    const endMs = this.steadyMs + ms;
    for (let turns = 0; turns < 200_000; turns += 1) {
      if (await this.turn()) {
        if (this.steadyMs >= endMs) return;
        continue;
      }
      const next = this.#timers[0]?.dueMs ?? Infinity;
      if (next > endMs) break;
      this.steadyMs = Math.max(this.steadyMs, next);
    }
    this.steadyMs = Math.max(this.steadyMs, endMs);
  }

  /** So many turns; time goes on to the next timer, by `patienceMs` at most, where nobody has one. */
  async turnsOf(count: number, patienceMs: number): Promise<void> {
    for (let done = 0; done < count; done += 1) {
      if (await this.turn()) continue;
      const next = this.#timers[0]?.dueMs ?? Infinity;
      if (next > this.steadyMs + patienceMs) return;
      this.steadyMs = next;
    }
  }

  async until(condition: () => boolean, patienceMs: number): Promise<boolean> {
    const endMs = this.steadyMs + patienceMs;
    for (let turns = 0; turns < 500_000; turns += 1) {
      if (condition()) return true;
      if (await this.turn()) continue;
      if (condition()) return true;
      const next = this.#timers[0]?.dueMs ?? Infinity;
      if (next > endMs) return false;
      this.steadyMs = Math.max(this.steadyMs, next);
    }
    throw new Error('the world does not come to rest');
  }

  #wakeDue(): void {
    for (;;) {
      const timer = this.#timers[0];
      if (timer === undefined || timer.dueMs > this.steadyMs) return;
      this.#timers.shift();
      if (timer.isOver) continue;
      this.post(timer.process, new Line(), 'timer', () => {
        if (!timer.isOver) timer.run();
      });
      if (timer.everyMs !== undefined)
        this.#insert(Object.assign(timer, { dueMs: timer.dueMs + Math.max(1, timer.everyMs) }));
      // A timer that is over may still be cleared: nothing comes of it.
    }
  }

  /** All that runs by itself has run: promises, and what real threads were asked. */
  async #settle(): Promise<void> {
    do await new Promise((resolve) => realImmediate(resolve));
    while (this.#outside > 0);
  }
}

/** The process whose code is running. */
export function findProcess(): Process | undefined {
  return processes.getStore();
}

class TimerHandle {
  readonly timer: Timer;
  constructor(timer: Timer) {
    this.timer = timer;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return false;
  }
  [Symbol.dispose](): void {
    this.timer.isOver = true;
  }
}

type Callback = (...args: unknown[]) => void;

function virtualTimer(real: (...args: never[]) => unknown, isRepeated: boolean) {
  return (run: Callback, ms = 0, ...args: unknown[]): unknown => {
    const process = findProcess();
    if (process === undefined) return Reflect.apply(real, globalThis, [run, ms, ...args]);
    const act = (): void => run(...args);
    return new TimerHandle(process.machine.addTimer(process, act, ms, isRepeated ? ms : undefined));
  };
}

function virtualClear(real: (handle: never) => void) {
  return (handle: unknown): void => {
    if (handle instanceof TimerHandle) handle.timer.isOver = true;
    else Reflect.apply(real, globalThis, [handle]);
  };
}

/** Rejects with the signal's reason as the real ones do. */
function abortable<T>(signal: AbortSignal | undefined, begin: (resolve: (value: T) => void) => void) {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void =>
      reject(
        Object.assign(new Error('aborted', { cause: signal?.reason }), {
          name: 'AbortError',
          code: 'ABORT_ERR',
        }),
      );
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    return begin((value) => {
      signal?.removeEventListener('abort', abort);
      resolve(value);
    });
  });
}

/** Once, before anything is loaded that takes hold of what it stands in for. */
export function standInForMachine(): void {
  const real = {
    setTimeout: globalThis.setTimeout,
    setInterval: globalThis.setInterval,
    clearTimeout: globalThis.clearTimeout,
    clearInterval: globalThis.clearInterval,
    clearImmediate: globalThis.clearImmediate,
    argon2: crypto.argon2,
    randomBytes: crypto.randomBytes,
    randomInt: crypto.randomInt,
    wait: timers.setTimeout,
    breathe: timers.setImmediate,
  };
  const nextTurn = (process: Process, run: () => void): TimerHandle => {
    const timer: Timer = { process, dueMs: 0, number: 0, run, everyMs: undefined, isOver: false };
    process.machine.post(process, process.immediates, 'immediate', () => {
      if (!timer.isOver) timer.run();
    });
    return new TimerHandle(timer);
  };
  Object.assign(globalThis, {
    setTimeout: virtualTimer(real.setTimeout, false),
    setInterval: virtualTimer(real.setInterval, true),
    setImmediate: (run: Callback, ...args: unknown[]): unknown => {
      const process = findProcess();
      return process === undefined ? realImmediate(run, ...args) : nextTurn(process, () => run(...args));
    },
    clearTimeout: virtualClear(real.clearTimeout),
    clearInterval: virtualClear(real.clearInterval),
    clearImmediate: virtualClear(real.clearImmediate),
  });
  Object.assign(Date, { now: () => findProcess()?.clock.now() ?? realNow() });
  Object.assign(timers, {
    setTimeout: (ms: number, value: unknown, options: { signal?: AbortSignal } = {}) => {
      const process = findProcess();
      if (process === undefined) return real.wait(ms, value, options);
      return abortable(options.signal, (resolve) => {
        process.machine.addTimer(process, () => resolve(value), ms);
      });
    },
    setImmediate: (value: unknown, options: { signal?: AbortSignal } = {}) => {
      const process = findProcess();
      if (process === undefined) return real.breathe(value, options);
      return abortable(options.signal, (resolve) => nextTurn(process, () => resolve(value)));
    },
  });
  Object.assign(crypto, {
    /** As cheap as it can be: what a hash costs is tested elsewhere. */
    argon2: (kind: 'argon2id', parameters: crypto.Argon2Parameters, done: Callback) => {
      const process = findProcess();
      if (process === undefined) return real.argon2(kind, parameters, done);
      const cheap = { ...parameters, memory: 8, passes: 1, parallelism: 1 };
      void process.machine
        .gate(process, 'argon2', () => crypto.argon2Sync(kind, cheap))
        .then((tag) => done(null, tag), done);
    },
    randomBytes: (size: number, done?: Callback) => {
      const machine = findProcess()?.machine;
      if (machine === undefined || done !== undefined)
        return Reflect.apply(real.randomBytes, crypto, [size, done]);
      return machine.randomBytes(size);
    },
    randomInt: (...args: [number, number?]) => {
      const machine = findProcess()?.machine;
      if (machine === undefined) return Reflect.apply(real.randomInt, crypto, args);
      const [from, to] = args[1] === undefined ? [0, args[0]] : [args[0], args[1]];
      return from + (machine.randomBytes(6).readUIntBE(0, 6) % (to - from));
    },
  });
  const { subtle } = globalThis.crypto;
  for (const name of ['sign', 'verify', 'importKey', 'digest'] as const) {
    const original = subtle[name].bind(subtle) as (...args: unknown[]) => Promise<unknown>;
    Object.defineProperty(subtle, name, {
      configurable: true,
      value: (...args: unknown[]) => {
        const process = findProcess();
        if (process === undefined) return original(...args);
        return process.machine.gate(process, name, () => original(...args), { isReal: true });
      },
    });
  }
  syncBuiltinESMExports();
}
