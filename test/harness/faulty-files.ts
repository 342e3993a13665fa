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
