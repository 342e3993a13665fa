import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SftpTarget } from './clients/sftp-target.ts';
import { buildDemoUser } from './demo-user.ts';
import { startPrivateSshd } from './private-sshd.ts';
import { type Product, startProduct } from './product.ts';

/**
 * A server that other people's SFTP programs are put to: the whole product, or OpenSSH's own where `SFTP_REFERENCE` is
 * set. A test that fails at the reference is wrong. Names are relative to where a session starts: at the reference that
 * is not `/`.
 */
export interface SftpDoor {
  /** The product behind the door; undefined at the reference. */
  readonly product: Product | undefined;
  /** For the test's own files; gone after close. */
  readonly folder: string;
  target(account: string): SftpTarget;
  /** Where a file of the account lies in the end. */
  stored(account: string, ...path: readonly string[]): string;
  close(): Promise<void>;
}

export interface Account {
  /** Verbs of the account's one mount; the default is what an ordinary user has. OpenSSH knows none and allows all. */
  readonly allow?: readonly string[];
  readonly uploads?: 'atomic' | 'direct';
  /** Whose files it has; its own by default. */
  readonly filesOf?: string;
}

const usualVerbs = ['list', 'read', 'write', 'overwrite', 'delete', 'rename', 'mkdir'];

/** All accounts log in with a key and are asked for nothing else. */
export async function startSftpDoor(accounts: Readonly<Record<string, Account>>): Promise<SftpDoor> {
  return process.env['SFTP_REFERENCE'] === undefined ? startOurs(accounts) : startReference(accounts);
}

async function startOurs(accounts: Readonly<Record<string, Account>>): Promise<SftpDoor> {
  const product = await startProduct({
    moreUsers: Object.entries(accounts).map(
      ([name, { allow = usualVerbs, uploads = 'atomic', filesOf = name }]) =>
        buildDemoUser(name, {
          hasKey: true,
          mounts: [
            `{ path: /, storage: local, root: ${filesOf}, allow: [${allow.join(', ')}], uploads: ${uploads} }`,
          ],
        }),
    ),
  });
  return {
    product,
    folder: product.folder,
    target: (account) => product.sftp(account, { keyFile: product.site.users[account]?.sshKeyFile ?? '' }),
    stored: (account, ...path) => join(product.site.files.files, account, ...path),
    close: () => product.close(),
  };
}

async function startReference(accounts: Readonly<Record<string, Account>>): Promise<SftpDoor> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-reference-'));
  const sshd = await startPrivateSshd(join(folder, 'sshd'));
  const targets = new Map<string, SftpTarget>();
  for (const [account, { filesOf = account }] of Object.entries(accounts)) {
    const home = join(folder, 'files', filesOf);
    await mkdir(home, { recursive: true });
    await chmod(home, 0o700);
    targets.set(account, sshd.targetIn(home));
  }
  await mkdir(join(folder, 'local'));
  return {
    product: undefined,
    folder: join(folder, 'local'),
    target(account) {
      const target = targets.get(account);
      if (target === undefined) throw new Error(`no account ${account}`);
      return target;
    },
    stored: (account, ...path) => join(folder, 'files', account, ...path),
    async close() {
      await sshd.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
