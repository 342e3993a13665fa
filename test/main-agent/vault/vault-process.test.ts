import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PassThrough, Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { serveVault } from '#main-agent/vault/channel.ts';
import { failedRestartMsMax, restartMsMax } from '#main-agent/vault/limits.ts';
import { startVaultProcess, type VaultProcess } from '#main-agent/vault/vault-process.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { noUsers, playKeeper } from '#test/harness/played-vault.ts';

const log = buildLog('silent', {});

/** Lives that are played: what each does when it is asked is said before it begins. */
class PlayedLives {
  key = new Secret(randomBytes(32));
  /** Ends as soon as it is begun. */
  isStillborn = false;
  /** The system has no memory for another process. */
  isUnspawnable = false;
  count = 0;
  readonly #ends: ((why: string) => void)[] = [];

  readonly spawn = () => {
    this.count += 1;
    if (this.isUnspawnable) throw new Error('spawn ENOMEM');
    const [there, back] = [new PassThrough(), new PassThrough()];
    const mine = Duplex.from({ readable: back, writable: there });
    const theirs = Duplex.from({ readable: there, writable: back });
    const ended = Promise.withResolvers<string>();
    const end = (why: string): void => {
      theirs.destroy();
      ended.resolve(why);
    };
    mine.on('error', () => undefined);
    theirs.on('error', () => undefined);
    this.#ends.push(end);
    if (this.isStillborn) end('SIGSEGV');
    else
      serveVault(
        theirs,
        playKeeper(async () => this.key),
        () => end('exit code 0'),
      );
    return {
      channel: mine,
      onExit: (listener: (why: string) => void) => void ended.promise.then(listener),
      kill: () => end('SIGKILL'),
    };
  };

  kill(): void {
    this.#ends.at(-1)?.('SIGKILL');
  }
}

describe('a vault that dies', () => {
  let lives: PlayedLives;
  let vault: VaultProcess;
  const ask = () => vault.ask('make-bypass', { owner: 'alice' });
  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    lives = new PlayedLives();
    vault = startVaultProcess({
      keyFile: '/nowhere',
      credentials: undefined,
      users: noUsers,
      log,
      spawnProcess: lives.spawn,
    });
    await vault.opened();
  });
  afterEach(async () => {
    vi.useRealTimers();
    await vault.close();
  });
  const isAway = () => vi.waitFor(() => expect(vault.problem()).toBeDefined());
  const isBack = () => vi.waitFor(() => expect(vault.problem()).toBeUndefined());

  it('is busy, and back a moment later, with what it must know said again first', async () => {
    const told: string[] = [];
    vault.onOpened(async () => {
      told.push((await ask()).id);
    });
    expect(vault.problem()).toBeUndefined();
    lives.kill();
    await isAway();
    await expect(ask()).rejects.toMatchObject({ code: 'busy' });
    expect(vault.problem()).toContain('started again');
    await vi.advanceTimersByTimeAsync(restartMsMax);
    await isBack();
    expect(told).toHaveLength(1);
    await expect(ask()).resolves.toBeDefined();
    expect(lives.count).toBe(2);
  });

  it('however often, is back within a tenth of a second', async () => {
    for (let times = 0; times < 20; times += 1) {
      lives.kill();
      await isAway();
      await vi.advanceTimersByTimeAsync(restartMsMax);
      await isBack();
    }
    await expect(ask()).resolves.toBeDefined();
  });

  it('for ever, is tried less and less often and told, and is back when it can be', async () => {
    lives.isStillborn = true;
    lives.kill();
    await isAway();
    for (let times = 0; times < 12; times += 1) await vi.advanceTimersByTimeAsync(failedRestartMsMax);
    const tries = lives.count;
    expect(tries).toBeGreaterThan(10);
    await vi.advanceTimersByTimeAsync(failedRestartMsMax - 1);
    expect(lives.count).toBeLessThanOrEqual(tries + 1);
    expect(vault.problem()).toBeDefined();
    lives.isStillborn = false;
    await vi.advanceTimersByTimeAsync(failedRestartMsMax);
    await isBack();
  });

  it('and can not be forked again is away like any other, and back when it can', async () => {
    lives.isUnspawnable = true;
    lives.kill();
    await isAway();
    for (let times = 0; times < 3; times += 1) await vi.advanceTimersByTimeAsync(failedRestartMsMax);
    expect(lives.count).toBeGreaterThan(3);
    await expect(ask()).rejects.toMatchObject({ code: 'busy' });
    lives.isUnspawnable = false;
    await vi.advanceTimersByTimeAsync(failedRestartMsMax);
    await isBack();
    await expect(ask()).resolves.toBeDefined();
  });

  it('does not come back with another key', async () => {
    const key = lives.key;
    lives.key = new Secret(randomBytes(32));
    lives.kill();
    await isAway();
    for (let times = 0; times < 4; times += 1) await vi.advanceTimersByTimeAsync(failedRestartMsMax);
    await expect(ask()).rejects.toMatchObject({ code: 'busy' });
    expect(vault.problem()).toMatch(/another one than when main started|started again/);
    lives.key = key;
    await vi.advanceTimersByTimeAsync(failedRestartMsMax);
    await isBack();
  });
});

