import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkDmzConfig, loadDmzConfig } from '#dmz/config.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { setupChecks } from '#main-agent/doctor/setup-checks.ts';
import { examine } from '#shared/health/check.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { isSallyportError } from '#shared/error.ts';
import { playVault } from '#test/harness/played-vault.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-config-'));
  for (const name of ['tls.key', 'ssh.key', 'link.key', 'signing.key']) {
    await writeFile(path.join(folder, name), 'key', { mode: 0o600 });
  }
  await writeFile(path.join(folder, 'tls.pem'), 'certificate');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const dmzYaml = `node: dmz1
public_url: https://files.example.com/
https: { certificate: tls.pem, key: tls.key }
sftp: { host_keys: [ssh.key] }
link:
  listen: 10.0.1.5:8444
  main: { identity: ${'A'.repeat(43)} }
  identity_key: link.key
  signing_key: signing.key
`;

async function writeConfig(text: string): Promise<string> {
  const file = path.join(folder, 'dmz.yaml');
  await writeFile(file, text);
  return file;
}

async function whyRefused(text: string): Promise<string> {
  try {
    await loadDmzConfig(await writeConfig(text));
  } catch (error) {
    if (isSallyportError(error, 'config')) return error.detail ?? '';
    throw error;
  }
  return 'accepted';
}

describe('a configuration', () => {
  test('finds its files relative to itself, and its public address is an origin', async () => {
    const config = await loadDmzConfig(await writeConfig(dmzYaml));
    expect(config.https.key).toBe(path.join(folder, 'tls.key'));
    expect(config.publicUrl).toBe('https://files.example.com');
    expect(config.link.signingKey).toBe(path.join(folder, 'signing.key'));
  });

  test('that names a missing file, or a key others can read, is refused with all of them and how to mend it', async () => {
    await writeFile(path.join(folder, 'open.key'), 'key', { mode: 0o640 });
    const text = dmzYaml
      .replace('link.key', 'open.key')
      .replace('tls.pem', 'none.pem')
      .replace('tls.key', '.');
    const why = await whyRefused(text);
    expect(why).toContain(`dmz.yaml:3:23: https.certificate: ${folder}/none.pem does not exist`);
    expect(why).toContain(`https.key: ${folder} is not a file`);
    expect(why).toContain('open.key has mode 0640; others can read it');
    expect(why).toContain(`hint: chmod 600 ${folder}/open.key`);
  });

  test('names a certificate with its key, or neither, and main gives the node both', async () => {
    const own = 'https: { certificate: tls.pem, key: tls.key }';
    expect(
      (await loadDmzConfig(await writeConfig(dmzYaml.replace(`${own}\n`, 'https: {}\n')))).https,
    ).toMatchObject({
      plainListen: undefined,
    });
    for (const half of ['https: { certificate: tls.pem }', 'https: { key: tls.key }'])
      expect(await whyRefused(dmzYaml.replace(own, half))).toMatch(
        /https\.(key|certificate): .*both, or neither/,
      );
  });

  test('that does not exist is refused by name', async () => {
    await expect(loadDmzConfig(path.join(folder, 'nowhere.yaml'))).rejects.toMatchObject({ code: 'config' });
  });

  test('names systemd’s credentials, which are found where systemd puts them', async () => {
    const file = await writeConfig(dmzYaml.replace('link.key', 'credential:link-key'));
    expect(await loadDmzConfig(file)).toMatchObject({ link: { identityKey: 'credential:link-key' } });
    const credentials = path.join(folder, 'credentials');
    expect((await checkDmzConfig(file, { credentials })).ok).toBe(false);
    await mkdir(credentials);
    // systemd's own guard is the folder; a group bit in there is its access list, not a leak.
    await writeFile(path.join(credentials, 'link-key'), 'secret', { mode: 0o440 });
    const config = await loadDmzConfig(file, { credentials });
    expect(config.link.identityKey).toBe(path.join(credentials, 'link-key'));
    expect((await readSecretFile(config.link.identityKey, credentials)).expose().toString()).toBe('secret');
  });

  test.each(['credential:../x', 'credential:', 'credential:a/b', ''])(
    'may not name a file %j',
    async (name) => {
      expect(await whyRefused(dmzYaml.replace('link.key', JSON.stringify(name)))).not.toBe('accepted');
    },
  );
});

describe('a named file', () => {
  test('that is secret is refused while others can read it, at any bit', async () => {
    for (const mode of [0o600, 0o400]) {
      const file = path.join(folder, `${mode}.key`);
      await writeFile(file, 'k', { mode });
      expect((await readSecretFile(file)).expose().toString()).toBe('k');
    }
    for (const mode of [0o604, 0o640, 0o601, 0o610, 0o602]) {
      const file = path.join(folder, `${mode}.key`);
      await writeFile(file, 'k');
      await chmod(file, mode);
      await expect(readSecretFile(file)).rejects.toMatchObject({ code: 'config' });
    }
  });

  test('may be as large as a certificate chain and no larger', async () => {
    const file = path.join(folder, 'chain.pem');
    await writeFile(file, Buffer.alloc(256 * 1024));
    expect((await readPublicFile(file)).length).toBe(256 * 1024);
    await writeFile(file, Buffer.alloc(256 * 1024 + 1));
    await expect(readPublicFile(file)).rejects.toMatchObject({ code: 'config' });
  });

  test('that is a credential without systemd says so', async () => {
    await expect(readSecretFile('credential:link-key')).rejects.toMatchObject({
      hint: expect.stringContaining('LoadCredential'),
    });
  });
});

