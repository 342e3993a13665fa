import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { type Site, type SiteNode, startSite } from '#scripts/demonstration/site.ts';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { type Canary, findLeaks } from './canaries.ts';
import { runProgram } from './clients/process.ts';
import { holdFileName } from './hold-file.ts';
import { listPlanted } from './planted-secrets.ts';
import { findInMemory } from './process-memory.ts';
import type { SftpTarget } from './clients/sftp-target.ts';

/**
 * The whole product as processes, with the demo's users, in a folder of its own. Main runs as `recorded-main.ts`, which
 * is main-agent/main.ts with every byte it sends over the link written to a file; closing checks that file for secrets,
 * and main's memory.
 */
export interface Product {
  readonly site: Site;
  /** For the test's own files; gone after close. */
  readonly folder: string;
  authenticator(user: string): Authenticator;
  /** Target for SFTP clients; the code, if given, is the client's answer to the second prompt. */
  sftp(
    user: string,
    credentials?: { password?: string; code?: string; keyFile?: string },
    node?: SiteNode,
  ): SftpTarget;
  password(user: string): string;
  /** Kills main as a crash would and resolves when another one serves again. */
  killMain(): Promise<void>;
  /** Kills main and keeps it down; resolves when every node has noticed, with what lets it start again. */
  holdMain(): Promise<() => Promise<void>>;
  /** Resolves when another main than `old` serves over every node. */
  mainIsBack(old: number | undefined): Promise<void>;
  /** The `sallyport` command; resolves with what it printed, rejects with what it complained. */
  sallyport(...args: readonly string[]): Promise<string>;
  /** Mails that arrived, oldest first, as file names. */
  mails(): readonly string[];
  /** The only six digits of the last mail. */
  newestMailedCode(): string;
  /** Audit records written so far. */
  audit(): readonly Record<string, unknown>[];
  close(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const recordedMain = fileURLToPath(new URL('./recorded-main.ts', import.meta.url));
/** A restarted main has to open its state, dial and join: seconds at most. */
const backMs = 20_000;

export async function startProduct(
  options: {
    readonly moreUsers?: readonly DemoUser[];
    readonly mainProgram?: string;
    readonly sftpProfile?: 'strict' | 'compat';
    /** Where the SSH host keys are; default on the nodes. */
    readonly hostKey?: 'main' | 'local';
    /** Processes of each DMZ node. */
    readonly workers?: number;
    /** DMZ nodes on the one main, one or two: `site.nodes`. */
    readonly nodes?: 1 | 2;
  } = {},
): Promise<Product> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-e2e-'));
  const site = await startSite({
    dir: join(folder, 'site'),
    httpsPort: 0,
    sftpPort: 0,
    withSecondNode: options.nodes === 2,
    mainProgram: options.mainProgram ?? recordedMain,
    ...(options.moreUsers !== undefined && { moreUsers: options.moreUsers }),
    ...(options.workers !== undefined && { workers: options.workers }),
    ...(options.sftpProfile !== undefined && { sftpProfile: options.sftpProfile }),
    ...(options.hostKey !== undefined && { hostKey: options.hostKey }),
  });
  const planted = listPlanted(site);
  await mkdir(join(folder, 'local'));
  const authenticators = new Map<string, Authenticator>();
  const password = (user: string): string => site.users[user]?.password ?? '';
  const mails = (): readonly string[] =>
    readdirSync(site.files.mail)
      .filter((name) => name.endsWith('.eml'))
      .toSorted();
  const mainIsBack = async (old: number | undefined): Promise<void> => {
    await waitUntil(async () => {
      if (site.main.pid === undefined || site.main.pid === old) return false;
      const ready = await Promise.all(
        site.nodes.map(async ({ health }) => (await fetch(`${health}/readyz`)).ok),
      );
      return ready.every(Boolean);
    }, backMs);
  };
  return {
    site,
    folder: join(folder, 'local'),
    authenticator(user) {
      const known = authenticators.get(user);
      if (known !== undefined) return known;
      const made = new Authenticator(site.users[user]?.totpSecret ?? '');
      authenticators.set(user, made);
      return made;
    },
    sftp: (user, credentials = {}, node) => ({ ...(node ?? site).sftp, user, ...credentials }),
    password,
    async killMain() {
      const old = site.main.pid;
      if (old !== undefined) process.kill(old, 'SIGKILL');
      await mainIsBack(old);
    },
    async holdMain() {
      const hold = join(dirname(site.files.main.config), holdFileName);
      const old = site.main.pid;
      await writeFile(hold, '');
      if (old !== undefined) process.kill(old, 'SIGKILL');
      await waitUntil(async () => {
        const ready = await Promise.all(
          site.nodes.map(async ({ health }) => (await fetch(`${health}/readyz`)).ok),
        );
        return !ready.some(Boolean);
      }, backMs);
      return async () => {
        await rm(hold);
        await mainIsBack(old);
      };
    },
    mainIsBack,
    async sallyport(...args) {
      const command = ['--socket', site.files.main.socket, ...args];
      const { status, stdout, stderr } = await runProgram(join(root, 'scripts', 'sallyport'), command);
      if (status !== 0)
        throw new Error(`sallyport ${args.join(' ')} ended with ${status}: ${stderr}${stdout}`);
      return stdout;
    },
    mails,
    newestMailedCode() {
      const mail = readFileSync(join(site.files.mail, mails().at(-1) ?? ''), 'utf8');
      return /\b\d{6}\b/.exec(mail.slice(mail.indexOf('text/plain')))?.[0] ?? '';
    },
    audit() {
      if (!existsSync(site.files.main.audit)) return [];
      return readFileSync(site.files.main.audit, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    async close() {
      const held = site.main.pid === undefined ? [] : tryFindInMemory(site.main.pid, planted);
      await site.stop();
      const leaks = options.mainProgram === undefined ? findLeaks(site) : [];
      await rm(folder, { recursive: true, force: true });
      if (held.length > 0) throw new Error(`S-02: main’s memory has ${held.join(', ')} in it`);
      if (leaks.length > 0) throw new Error(`S-02: main sent ${leaks.join(', ')} over the link`);
    },
  };
}

/** Nothing of a main that is just down. */
function tryFindInMemory(pid: number, canaries: readonly Canary[]): readonly string[] {
  try {
    return findInMemory(pid, canaries);
  } catch (error) {
    if (existsSync(`/proc/${pid}/maps`)) throw error;
    return [];
  }
}

/** Changes main's `auto_enable`, with the restart that it takes. */
export async function setAutoEnable(product: Product, on: boolean): Promise<void> {
  const { config } = product.site.files.main;
  await writeFile(config, readFileSync(config, 'utf8').replace(/auto_enable: \w+/, `auto_enable: ${on}`));
  await product.killMain();
}

/** Polls until `holds`, at most `ms`; throws what was waited for otherwise. */
export async function waitUntil(holds: () => Promise<boolean> | boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  for (;;) {
    try {
      if (await holds()) return;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    if (performance.now() > end) throw new Error(`did not become true in ${ms} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A file of random bytes; resolves with its SHA-256. */
export async function writeRandomFile(file: string, bytes: number): Promise<string> {
  const content = randomBytes(bytes);
  await writeFile(file, content);
  return sha256(content);
}

export function sha256OfFile(file: string): string {
  return sha256(readFileSync(file));
}
