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
import { chainStart, formatLine, hashLine } from '#main-agent/audit/chain.ts';
import type { Manifest } from '#main-agent/backup/contents.ts';
import { sealEnvelope } from '#main-agent/backup/enveloped-data.ts';
import { checkBackup, restoreBackup } from '#main-agent/backup/restore-backup.ts';
import { writeTar } from '#main-agent/backup/tar.ts';
import { writeBackup } from '#main-agent/backup/write-backup.ts';
import { initMain } from '#main-agent/cli/main-files.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock, type Clock } from '#shared/clock.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { breakCalls, breakFiles } from '#test/harness/faulty-files.ts';

const log = buildLog('silent', {});
const clock = systemClock;
/** A passphrase takes half a second each time; `enveloped-data.test.ts` has those. */
const recipient = createThrowAwayAuthority(Date.now()).issueServerCertificate();
const certificate = new X509Certificate(recipient.certificatePem);
const opener = { privateKey: createPrivateKey(recipient.privateKeyPem.expose()) };
const why = { actor: 'eva', reason: 'the disk died on Sunday' };
const manifest = {
  format: 1,
  version: '0.0.0',
  made_at: '2026-11-30T00:00:00.000Z',
  made_by: 'eva',
  name: 'main1',
  audit_record: 0,
} as const;