describe('main-agent.yaml', () => {
  const main = (more: string) => `identity_key: link.key\nvault_key: ssh.key\n${more}`;
  const load = async (more: string) => {
    const file = path.join(folder, 'main-agent.yaml');
    await writeFile(file, main(more));
    return loadMainAgentConfig(file);
  };

  test('keeps users, enrolments and last good versions side by side', async () => {
    expect((await load('users: { directory: data/users }\n')).users).toMatchObject({
      directory: path.join(folder, 'data/users'),
      enrolmentsDirectory: path.join(folder, 'data/enrolments'),
      lastGoodDirectory: path.join(folder, 'data/last-good'),
    });
  });

  const sms = (url: string, more = '') => `sms: { url: '${url}'${more} }\n`;
  const webhook = (url: string, more = '') =>
    `events: { webhooks: [{ url: '${url}', secret_file: link.key${more} }] }\n`;
  const acme = (names: string, directory = 'https://ca.example/directory') =>
    `https: { acme: { directory: '${directory}', email: a@example.com, names: [${names}] } }\n`;
  const checkpoints = (target: string) => `audit: { checkpoints_to: [${target}] }\n`;
  const syslog = (collector: string) => `audit: { syslog: [{ ${collector} }] }\n`;
  const mails = (...entries: readonly string[]) =>
    `smtp: { host: h, from: a@b }\nevents: { mails: [${entries.map((one) => `{ name: a, events: [file.upload], ${one} }`).join()}] }\n`;

  test('mails what went well, together for two minutes, in words of ours unless it says otherwise', async () => {
    const [mail] = (await load(mails("to: [a@b, user], folders: [/in], names: ['*.pdf'], users: [Zoë]")))
      .events.mails;
    expect(mail).toMatchObject({ outcomes: ['ok'], withinMs: 120_000, to: ['a@b', 'user'], users: ['zoë'] });
    expect(mail?.template.text).toContain('{events}');
  });

  test('tells a collector everything, at the port of syslog over TLS, unless it says otherwise', async () => {
    const [collector] = (await load(syslog('host: collector.example.com, ca: ssh.key'))).audit.syslog;
    expect(collector).toEqual({
      host: 'collector.example.com',
      port: 6514,
      ca: path.join(folder, 'ssh.key'),
      events: ['*'],
    });
    const unnamed = await load(syslog('host: "2001:db8::7", port: 1'));
    expect(unnamed.audit.syslog).toHaveLength(1);
    // Whoever gets a certificate of any authority for that name could take the audit: `status` says so.
    const { findings } = await examine(
      setupChecks.filter(({ id }) => id === 'collector-authority'),
      { config: unnamed, ask: playVault().ask, adminCertificate: undefined, nowMs: 0 },
    );
    expect(findings.map(({ state, detail }) => `${state} ${detail}`)).toEqual([
      expect.stringMatching(/^warning 2001:db8::7:1 may show a certificate of any authority/),
    ]);
  });

  test.each(['http://127.0.0.1:8080/x', 'http://localhost/x', 'http://[::1]:1/x', 'https://gw.example/x'])(
    'sends codes, events and checkpoints to %s',
    async (url) => {
      for (const text of [sms(url), webhook(url), checkpoints(`'${url}'`)])
        expect((await load(text)).name).toBe('main1');
    },
  );

  test.each(['http://gw.example/x', 'http://127.0.0.1.example/', 'http://[::2]/x'])(
    'sends nothing to %s unencrypted, except where the entry says so',
    async (url) => {
      const plain = ', allow_plain: true';
      const why = { code: 'config', detail: expect.stringContaining('https://') };
      await expect(load(sms(url))).rejects.toMatchObject(why);
      await expect(load(webhook(url))).rejects.toMatchObject(why);
      await expect(load(checkpoints(`'${url}'`))).rejects.toMatchObject({ code: 'config' });
      expect((await load(sms(url, plain))).sms?.url).toBe(url);
      const allowed = checkpoints(`{ url: '${url}'${plain} }`);
      expect((await load(allowed)).audit.checkpointsTo).toHaveLength(1);
    },
  );

  test('is not taken in by credentials that look like this machine', async () => {
    await expect(load(sms('http://127.0.0.1:80@gw.example/x'))).rejects.toMatchObject({ code: 'config' });
    await expect(load(sms('http://localhost@[2001:db8::1]/x'))).rejects.toMatchObject({ code: 'config' });
    const backslash = 'http://gw.example\\@127.0.0.1/x';
    await expect(load(webhook(backslash))).rejects.toMatchObject({ code: 'config' });
  });

  test.each([
    [
      'two nodes of one name',
      `dmz_nodes:\n${`  - { name: a, address: h:1, identity: ${'A'.repeat(43)}, signing_key: ${'A'.repeat(43)} }\n`.repeat(2)}`,
    ],
    ['texting without a gateway', 'two_factor: { delivered: { transport: [smtp, sms] } }\n'],
    ['a code mail without its code', 'two_factor: { delivered: { email_template: { text: hello } } }\n'],
    ['a code that lives too long', 'two_factor: { delivered: { ttl: 11m } }\n'],
    ['a set-up that stays open', 'two_factor: { enrolment: { qr_ttl: 11m } }\n'],
    ['no attempts', 'two_factor: { attempts: { per_login: 0 } }\n'],
    ['a certificate for collectors without its key', syslog('host: c, certificate: ssh.key')],
    ['a collector that is an address of the web', syslog('host: "https://c/"')],
    ['a collector’s key that is not there', syslog('host: c, certificate: ssh.key, key: nowhere.key')],
    ['a collector’s authority that is not there', syslog('host: c, ca: nowhere.pem')],
    ['a mail without a relay', 'events: { mails: [{ name: a, events: [file.upload], to: [a@b] }] }\n'],
    ['two mails of one name', mails('to: [a@b]', 'to: [c@d]')],
    ['a mail to nobody', mails('to: []')],
    ['a mail to two addresses in one', mails("to: ['a@b, c@d']")],
    ['a mail to an address that breaks the header', mails('to: ["a@b\\r\\nBcc: c@d"]')],
    ['a mail with a subject of two lines', mails('to: [a@b], subject: "x\\ny"')],
    ['a mail without its events', mails('to: [a@b], text: hello')],
    ['a mail with a part that does not exist', mails('to: [a@b], line: "{password}"')],
    ['a mail of a folder that is none', mails('to: [a@b], folders: [incoming]')],
    ['a mail of a folder that nobody can have', mails('to: [a@b], folders: [/con]')],
    ['a mail of a folder that climbs', mails('to: [a@b], folders: [/a/../b]')],
    ['a mail that waits for days', mails('to: [a@b], within: 2d')],
    ['an unknown storage type', 'storages: { s: { type: s3, base: x } }\n'],
    ['a sender that breaks the header', 'smtp: { host: h, from: "a@b\\r\\nBcc: c@d" }\n'],
    ['a wildcard, which port 80 can not prove', acme("'*.example.com'")],
    ['an address for a name', acme("'https://files.example.com'")],
    ['no name', acme('')],
    ['an authority without TLS', acme('files.example.com', 'http://ca.example/directory')],
    ['a text message without its code', 'sms: { url: https://h/, body: hello }\n'],
  ])('with %s is refused', async (_name, more) => {
    await expect(load(more)).rejects.toMatchObject({ code: 'config' });
  });

  test.each([
    ['equal', 'files', 'files/.'],
    ['nested', 'files', 'files/a/b'],
    ['nested the other way round', 'files/a/b', 'files'],
    ['equal by a link', 'files', 'link'],
    ['nested below a link, in a folder that is not there yet', 'files', 'link/new/one'],
    ['in the root', '/', 'files'],
  ])('with storages that are %s is refused, and both are named', async (_how, first, second) => {
    await mkdir(path.join(folder, 'files'));
    await symlink(path.join(folder, 'files'), path.join(folder, 'link'));
    const why = await load(`storages:\n  one: { base: ${first} }\n  two: { base: ${second} }\n`).catch(
      (error: unknown) => (isSallyportError(error, 'config') ? error.detail : undefined),
    );
    expect(why).toMatch(/storages\.two\.base: ".*"; expected .* storage one/);
  });

  test('has storages side by side, whatever their names begin with', async () => {
    await mkdir(path.join(folder, 'files'));
    const loaded = await load(
      'storages: { a: { base: files }, b: { base: files2 }, c: { base: ..files } }\n',
    );
    expect(Object.keys(loaded.storages)).toEqual(['a', 'b', 'c']);
  });

  test('orders a certificate for names and addresses', async () => {
    const names = ['files.example.com', '192.0.2.7', '2001:db8::7', 'localhost'];
    const loaded = await load(acme(names.map((name) => `'${name}'`).join(', ')));
    expect(loaded.https.acme).toMatchObject({ names, email: 'a@example.com' });
    expect(loaded.https.acme?.directory.href).toBe('https://ca.example/directory');
  });

  test('may switch leases off and device cookies on', async () => {
    expect((await load('two_factor: { lease: off, remember_device: 30d }\n')).twoFactor).toMatchObject({
      lease: undefined,
      rememberDeviceMs: 30 * 86_400_000,
    });
  });
});