const supervisor = fileURLToPath(new URL('../../../main-agent/vault/vault-process.ts', import.meta.url));
/** A main that does nothing but have a vault. */
const orphaning = `
  import { startVaultProcess } from ${JSON.stringify(supervisor)};
  const nothing = () => undefined;
  const users = { directory: '/nonexistent', lastGoodDirectory: '/nonexistent' };
  await startVaultProcess({ keyFile: process.argv[1], users, log: { error: nothing } }).opened();
  console.log('opened');
`;

/** One that has no descriptor left when its vault is killed, and some a moment later. */
const exhausted = `
  import { closeSync, openSync } from 'node:fs';
  import { startVaultProcess } from ${JSON.stringify(supervisor)};
  const ends = [];
  const users = { directory: '/nonexistent', lastGoodDirectory: '/nonexistent' };
  let open = [];
  const log = { error: ({ why }) => {
    ends.push(why);
    if (ends.length < 3) return;
    for (const one of open.splice(0)) closeSync(one);
  } };
  const vault = startVaultProcess({ keyFile: process.argv[1], users, log });
  await vault.opened();
  try { for (;;) open.push(openSync('/dev/null')); } catch {}
  await vault.ask('show-user-texts', { texts: [] });
  process.stdout.write('full\\n');
  while (ends.length < 3 || vault.problem() !== undefined) await new Promise((resolve) => setTimeout(resolve, 20));
  await vault.close();
  console.log(ends.slice(1, 3).join(' '));
`;

describe('the process', () => {
  let folder: string;
  let vault: VaultProcess;
  let pid: number;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-vault-'));
    const keyFile = path.join(folder, 'vault.key');
    writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
    vault = startVaultProcess({ keyFile, credentials: undefined, users: noUsers, log });
    await vault.opened();
    pid = Number(execFileSync('pgrep', ['-f', keyFile], { encoding: 'utf8' }).trim());
  });
  afterAll(async () => {
    await vault.close();
    rmSync(folder, { recursive: true });
  });

  it('has a channel, and no socket, file or word of main’s besides', () => {
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return `${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`;
      } catch {
        return '';
      }
    });
    const ours = open.filter((one) => /^\d+ (socket|\/(?!dev\/null))/.test(one) && !one.startsWith('2 '));
    expect(ours).toEqual([expect.stringMatching(/^3 socket:/)]);
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
      .split('\0')
      .filter((one) => one !== '');
    expect(environment.every((one) => one.startsWith('MALLOC_'))).toBe(true);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('\0--permission\0');
  });

  it('computes hashes of all kinds, its own and in threads', async () => {
    const { stored } = await vault.ask('hash-password', { password: 'correct horse battery' });
    const compare = (password: string, of: string) =>
      vault.ask('compare-password', { password, name: 'alice', stored: of });
    expect(await compare('correct horse battery', stored)).toEqual({ isRight: true });
    expect(await compare('correct horse batterz', stored)).toEqual({ isRight: false });
    const foreign = '$2b$04$abcdefghijklmnopqrstuuDOTu2CkGJt9sRcIwoQzFmmVOpuMFxBm';
    const over = await vault.ask('take-over-hash', { foreign });
    expect(await compare('anything', over.stored)).toEqual({ isRight: false });
  });

  it('stays when its unit is told to stop, as main still needs it, and ends with its channel', async () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal);
    await expect(vault.ask('make-bypass', { owner: 'alice' })).resolves.toBeDefined();
    await vault.close();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('ends with main, also when main is killed', async () => {
    const keyFile = path.join(folder, 'orphan.key');
    writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
    const main = execFile(process.execPath, ['--input-type=module', '-e', orphaning, keyFile]);
    const [told] = (await once(main.stdout ?? main, 'data')) as [string];
    const orphan = Number(execFileSync('pgrep', ['-f', `main.ts .*${keyFile}`], { encoding: 'utf8' }).trim());
    expect(told).toBe('opened\n');
    main.kill('SIGKILL');
    await vi.waitFor(() => expect(() => process.kill(orphan, 0)).toThrow('ESRCH'), { timeout: 20_000 });
  });

  it('that can not be started for want of descriptors does not end main, and is there again when there are some', async () => {
    const keyFile = path.join(folder, 'exhausted.key');
    writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
    const main = execFile('sh', [
      '-c',
      'ulimit -n 128; exec "$@"',
      'sh',
      process.execPath,
      '--input-type=module',
      '-e',
      exhausted,
      keyFile,
    ]);
    const ended = once(main, 'exit');
    const [told] = (await once(main.stdout ?? main, 'data')) as [string];
    expect(told).toBe('full\n');
    const pidOf = execFileSync('pgrep', ['-f', `main.ts .*${keyFile}`], { encoding: 'utf8' }).trim();
    const last = once(main.stdout ?? main, 'data');
    process.kill(Number(pidOf), 'SIGKILL');
    expect((await Promise.race([last, ended]))[0]).toContain('could not be started');
    expect(await ended).toEqual([0, null]);
  });

  it('that can not read its key keeps main from starting, and says why', async () => {
    const missing = startVaultProcess({
      keyFile: path.join(folder, 'none'),
      credentials: undefined,
      users: noUsers,
      log,
    });
    await expect(missing.opened()).rejects.toMatchObject({
      code: 'config',
      detail: expect.stringContaining('does not exist') as unknown,
    });
    await missing.close();
  });
});
