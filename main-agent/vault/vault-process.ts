import { spawn, type ChildProcess } from 'node:child_process';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SallyportError, toSallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import type { AskVault, VaultAccess } from './calls.ts';
import { away, VaultChannel } from './channel.ts';
import { failedRestartMsMax, restartMsMax, restartMsMin, startMs, steadyAfterMs } from './limits.ts';

/**
 * The vault's process, as main sees it: started with a channel and nothing else, and started again when it is gone. While
 * it is away every call rejects `busy`, so nobody signs in and nothing is counted; sessions ask it nothing.
 */

export interface VaultProcess extends VaultAccess {
  /** Resolves when it has read the key for the first time; rejects as it rejects, `config` for a bad key. */
  opened(): Promise<void>;
  /** Why it is away, for an admin; undefined: it is there. */
  problem(): string | undefined;
  /** Whether its file holds the key that it has; false while nobody can say. */
  isSameFile(): Promise<boolean>;
  close(): Promise<void>;
}

interface VaultProcessOptions {
  /** Only its path: the process reads it, main never does. */
  readonly keyFile: string;
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials: string | undefined;
  /** What it reads and writes for main: the users, and the copies of their last good files. */
  readonly users: Readonly<Record<'directory' | 'lastGoodDirectory', string>>;
  readonly log: Log;
  readonly spawnProcess?: SpawnVault;
}

/** A life of the process: its channel, and its end. */
interface VaultLife {
  readonly channel: Duplex;
  onExit(listener: (why: string) => void): void;
  /** At once (SIGKILL). */
  kill(): void;
}

/** Throws where no process can be had. */
type SpawnVault = (arguments_: readonly string[], environment: Readonly<Record<string, string>>) => VaultLife;

/** How long a process may take to end when its channel is closed. */
const endMs = 2_000;

export function startVaultProcess(options: VaultProcessOptions): VaultProcess {
  return new SupervisedVault(options);
}

class SupervisedVault implements VaultProcess {
  readonly #options: VaultProcessOptions;
  readonly #opened = Promise.withResolvers<void>();
  readonly #listeners: (() => Promise<void>)[] = [];
  #life: VaultLife | undefined;
  #channel: VaultChannel | undefined;
  /** Of the process that is there and has been told what it must know. */
  #isServing = false;
  #known: { readonly keyId: string; readonly deliveredKey: Secret<Buffer> } | undefined;
  /** Whether this life got as far. */
  #hasBegun = false;
  #isClosing = false;
  #attempt = 0;
  #why: string | undefined = 'the vault has not begun yet';
  #restartTimer: NodeJS.Timeout | undefined;
  #steadyTimer: NodeJS.Timeout | undefined;
  #onGone: (() => void) | undefined;

  constructor(options: VaultProcessOptions) {
    this.#options = options;
    this.#opened.promise.catch(() => undefined);
    this.#spawn();
  }

