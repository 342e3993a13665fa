import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '#main-agent/backup/contents.ts';
import { sealEnvelope } from '#main-agent/backup/enveloped-data.ts';
import { checkBackup, restoreBackup } from '#main-agent/backup/restore-backup.ts';
import { writeTar } from '#main-agent/backup/tar.ts';
import { writeBackup } from '#main-agent/backup/write-backup.ts';
import { initMain } from '#main-agent/cli/main-files.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';

const log = buildLog('silent', {});
const clock = systemClock;
const passphrase = new Secret('correct horse battery staple');
const why = { actor: 'eva', reason: 'the disk died on Sunday' };
const manifest = {
  format: 1,
  version: '0.0.0',
  made_at: '2026-11-30T00:00:00.000Z',
  made_by: 'eva',
  name: 'main1',
  identity: 'SHA256:x',
  audit_record: 0,
} as const;

describe('a backup of main', () => {
  let folder: string;
  let from: string;
  let to: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-backup-'));
    [from, to, file] = [join(folder, 'from'), join(folder, 'to'), join(folder, 'main.backup')];
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A main with a user, and whatever else `change` makes; backed up. */
  async function backUp(change: () => void = () => undefined, told: Manifest = manifest) {
    const configFile = initMain(from, { name: 'main1' });
    writeFileSync(join(from, 'users', 'alice.yaml'), 'password: x\n');
    writeFileSync(join(from, 'users', 'groups', 'staff.yaml'), '{}\n');
    mkdirSync(join(from, 'enrolments'));
    writeFileSync(join(from, 'enrolments', 'alice.yaml'), 'secret: s\n');
    writeFileSync(join(from, 'audit.jsonl'), '{"sequence":2}\n');
    writeFileSync(join(from, 'audit.000000000001.jsonl'), '{"sequence":1}\n');
    writeFileSync(join(from, 'audit.checkpoints.jsonl'), '');
    change();
    const config = await loadMainAgentConfig(configFile);
    const state = await openSqliteState({ file: config.state.file, clock, log });
    await state.commit([{ kind: 'use-code', user: 'alice', id: 'h' }]);
    const copy = join(folder, 'state.copy');
    await state.copyTo(copy);
    await state.close();
    const handle = await open(copy);
    rmSync(copy);
    try {
      return await writeBackup({ config, configFile, state: handle, manifest: told }, file, [{ passphrase }]);
    } finally {
      await handle.close();
    }
  }
  const target = () => ({ file, opener: { passphrase }, configFile: join(to, 'main-agent.yaml') });
  const restore = () => restoreBackup({ ...target(), why, clock, log });
  const listAll = (where: string): readonly string[] =>
    readdirSync(where, { recursive: true, encoding: 'utf8' }).toSorted();

  it('is opened by openssl and tar, and its state by sqlite3', async () => {
    await backUp();
    const into = join(folder, 'opened');
    mkdirSync(into);
    const key = ['-pwri_password', passphrase.expose()];
    execFileSync('openssl', [
      'cms',
      '-decrypt',
      '-inform',
      'DER',
      '-in',
      file,
      '-out',
      join(folder, 'tgz'),
      ...key,
    ]);
    execFileSync('tar', ['-xzf', join(folder, 'tgz'), '-C', into]);
    expect(listAll(into).filter((name) => !statSync(join(into, name)).isDirectory())).toEqual([
      'audit/audit.000000000001.jsonl',
      'audit/audit.checkpoints.jsonl',
      'audit/audit.jsonl',
      'enrolments/alice.yaml',
      'main-agent.yaml',
      'manifest.json',
      'secrets/identity_key',
      'secrets/vault_key',
      'state.db',
      'users/_default.yaml',
      'users/alice.yaml',
      'users/groups/staff.yaml',
    ]);
    const sqlite = (query: string): string =>
      execFileSync('sqlite3', [join(into, 'state.db'), query], { encoding: 'utf8' }).trim();
    expect(sqlite('PRAGMA integrity_check')).toBe('ok');
    expect(sqlite('SELECT username, id FROM used_codes')).toBe('alice|h');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('puts everything where the configuration says, for its owner alone', async () => {
    await backUp();
    const { movedAside } = await restore();
    expect(movedAside).toEqual([]);
    const isOurs = (name: string): boolean =>
      !['state.db', 'run', 'files'].some((other) => name.startsWith(other));
    expect(listAll(to).filter(isOurs)).toEqual(listAll(from).filter(isOurs));
    for (const name of listAll(to)) {
      const found = statSync(join(to, name));
      expect((found.mode & 0o077).toString(8), name).toBe('0');
    }
    const files = listAll(to).filter((name) => isOurs(name) && statSync(join(to, name)).isFile());
    for (const name of files)
      expect(readFileSync(join(to, name)), name).toEqual(readFileSync(join(from, name)));
    await expect(loadMainAgentConfig(join(to, 'main-agent.yaml'))).resolves.toBeDefined();
    const state = await openSqliteState({ file: join(to, 'state.db'), clock, log });
    expect(await state.read('used-codes', { user: 'alice', ids: ['h'] })).toEqual(['h']);
    expect(await state.read('kept-restore')).toMatchObject([
      {
        what: 'state',
        restoredBy: why,
        detail: expect.stringMatching(/^restored from main\.backup, a backup of 2026/),
      },
    ]);
    await state.close();
  });

  it('gives root what root keeps and main’s user the rest, where root restores; others keep all', async () => {
    const own = process.getuid?.() ?? -1;
    const isRoot = own === 0;
    // A user that every box has.
    const mainUser = isRoot ? Number(execFileSync('id', ['-u', 'daemon'], { encoding: 'utf8' })) : own;
    await backUp(undefined, { ...manifest, user: 'daemon' });
    await restore();
    const roots = ['main-agent.yaml', 'keys', 'keys/link.key', 'keys/vault.key'];
    for (const name of listAll(to))
      expect(statSync(join(to, name)).uid, name).toBe(roots.includes(name) ? own : mainUser);
  });

  it('is refused by root where main’s user is not known, before anything is changed', async () => {
    await backUp(undefined, { ...manifest, user: 'nobody-of-this-name' });
    const isRoot = process.getuid?.() === 0;
    expect(
      await restore().then(
        () => 'restored',
        (error: unknown) => String(error),
      ),
    ).toMatch(isRoot ? /user does not exist on this box/ : /^restored$/);
    expect(existsSync(to)).toBe(!isRoot);
  });

  it('is refused where a main is, or its audit, and where it ends too early: nothing is changed', async () => {
    await backUp();
    for (const there of ['state.db', 'state.db-wal', 'audit.jsonl', 'audit.000000000007.jsonl']) {
      mkdirSync(to);
      writeFileSync(join(to, there), 'x');
      await expect(restore(), there).rejects.toMatchObject({ code: 'conflict', detail: join(to, there) });
      expect(listAll(to)).toEqual([there]);
      rmSync(to, { recursive: true });
    }
    const whole = readFileSync(file);
    const changed = Buffer.from(whole);
    changed[whole.length - 20] = (changed[whole.length - 20] ?? 0) ^ 1;
    for (const broken of [whole.subarray(0, -1), whole.subarray(0, whole.length / 2), changed]) {
      writeFileSync(file, broken);
      await expect(checkBackup(target())).rejects.toMatchObject({ code: 'io-error' });
      await expect(restore()).rejects.toMatchObject({ code: 'io-error' });
      expect(existsSync(to)).toBe(false);
    }
  });

  it('is not half there when it fails in the middle: the next try is as the first', async () => {
    await backUp();
    mkdirSync(to);
    // Its place is taken by what can't be a folder.
    writeFileSync(join(to, 'keys'), 'x');
    await expect(restore()).rejects.toThrow(/EEXIST|ENOTDIR/);
    expect(listAll(to)).toEqual(['keys']);
    rmSync(join(to, 'keys'));
    mkdirSync(join(to, 'users.restoring'), { recursive: true });
    writeFileSync(join(to, 'users.restoring', 'mallory.yaml'), 'x');
    await restore();
    expect(readdirSync(join(to, 'users')).toSorted()).toEqual(['_default.yaml', 'alice.yaml', 'groups']);
  });

  it('moves aside what a fresh `main init` has made there, and loses none of it', async () => {
    await backUp();
    initMain(to, { name: 'main1' });
    const key = readFileSync(join(to, 'keys', 'vault.key'));
    const { movedAside } = await restore();
    expect(readFileSync(join(to, 'keys', 'vault.key'))).toEqual(
      readFileSync(join(from, 'keys', 'vault.key')),
    );
    const aside = movedAside.find((name) => name.includes('vault.key.before-restore-')) ?? '';
    expect(readFileSync(aside)).toEqual(key);
    expect(movedAside).toHaveLength(4);
  });

  /** An archive of these names, as anybody can make it for a certificate. */
  async function make(certificate: X509Certificate, ...names: readonly string[]): Promise<void> {
    const members = async function* () {
      for (const name of names) {
        const told: Readonly<Record<string, string | Buffer>> = {
          'manifest.json': JSON.stringify(manifest),
          'main-agent.yaml': readFileSync(join(from, 'main-agent.yaml')),
        };
        const content = Buffer.from(told[name] ?? 'x');
        yield { name, bytes: content.length, modifiedAtMs: 0, content: [content] };
      }
    };
    const sealed = async (zipped: AsyncIterable<Buffer>): Promise<void> => {
      const pieces: Buffer[] = [];
      for await (const piece of sealEnvelope(zipped, [{ certificate }])) pieces.push(piece);
      writeFileSync(file, Buffer.concat(pieces));
    };
    await pipeline(writeTar(members()), createGzip(), sealed);
  }

  it('is refused with a name that leads elsewhere, a name twice, a part that is missing', async () => {
    initMain(from, { name: 'main1' });
    const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', keyFile];
    execFileSync('openssl', ['req', '-x509', '-nodes', '-subj', '/CN=x', '-out', certificateFile, ...key], {
      stdio: 'pipe',
    });
    const certificate = new X509Certificate(readFileSync(certificateFile));
    const what = { ...target(), opener: { privateKey: createPrivateKey(readFileSync(keyFile)) } };
    const needed = [
      'manifest.json',
      'main-agent.yaml',
      'secrets/identity_key',
      'secrets/vault_key',
      'state.db',
    ];
    await make(certificate, ...needed);
    await expect(checkBackup(what)).resolves.toMatchObject({ files: needed.length });
    const elsewhere = [
      '../x',
      '/etc/passwd',
      'users/../x',
      'users/groups/../x',
      'users/groups/more/x',
      'users/.x',
      'users/',
      'users/..',
      'enrolments/groups/x',
      'audit/state.db',
      'audit/../state.db',
      'audit/audit.1.jsonl',
      'secrets/smtp.password_file',
      'state.db-wal',
    ];
    for (const name of elsewhere) {
      await make(certificate, ...needed, name);
      await expect(checkBackup(what), name).rejects.toMatchObject({
        code: 'io-error',
        detail: `${name} has no place on a box`,
      });
    }
    for (const name of needed) {
      await make(certificate, ...needed, name);
      await expect(checkBackup(what), name).rejects.toMatchObject({ detail: `${name} is in it twice` });
      await make(certificate, ...needed.filter((one) => one !== name));
      await expect(checkBackup(what), name).rejects.toMatchObject({ code: 'io-error' });
    }
    expect(existsSync(to)).toBe(false);
  });

  it('has an audit file once that was rotated while it was made, and follows no link', async () => {
    await backUp(() => linkSync(join(from, 'audit.jsonl'), join(from, 'audit.000000000002.jsonl')));
    await restore();
    expect(listAll(to).filter((name) => name.startsWith('audit.'))).toEqual([
      'audit.000000000001.jsonl',
      'audit.checkpoints.jsonl',
      'audit.jsonl',
    ]);
    rmSync(file);
    rmSync(from, { recursive: true });
    await expect(
      backUp(() => {
        rmSync(join(from, 'audit.jsonl'));
        symlinkSync('/etc/passwd', join(from, 'audit.jsonl'));
      }),
    ).rejects.toMatchObject({ code: 'config', detail: join(from, 'audit.jsonl') });
    expect(readdirSync(folder).filter((name) => name.startsWith('main.backup'))).toEqual([]);
  });

  it('tells what it leaves out, replaces no file, and leaves none behind when it fails', async () => {
    const { leftOut } = await backUp(() => {
      symlinkSync('/etc/passwd', join(from, 'users', 'mallory.yaml'));
      writeFileSync(join(from, 'users', '.alice.yaml.swp'), 'x');
    });
    expect(leftOut.toSorted()).toEqual([
      join(from, 'users', '.alice.yaml.swp'),
      join(from, 'users', 'mallory.yaml'),
    ]);
    const before = readFileSync(file);
    rmSync(from, { recursive: true });
    await expect(backUp()).rejects.toMatchObject({ code: 'exists' });
    expect(readFileSync(file)).toEqual(before);
    rmSync(from, { recursive: true });
    rmSync(file);
    await expect(
      backUp(() =>
        appendFileSync(
          join(from, 'main-agent.yaml'),
          `\nsmtp: { host: x, from: a@b.c, password_file: ${from} }\n`,
        ),
      ),
    ).rejects.toMatchObject({ code: 'config' });
    expect(readdirSync(folder).filter((name) => name.startsWith('main.backup'))).toEqual([]);
  });
});