const identityOf = (main: string): string =>
  parseIdentityKey(new Secret(readFileSync(join(main, 'keys', 'link.key'), 'utf8'))).fingerprint;

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
  async function backUp(
    change: () => void = () => undefined,
    told: Partial<Manifest> = {},
    by: (write: () => Promise<unknown>) => Promise<unknown> = (write) => write(),
    records: readonly AuditRecord[] = [],
  ) {
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
    await state.commit([
      { kind: 'use-code', user: 'alice', id: 'h' },
      ...records.map((record) => ({ kind: 'audit', record }) as const),
    ]);
    const copy = join(folder, 'state.copy');
    await state.copyTo(copy);
    await state.close();
    const handle = await open(copy);
    rmSync(copy);
    try {
      const whole = { ...manifest, identity: identityOf(from), ...told };
      let written: Awaited<ReturnType<typeof writeBackup>> | undefined;
      await by(async () => {
        const source = { config, configFile, state: handle, manifest: whole };
        written = await writeBackup(source, file, [{ certificate }]);
      });
      return written?.leftOut ?? [];
    } finally {
      await handle.close();
    }
  }
  const target = () => ({ file, opener, configFile: join(to, 'main-agent.yaml') });
  const restore = (
    more: { readonly identity?: string; readonly keepAudit?: boolean; readonly clock?: Clock } = {},
  ) => restoreBackup({ ...target(), why, clock, log, keepAudit: false, ...more });
  const listAll = (where: string): readonly string[] =>
    readdirSync(where, { recursive: true, encoding: 'utf8' }).toSorted();
  const contentsOf = (where: string): Record<string, string> =>
    Object.fromEntries(
      listAll(where)
        .filter((name) => statSync(join(where, name)).isFile())
        .map((name) => [name, readFileSync(join(where, name), 'latin1')]),
    );

  it('is opened by openssl and tar, and its state by sqlite3', async () => {
    await backUp();
    const into = join(folder, 'opened');
    mkdirSync(into);
    const [certificateFile, keyFile] = [join(folder, 'certificate.pem'), join(folder, 'key.pem')];
    writeFileSync(certificateFile, recipient.certificatePem);
    writeFileSync(keyFile, recipient.privateKeyPem.expose());
    const how = ['-recip', certificateFile, '-inkey', keyFile, '-in', file, '-out', join(folder, 'tgz')];
    execFileSync('openssl', ['cms', '-decrypt', '-inform', 'DER', ...how]);
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
    await backUp(undefined, { user: 'daemon' });
    await restore();
    const roots = ['main-agent.yaml', 'keys', 'keys/link.key', 'keys/vault.key'];
    for (const name of listAll(to))
      expect(statSync(join(to, name)).uid, name).toBe(roots.includes(name) ? own : mainUser);
  });

  it('is refused by root where main’s user is not known, before anything is changed', async () => {
    await backUp(undefined, { user: 'nobody-of-this-name' });
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

  it('is begun anew where the power went off while it was put in place, and an audit of its own is no witness', async () => {
    await backUp();
    initMain(to, { name: 'main1' });
    const { configFile } = target();
    // The very last step: everything has its name but the configuration.
    const broken = breakCalls({ call: 'rename', on: /main-agent\.yaml\.restoring$/, how: 'EIO' });
    const noWayBack = breakCalls({ call: 'rename', on: /state\.db$/, how: 'EIO' });
    await expect(restore()).rejects.toMatchObject({
      hint: expect.stringContaining('begin the restore again'),
    });
    noWayBack.restore();
    broken.restore();
    expect([existsSync(configFile), existsSync(join(to, 'state.db'))]).toEqual([false, true]);
    await expect(restore({ keepAudit: true })).rejects.toMatchObject({ code: 'conflict' });
    const { movedAside } = await restore();
    expect(movedAside).toContainEqual(expect.stringMatching(/state\.db\.before-restore-/));
    expect(contentsOf(to)).toMatchObject({
      'main-agent.yaml': contentsOf(from)['main-agent.yaml'],
      'keys/vault.key': contentsOf(from)['keys/vault.key'],
      'audit.jsonl': contentsOf(from)['audit.jsonl'],
    });
    expect(listAll(to).filter((name) => name.includes('.restoring'))).toEqual([]);
    await expect(restore()).rejects.toMatchObject({ code: 'conflict' });
  });

  it('has its name when it is whole and durable, wherever the one that makes it is killed or its disk is full', async () => {
    let made = 0;
    await backUp(undefined, {}, async (write) => {
      for (let at = 1; made === 0; at += 1) {
        const broken = breakFiles({ at, how: 'fails', code: 'ENOSPC' });
        await write().catch(() => undefined);
        broken.restore();
        if (!existsSync(file)) continue;
        await checkBackup(target());
        made = at;
        rmSync(file);
      }
      await write();
    });
    expect(made).toBeGreaterThan(5);
    expect(readdirSync(folder).filter((name) => name.startsWith('main.backup'))).toEqual(['main.backup']);
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
  async function make(...names: readonly string[]): Promise<void> {
    const members = async function* () {
      for (const name of names) {
        const told: Readonly<Record<string, string | Buffer>> = {
          'manifest.json': JSON.stringify({ ...manifest, identity: identityOf(from) }),
          'secrets/identity_key': readFileSync(join(from, 'keys', 'link.key')),
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
    const needed = [
      'manifest.json',
      'main-agent.yaml',
      'secrets/identity_key',
      'secrets/vault_key',
      'state.db',
    ];
    await make(...needed);
    await expect(checkBackup(target())).resolves.toMatchObject({ files: needed.length });
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
      await make(...needed, name);
      await expect(checkBackup(target()), name).rejects.toMatchObject({
        code: 'io-error',
        detail: `${name} has no place on a box`,
      });
    }
    for (const name of needed) {
      await make(...needed, name);
      await expect(checkBackup(target()), name).rejects.toMatchObject({ detail: `${name} is in it twice` });
      await make(...needed.filter((one) => one !== name));
      await expect(checkBackup(target()), name).rejects.toMatchObject({ code: 'io-error' });
    }
    expect(existsSync(to)).toBe(false);
  });

  it('is refused when it is another main’s, says it is, or its parts are of two backups: nothing is changed', async () => {
    await backUp();
    await expect(restore({ identity: 'SHA256:other' })).rejects.toMatchObject({ code: 'refused' });
    await expect(checkBackup({ ...target(), identity: 'SHA256:other' })).rejects.toMatchObject({
      code: 'refused',
    });
    await expect(checkBackup({ ...target(), identity: identityOf(from) })).resolves.toBeDefined();
    for (const [told, detail] of [
      [{ identity: 'SHA256:other' }, 'its manifest is of another main'],
      [{ audit_record: 7 }, 'its state is of another moment than its manifest'],
    ] as const) {
      rmSync(from, { recursive: true });
      rmSync(file);
      await backUp(undefined, told);
      await expect(restore()).rejects.toMatchObject({ code: 'io-error', detail });
      expect(existsSync(to) ? contentsOf(to) : {}).toEqual({});
    }
  });

  it('is refused when another takes its place while it is read', async () => {
    await backUp();
    const identity = identityOf(from);
    const whole = readFileSync(file);
    rmSync(from, { recursive: true });
    rmSync(file);
    await backUp();
    const other = readFileSync(file);
    writeFileSync(file, whole);
    // Time is asked for once, when all was checked.
    const swapping = { ...clock, now: () => (writeFileSync(file, other), clock.now()) };
    await expect(restore({ identity, clock: swapping })).rejects.toMatchObject({
      detail: 'it changed while it was read',
    });
    expect(contentsOf(to)).toEqual({});
  });

  it('leaves the audit that is there where it goes on from the backup, and asks nobody else what was spent', async () => {
    const records = [1, 2, 3].map(
      (at) => ({ time: new Date(at).toISOString(), event: 'admin.call', outcome: 'ok' }) as const,
    );
    const lines: string[] = [];
    for (const [index, record] of records.entries()) {
      const previous = lines.at(-1);
      const head = previous === undefined ? chainStart : { sequence: index, hash: hashLine(previous) };
      lines.push(formatLine(index + 1, record, head).trimEnd());
    }
    const [first = '', second = '', third = ''] = lines;
    await backUp(
      () => writeFileSync(join(from, 'audit.jsonl'), `${first}\n${second}\n`),
      { audit_record: 2 },
      undefined,
      records.slice(0, 2),
    );
    const there = (...own: readonly string[]): string => {
      rmSync(to, { recursive: true, force: true });
      mkdirSync(to);
      const text = own.map((one) => `${one}\n`).join('');
      writeFileSync(join(to, 'audit.jsonl'), text);
      return text;
    };
    // Without being told so nothing is taken for the last that main wrote.
    there(first, second, third);
    await expect(restore()).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('--keep-audit'),
    });
    for (const [own, known] of [
      [[first, second, third], 3],
      [[first, second], 2],
    ] as const) {
      const text = there(...own);
      await restore({ keepAudit: true });
      expect(readFileSync(join(to, 'audit.jsonl'), 'utf8')).toBe(text);
      const state = await openSqliteState({ file: join(to, 'state.db'), clock, log });
      expect(await state.read('kept-restore')).toMatchObject([{ known }]);
      await state.close();
    }
    for (const own of [[first], [first, third], [third]]) {
      const text = there(...own);
      await expect(restore({ keepAudit: true })).rejects.toMatchObject({ code: 'conflict' });
      expect(contentsOf(to)).toEqual({ 'audit.jsonl': text });
    }
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
    const leftOut = await backUp(() => {
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
    rmSync(file);
    rmSync(from, { recursive: true });
    execFileSync('mkfifo', [file]);
    await expect(backUp()).rejects.toMatchObject({ code: 'exists' });
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