  readonly ask: AskVault = async (verb, request) => {
    const channel = this.#channel;
    if (channel === undefined || !this.#isServing) throw away(this.#why ?? 'the vault is away', restartMsMax);
    return channel.ask(verb, request);
  };

  get deliveredKey(): Secret<Buffer> {
    if (this.#known === undefined) throw new Error('the vault is not open yet');
    return this.#known.deliveredKey;
  }

  onOpened(listener: () => Promise<void>): void {
    this.#listeners.push(listener);
  }

  opened(): Promise<void> {
    return this.#opened.promise;
  }

  problem(): string | undefined {
    return this.#why;
  }

  isSameFile(): Promise<boolean> {
    return this.ask('examine-file', { samples: [] }).then(
      ({ isHeld }) => isHeld,
      () => false,
    );
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#steadyTimer);
    const life = this.#life;
    if (life === undefined) return;
    const gone = new Promise<void>((resolve) => {
      this.#onGone = resolve;
    });
    this.#channel?.end();
    const late = setTimeout(() => life.kill(), endMs);
    await gone;
    clearTimeout(late);
  }

  #spawn(): void {
    const { spawnProcess = spawnVault } = this.#options;
    this.#hasBegun = false;
    let life: VaultLife;
    try {
      life = spawnProcess(argumentsOf(this.#options), environment);
    } catch (error) {
      // No memory or no descriptors for another process: a life like any other that did not begin.
      this.#ended(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#life = life;
    const channel = new VaultChannel(life.channel, (why) => {
      this.#why = why;
      this.#isServing = false;
      life.kill();
    });
    this.#channel = channel;
    const late = setTimeout(() => life.kill(), startMs);
    life.onExit((why) => {
      if (this.#life !== life) return;
      clearTimeout(late);
      channel.end();
      this.#ended(why);
    });
    this.#open(channel)
      .catch((error: unknown) => {
        this.#failed(error);
        life.kill();
      })
      .finally(() => clearTimeout(late));
  }

  async #open(channel: VaultChannel): Promise<void> {
    const expected = this.#known?.keyId;
    const { keyId, deliveredKey } = await channel.ask('open', expected === undefined ? {} : { expected });
    this.#known ??= { keyId, deliveredKey: new Secret(Buffer.from(deliveredKey, 'base64url')) };
    this.#hasBegun = true;
    this.#isServing = true;
    // Each sends before anybody else can, and what is sent first is done first.
    await Promise.all(this.#listeners.map((listener) => listener()));
    this.#why = undefined;
    this.#steadyTimer = setTimeout(() => {
      this.#attempt = 0;
    }, steadyAfterMs).unref();
    this.#opened.resolve();
  }

  #failed(error: unknown): void {
    const { detail, publicMessage, hint } = toSallyportError(error);
    this.#why = detail === undefined ? publicMessage : `${publicMessage} (${detail})`;
    this.#options.log.error({ alarm: 'vault-away', why: this.#why, hint }, 'the vault could not begin');
    this.#opened.reject(error);
  }

  #ended(why: string): void {
    this.#life = undefined;
    this.#channel = undefined;
    this.#isServing = false;
    clearTimeout(this.#steadyTimer);
    this.#onGone?.();
    if (this.#isClosing) return;
    this.#why ??= `the vault ended (${why}) and is started again`;
    // Nobody waits for a first life that did not begin: main does not start.
    if (this.#known === undefined) {
      this.#opened.reject(
        new SallyportError('internal', 'The vault ended before it had begun', { detail: why }),
      );
      return;
    }
    const waitMs = Math.min(
      restartMsMin * 2 ** this.#attempt,
      this.#hasBegun ? restartMsMax : failedRestartMsMax,
    );
    this.#attempt = Math.min(this.#attempt + 1, 16);
    this.#options.log.error({ alarm: 'vault-away', why, waitMs }, 'the vault is gone and is started again');
    this.#restartTimer = setTimeout(() => this.#spawn(), waitMs);
  }
}

const channelDescriptor = 3;
const program = fileURLToPath(new URL('./process/main.ts', import.meta.url));
const root = path.resolve(path.dirname(program), '../../..');

/**
 * What it may touch: the program, the key file, and what users' files are. `--permission` is Node's word, not the kernel's; it holds for code of
 * ours that was tricked. No program, no native code, no inspector; threads for hashes of other systems.
 */
function argumentsOf({ keyFile, credentials, users }: VaultProcessOptions): readonly string[] {
  const { directory, lastGoodDirectory } = users;
  const folders = ['main-agent', 'shared', 'node_modules', 'package.json'].map((one) =>
    realpathSync(path.join(root, one)),
  );
  return [
    '--permission',
    ...[...folders, keyFile].map((one) => `--allow-fs-read=${one}`),
    // Each also by the names in it: one that is not there yet is no folder to Node.
    ...[directory, lastGoodDirectory]
      .flatMap((one) => [one, path.join(one, '*')])
      .flatMap((one) => [`--allow-fs-read=${one}`, `--allow-fs-write=${one}`]),
    '--allow-worker',
    '--disable-warning=PERM0006',
    '--disable-sigusr1',
    '--disable-proto=delete',
    '--disallow-code-generation-from-strings',
    '--max-semi-space-size=1',
    program,
    directory,
    lastGoodDirectory,
    keyFile,
    ...(credentials === undefined ? [] : [credentials]),
  ];
}

/**
 * Nothing of main's. A hash takes 19 MiB, two at once: kept on the heap from one to the next they cost 38 MiB of memory,
 * and a login a quarter less of a core than if the kernel had to give and take them each time (main, which hashes
 * nothing, gives such blocks back). What is larger than 32 MiB is given back all the same.
 */
const environment = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '33554432',
  MALLOC_TRIM_THRESHOLD_: '67108864',
};

function spawnVault(arguments_: readonly string[], env: Readonly<Record<string, string>>): VaultLife {
  // The one after standard error is a socket pair: both ways, and closed by the kernel when main is gone.
  const child: ChildProcess = spawn(process.execPath, arguments_, {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env,
    cwd: '/',
  });
  // Also of a child that is not even put together, and after its end: nobody listening would end main.
  child.on('error', () => undefined);
  // Without descriptors for its pipes a child has no `stdio` at all, whatever its type says.
  const channel = (child.stdio as ChildProcess['stdio'] | undefined)?.[channelDescriptor];
  if (!(channel instanceof Socket)) {
    child.kill('SIGKILL');
    throw new Error('the process could not be started: a child without a channel');
  }
  return {
    channel,
    onExit: (listener) => {
      child.once('exit', (code, signal) => listener(signal ?? `exit code ${code}`));
      child.once('error', (error) => listener(error.message));
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
