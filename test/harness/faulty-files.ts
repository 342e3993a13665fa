import callbackFs from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/**
 * A disk that fails, or a process that dies, at one chosen step of everything that changes a disk, by `node:fs` and by
 * `node:fs/promises`. Once failed it stays failed until `restore`, so that what runs afterwards can't tidy up: as after a
 * crash.
 */
export interface FaultyFiles {
  /** Steps so far. */
  readonly steps: number;
  restore(): void;
}

/** What happens instead of step number `at` (from 1): `fails` rejects, `dies` ends the process halfway through. */
export interface Fault {
  readonly at: number;
  readonly how: 'fails' | 'dies';
  /** Only that one step fails, and the process lives on. */
  readonly once?: boolean;
  /** What the kernel says. Default: EIO. */
  readonly code?: 'EIO' | 'ENOSPC';
}

const changing = ['open', 'rename', 'link', 'unlink', 'rm', 'mkdir'] as const;
const changingByNumber = ['open', 'writev', 'fsync', 'ftruncate'] as const;

export function breakFiles(fault: Fault): FaultyFiles {
  const { code = 'EIO' } = fault;
  const originals = changing.map((name) => [name, fs[name]] as const);
  const originalsByNumber = changingByNumber.map((name) => [name, callbackFs[name]] as const);
  const state = { steps: 0 };
  const step = async (half?: () => Promise<unknown>): Promise<void> => {
    state.steps += 1;
    if (state.steps < fault.at || (fault.once === true && state.steps > fault.at)) return;
    if (state.steps === fault.at) await half?.();
    if (fault.how === 'dies') process.kill(process.pid, 'SIGKILL');
    throw Object.assign(new Error(`${code}: played disk error`), { code });
  };
  for (const [name, original] of originals) {
    const act = original as (...args: unknown[]) => Promise<unknown>;
    Object.assign(fs, {
      [name]: async (...args: unknown[]) => {
        if (name !== 'open' || !isForReading(args[1])) await step();
        const result = await act(...args);
        return name === 'open' ? breakHandle(result as fs.FileHandle, step) : result;
      },
    });
  }
  for (const [name, original] of originalsByNumber) {
    const act = original as (...args: unknown[]) => void;
    Object.assign(callbackFs, {
      [name]: (...args: unknown[]) => {
        if (name === 'open' && isForReading(args[1])) act(...args);
        else void step().then(() => act(...args), args.at(-1) as (error: unknown) => void);
      },
    });
  }
  syncBuiltinESMExports();
  return {
    get steps() {
      return state.steps;
    },
    restore() {
      Object.assign(fs, Object.fromEntries(originals));
      Object.assign(callbackFs, Object.fromEntries(originalsByNumber));
      syncBuiltinESMExports();
    },
  };
}

/** Opening to read changes nothing; a folder is opened so to be synced, which does. */
function isForReading(flags: unknown): boolean {
  const { O_WRONLY, O_RDWR, O_CREAT } = fs.constants;
  if (typeof flags === 'number') return (flags & (O_WRONLY | O_RDWR | O_CREAT)) === 0;
  return flags === undefined || flags === 'r';
}

function breakHandle(
  handle: fs.FileHandle,
  step: (half?: () => Promise<unknown>) => Promise<void>,
): fs.FileHandle {
  const write = handle.writeFile.bind(handle);
  const sync = handle.sync.bind(handle);
  return Object.assign(handle, {
    writeFile: async (data: string | Buffer) => {
      await step(() => write(data.slice(0, data.length / 2)));
      await write(data);
    },
    sync: async () => {
      await step();
      await sync();
    },
  });
}

/** A disk that fails one kind of call on some paths until `restore`, for a process that goes on. */
export interface CallFault {
  readonly call: (typeof changingByNumber)[number] | 'readv' | 'rename' | 'link' | 'unlink';
  /** The kernel's name of the file it is about, or is called on. */
  readonly on: RegExp;
  /** What the kernel says. `waits`: nothing, until `restore`; then the call is made. */
  readonly how: 'EIO' | 'ENOSPC' | 'EDQUOT' | 'waits';
  /** So many calls do well before. */
  readonly after?: number;
}

export interface FailingCalls {
  /** Calls that failed, or wait. */
  readonly count: number;
  restore(): void;
}

export function breakCalls({ call, on, how, after = 0 }: CallFault): FailingCalls {
  const original = callbackFs[call] as (...args: unknown[]) => void;
  const originalPromise = call in fs ? (Reflect.get(fs, call) as (...args: unknown[]) => unknown) : undefined;
  const { promise: restored, resolve: letGo } = Promise.withResolvers<void>();
  let met = 0;
  const meet = async (about: unknown): Promise<void> => {
    if (!on.test(nameOf(about))) return;
    met += 1;
    if (met <= after) return;
    if (how === 'waits') await restored;
    else throw Object.assign(new Error(`${how}: played disk error`), { code: how });
  };
  Object.assign(callbackFs, {
    [call]: (...args: unknown[]) =>
      void meet(args[0]).then(() => original(...args), args.at(-1) as (error: unknown) => void),
  });
  if (originalPromise !== undefined)
    Object.assign(fs, {
      [call]: async (...args: unknown[]) => {
        await meet(args[0]);
        return originalPromise(...args);
      },
    });
  syncBuiltinESMExports();
  return {
    get count() {
      return Math.max(0, met - after);
    },
    restore() {
      Object.assign(callbackFs, { [call]: original });
      if (originalPromise !== undefined) Object.assign(fs, { [call]: originalPromise });
      syncBuiltinESMExports();
      letGo();
    },
  };
}

/** Of a descriptor, or of a path that may begin with one. */
function nameOf(about: unknown): string {
  const path = typeof about === 'number' ? `/proc/self/fd/${about}` : String(about);
  return path.replace(/^\/proc\/self\/fd\/\d+/, (fd) => callbackFs.readlinkSync(fd));
}
