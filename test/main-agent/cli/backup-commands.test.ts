import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock } from '#shared/clock.ts';
import { exitCodes } from '#shared/command-line/exit-code.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';

const log = buildLog('silent', {});
const nowMs = Date.UTC(2026, 10, 30, 10);
const recipient = createThrowAwayAuthority(nowMs).issueServerCertificate();
const phrase = 'correct horse battery staple';

describe('sallyport backup and restore, while main is down', () => {
  let folder: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-backup-'));
    await run('main', 'init', '--dir', 'from');
    const state = await openSqliteState({ file: join(folder, 'from', 'state.db'), clock: systemClock, log });
    await state.commit([{ kind: 'use-code', user: 'alice', id: 'h' }]);
    await state.close();
    writeFileSync(join(folder, 'phrase'), `${phrase}\n`, { mode: 0o600 });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function run(...args: readonly string[]) {
    return runAs({}, ...args);
  }
  async function runAs(played: { readonly answers?: readonly string[] }, ...args: readonly string[]) {
    const terminal = buildPlayedTerminal(played);
    const code = await runCommand(args, { terminal, folder, nowMs, actor: 'eva' });
    return { code, out: terminal.printed(), err: terminal.complained() };
  }
  const from = ['--config', 'from/main-agent.yaml'] as const;

  it('makes a file, says what it is, and puts it in place elsewhere', async () => {
    writeFileSync(join(folder, 'cert.pem'), recipient.certificatePem);
    writeFileSync(join(folder, 'key.pem'), recipient.privateKeyPem.expose(), { mode: 0o600 });
    const readers = ['--passphrase-file', 'phrase', '--recipient', 'cert.pem'];
    const made = await run(...from, 'backup', 'main1.backup', ...readers);
    expect(made).toMatchObject({ code: exitCodes.ok, err: '' });
    expect(made.out).toMatch(/Wrote .*main1\.backup, \d+ bytes, up to audit record 1\.\n/);
    expect(readdirSync(join(folder, 'from')).filter((name) => name.startsWith('state.db'))).toEqual([
      'state.db',
    ]);

    const looked = await run('restore', 'main1.backup', '--check', '--passphrase-file', 'phrase', '--json');
    const told = JSON.parse(looked.out) as { identity: string };
    expect(told).toMatchObject({
      made_at: '2026-11-30T10:00:00.000Z',
      made_by: 'eva',
      name: 'main1',
      audit_record: 1,
      files: 6,
    });

    // A passphrase takes half a second each time.
    const put = ['restore', 'main1.backup', '--dir', 'to', '--key', 'key.pem', '--identity', told.identity];
    expect(await run(...put)).toMatchObject({ code: exitCodes.usage });
    expect(await run(...put, '--reason', ' ')).toMatchObject({ code: exitCodes.failed });
    expect(readdirSync(folder)).not.toContain('to');
    const done = await run(...put, '--reason', 'the disk died');
    expect(done).toMatchObject({ code: exitCodes.ok });
    expect(done.out).toContain('main1 of 2026-11-30T10:00:00.000Z is in place');
    expect(done.err).toContain('audit acknowledge');
    expect(await run(...put, '--reason', 'once more')).toMatchObject({ code: exitCodes.conflict });

    const state = await openSqliteState({ file: join(folder, 'to', 'state.db'), clock: systemClock, log });
    expect(await state.read('audit-after', { sequence: 0, limit: 10 })).toMatchObject([
      {
        record: {
          event: 'backup.made',
          actor: 'local:eva',
          detail: expect.stringMatching(/main1\.backup for CN=localhost \(\w+\), a passphrase$/),
        },
      },
    ]);
    await state.close();
  });

  it('asks for the passphrase twice where somebody can be asked, and refuses where nobody can', async () => {
    const back = [...from, 'backup', 'main1.backup'];
    expect(await run(...back)).toMatchObject({ code: exitCodes.usage });
    expect(await runAs({ answers: [phrase, 'another one of them'] }, ...back)).toMatchObject({
      code: exitCodes.usage,
    });
    expect(await runAs({ answers: ['short'] }, ...back)).toMatchObject({ code: exitCodes.usage });
    expect(await runAs({ answers: [phrase, phrase] }, ...back)).toMatchObject({ code: exitCodes.ok });
    expect(
      await runAs({ answers: ['not it, and not at all'] }, 'restore', 'main1.backup', '--check'),
    ).toMatchObject({
      code: exitCodes.refused,
    });
    expect(await runAs({ answers: [phrase] }, 'restore', 'main1.backup', '--check')).toMatchObject({
      code: exitCodes.ok,
    });
  });

  it('is made for certificates too, and opened with their keys', async () => {
    const made = [
      '-keyout',
      join(folder, 'key.pem'),
      '-out',
      join(folder, 'cert.pem'),
      '-subj',
      '/CN=vault',
      '-days',
      '9',
    ];
    execFileSync('openssl', ['req', '-x509', '-nodes', '-newkey', 'rsa:2048', ...made], { stdio: 'pipe' });
    expect(await run(...from, 'backup', 'b', '--recipient', 'cert.pem')).toMatchObject({
      code: exitCodes.ok,
    });
    expect(await run('restore', 'b', '--check', '--key', 'key.pem')).toMatchObject({ code: exitCodes.ok });
    expect(await run('restore', 'b', '--check', '--key', 'cert.pem')).not.toMatchObject({
      code: exitCodes.ok,
    });
    expect(readFileSync(join(folder, 'b')).includes('vault_key')).toBe(false);

    // Whoever has the certificate can make one for it.
    const put = ['restore', 'b', '--dir', 'to', '--key', 'key.pem', '--reason', 'the disk died'];
    expect(await run(...put)).toMatchObject({
      code: exitCodes.usage,
      err: expect.stringContaining('--identity'),
    });
    expect(await run(...put, '--identity', 'SHA256:other')).toMatchObject({ code: exitCodes.refused });
    expect(readdirSync(folder)).not.toContain('to');
    const { identity } = JSON.parse(
      (await run('restore', 'b', '--check', '--key', 'key.pem', '--json')).out,
    ) as {
      identity: string;
    };
    expect(await run(...put, '--identity', identity)).toMatchObject({ code: exitCodes.ok });
  });

  it('moves a main that is stopped: it starts where the file is restored, and here no more', async () => {
    const stateFile = join(folder, 'from', 'state.db');
    const move = [...from, 'backup', 'b', '--move', '--recipient', 'cert.pem'];
    writeFileSync(join(folder, 'cert.pem'), recipient.certificatePem);
    writeFileSync(join(folder, 'key.pem'), recipient.privateKeyPem.expose(), { mode: 0o600 });
    const running = await openSqliteState({ file: stateFile, clock: systemClock, log });
    expect((await run(...move)).err).toContain('Another main-agent is running on this state');
    await running.close();
    // It could not be written, so main stays here.
    mkdirSync(join(folder, 'b.partial'));
    expect((await run(...move)).code).not.toBe(exitCodes.ok);
    expect(await restores('from')).toEqual([]);
    rmdirSync(join(folder, 'b.partial'));

    expect((await run(...move)).out).toContain('Main does not start here any more');
    expect(await restores('from')).toMatchObject([
      { isMoved: true, detail: `moved with ${join(folder, 'b')} by eva at 2026-11-30T10:00:00.000Z` },
    ]);
    const identity = JSON.parse((await run('restore', 'b', '--check', '--key', 'key.pem', '--json')).out) as {
      identity: string;
    };
    const how = ['--key', 'key.pem', '--identity', identity.identity, '--reason', 'a new box'];
    expect(await run('restore', 'b', '--dir', 'to', ...how)).toMatchObject({ code: exitCodes.ok });
    const [there] = await restores('to');
    expect(there).toMatchObject({ restoredBy: { reason: 'a new box' } });
    expect(there).not.toHaveProperty('isMoved');
  });

  async function restores(main: string) {
    const state = await openSqliteState({ file: join(folder, main, 'state.db'), clock: systemClock, log });
    try {
      return await state.read('kept-restore');
    } finally {
      await state.close();
    }
  }

  it('refuses where no main is, and where one has its state open without answering', async () => {
    const state = await openSqliteState({ file: join(folder, 'from', 'state.db'), clock: systemClock, log });
    const open = await run(...from, 'backup', 'b', '--passphrase-file', 'phrase');
    expect(open.code).toBe(exitCodes.failed);
    expect(open.err).toContain('Another main-agent is running on this state');
    await state.close();
    rmSync(join(folder, 'from', 'state.db'));
    expect(await run(...from, 'backup', 'b', '--passphrase-file', 'phrase')).toMatchObject({
      code: exitCodes.notFound,
    });
    expect(readdirSync(folder).toSorted()).toEqual(['from', 'phrase']);
  });
});
