import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpsUser } from '#test/harness/https-user.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/** Two steps of an authenticator, and a mail, on a busy machine. */
const soonMs = 150_000;
const phrase = 'correct horse battery staple';

describe('a main that died and came back from its backup', () => {
  let product: Product;
  let backup: string;
  let phraseFile: string;

  beforeAll(async () => {
    product = await startProduct();
    [backup, phraseFile] = [join(product.folder, 'main1.backup'), join(product.folder, 'phrase')];
    writeFileSync(phraseFile, phrase, { mode: 0o600 });
  });
  afterAll(() => product.close());

  const withPhrase = (): readonly string[] => ['--passphrase-file', phraseFile];

  /** What an empty box does not have. What the tests write beside it stays. */
  function loseMain(): void {
    const folder = dirname(product.site.files.main.config);
    const lost = join(product.folder, 'lost');
    mkdirSync(lost);
    const parts = ['main-agent.yaml', 'keys', 'users', 'enrolments', 'last-good'];
    for (const name of readdirSync(folder))
      if (parts.includes(name) || name.startsWith('state.db') || name.startsWith('audit.'))
        renameSync(join(folder, name), join(lost, name));
  }

  it('S-03: nothing works that was spent, before the backup or after it, and whoever has an authenticator gets in', async () => {
    const { config, state, enrolments } = product.site.files.main;
    const bob = new HttpsUser(product, 'bob');
    const mailbox = new Mailbox(product.site.files.mail, 'bob@example.com');
    await bob.password();
    await bob.code(await mailbox.code(1));
    const { app, recovery } = await bob.setUp();
    const [before = '', after = '', unused = ''] = recovery;
    await bob.password();
    expect(await bob.code(before)).toMatchObject({ body: { state: 'signed-in' } });
    writeFileSync(join(product.site.files.files, 'alice', 'note.json'), '{"kept":true}');
    const session = new HttpsUser(product, 'bob');
    await session.password();
    expect(await session.code(await app.next())).toMatchObject({ body: { state: 'signed-in' } });

    const made = await product.sallyport('--config', config, 'backup', backup, ...withPhrase());
    expect(made).toMatch(/Wrote .*main1\.backup, \d+ bytes/);
    expect(readdirSync(dirname(state)).filter((name) => name.includes('.copy-'))).toEqual([]);
    expect(product.audit().filter(({ event }) => event === 'backup.made')).toMatchObject([
      { outcome: 'ok', rule: 'POST /v1/backup', detail: `${backup} for a passphrase` },
    ]);

    // What the backup knows nothing of.
    const alice = new HttpsUser(product, 'alice');
    const aliceCode = await product.authenticator('alice').next();
    await alice.password();
    expect(await alice.code(aliceCode)).toMatchObject({ body: { state: 'signed-in' } });
    await bob.password();
    expect(await bob.code(after)).toMatchObject({ body: { state: 'signed-in' } });
    expect((await session.call('POST', '/api/logout')).status).toBe(204);

    const restore = ['restore', backup, ...withPhrase(), '--dir', dirname(config)];
    await expect(product.sallyport(...restore, '--reason', 'a mistake')).rejects.toThrow(
      /A main is here already/,
    );
    const release = await product.holdMain();
    loseMain();
    expect(await product.sallyport('restore', backup, ...withPhrase(), '--check')).toContain('main1');
    await product.sallyport(...restore, '--reason', 'the disk of main1 died');
    expect(statSync(state).mode & 0o777).toBe(0o600);
    expect(statSync(enrolments).mode & 0o777).toBe(0o700);
    await release();

    expect((await session.call('GET', '/api/session')).status).toBe(401);
    expect((await alice.call('GET', '/api/session')).status).toBe(401);
    await alice.password();
    expect(await alice.code(aliceCode)).toMatchObject({ status: 401 });
    for (const code of [before, after, unused]) {
      await bob.password();
      expect(await bob.code(code)).toMatchObject({ status: 401 });
    }
    await waitUntil(() => mailbox.about(/recovery codes do not work/).length === 1, soonMs);
    // Codes count again from the second step after the start on.
    await waitUntil(async () => {
      await alice.password();
      const { body } = await alice.code(await product.authenticator('alice').next());
      return body['state'] === 'signed-in';
    }, soonMs);
    expect(await alice.call('GET', '/api/files/note.json')).toMatchObject({ body: { kept: true } });

    await expect(product.sallyport('status')).rejects.toThrow(/state\.db was put back.*main1\.backup/);
    await product.sallyport('audit', 'acknowledge', '--reason', 'restored by the night shift');
    expect(await product.sallyport('status')).toContain('All is well');
    expect(await product.sallyport('--config', config, 'audit', 'verify')).toMatch(
      /unbroken[\s\S]*Put back: state\.db; record \d+ says so: restored from main1\.backup/,
    );
    expect(product.audit().filter(({ event }) => event === 'state.restored')).toMatchObject([
      { outcome: 'ok', rule: 'the disk of main1 died' },
    ]);
  });

  it('is a file that openssl, tar and sqlite3 open', () => {
    const opened = join(product.folder, 'opened');
    mkdirSync(opened);
    const archive = join(product.folder, 'archive.tgz');
    const opener = ['-inform', 'DER', '-pwri_password', phrase, '-in', backup, '-out', archive];
    execFileSync('openssl', ['cms', '-decrypt', ...opener]);
    execFileSync('tar', ['-xzf', archive, '-C', opened]);
    const ask = ['state.db', 'PRAGMA integrity_check'];
    expect(execFileSync('sqlite3', ask, { cwd: opened, encoding: 'utf8' }).trim()).toBe('ok');
    expect(readdirSync(join(opened, 'users'))).toContain('alice.yaml');
  });
});
