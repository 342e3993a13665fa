import { execFileSync } from 'node:child_process';
import { createHmac, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildLinkListener, type LinkListener } from '#dmz/link/listener.ts';
import { buildAdminClient } from '#main-agent/cli/admin-client.ts';
import { openMainAgentConfig } from '#main-agent/config.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import { siteFiles, type SiteFiles } from '#scripts/demonstration/site-files.ts';
import { systemClock } from '#shared/clock.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { buildLog } from '#shared/log.ts';
import type { System } from '#shared/process/node-process.ts';
import { Secret } from '#shared/secret.ts';
import { waitUntil } from '#test/harness/product.ts';
import { buildRsyslog } from '#test/harness/rsyslog.ts';
import { partOf, startRelay, type Relay } from '#test/harness/smtp-relay.ts';
import { startLoopbackGateway, type LoopbackGateway } from '#test/main-agent/notify/loopback-gateway.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';

const arriveMs = 30_000;

describe('a reload of main', () => {
  let folder: string;
  let files: SiteFiles;
  /** As provisioned, without `smtp` and `branding`. */
  let plain: string;
  let main: System;
  let node: LinkListener;
  let admin: ReturnType<typeof buildAdminClient>;
  const { log, lines } = buildRecordedLog();
  const closers: (() => unknown)[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-main-reload-'));
    files = siteFiles(folder);
    const secrets = await provisionSite(files, { httpsPort: 1, sftpPort: 1, users: [] });
    await mkdir(join(folder, 'main', 'run'), { recursive: true });
    await writeFile(
      join(files.main.users, 'bob.yaml'),
      'username: bob\nemail: bob@example.com\nphone: "+15551230000"\n',
    );
    plain = (await readFile(files.main.config, 'utf8'))
      .replace(/^(smtp|branding): .*\n/gm, '')
      .replace('auto_enable: true', 'auto_enable: true\n  delivered: { transport: [smtp, sms] }');
    await configure(`${smtp(1)}${sms('127.0.0.1:1')}`);
    const source = await openMainAgentConfig(files.main.config);
    const { config } = await source.reread();
    main = await startMainAgent(config, {
      clock: systemClock,
      log,
      inherited: new Map(),
      configFile: files.main.config,
      reread: () => source.reread(),
      onStateFailure: () => undefined,
    });
    node = buildLinkListener({
      listen: { host: '127.0.0.1', port: secrets.ports.link },
      identityKeyPem: new Secret(readFileSync(files.dmz.identityKey, 'utf8')),
      signingKeyPem: new Secret(readFileSync(files.dmz.signingKey, 'utf8')),
      mainIdentity: fingerprintOf(createPrivateKey(readFileSync(files.main.identityKey))),
      nodeName: 'dmz1',
      validatedLogins: true,
      clock: systemClock,
      log: buildLog('silent', {}),
    });
    await node.start();
    admin = buildAdminClient({ target: { socket: files.main.socket }, token: undefined, actor: 'root' });
    await waitUntil(() => node.link.isUp, arriveMs);
  });
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
  });
  afterAll(async () => {
    await admin.close();
    await main.close();
    await node.close();
    await rm(folder, { recursive: true, force: true });
  });

  const configure = (more: string) => writeFile(files.main.config, `${plain}${more}`, { mode: 0o600 });
  const smtp = (port: number, more = '') =>
    `smtp: { host: 127.0.0.1, port: ${port}, tls: none, from: files@example.com${more} }\n`;
  const sms = (host: string) => `sms: { url: "http://${host}/send" }\n`;
  const secretFile = () => join(folder, 'webhook-secret');
  const webhook = (host: string, more = '') =>
    `{ url: "http://${host}/hook", events: [ban.*], secret_file: ${secretFile()}${more} }`;
  /** What the log said of the last reload. */
  const told = () =>
    String((JSON.parse(lines.findLast((line) => line.includes('reloaded')) ?? '{}') as { msg?: string }).msg);

  async function relay(options: Parameters<typeof startRelay>[0] = {}): Promise<Relay> {
    const started = await startRelay(options);
    closers.push(() => started.close());
    return started;
  }
  async function gateway(...answer: Parameters<typeof startLoopbackGateway>): Promise<LoopbackGateway> {
    const started = await startLoopbackGateway(...answer);
    closers.push(() => started.close());
    return started;
  }
  async function reload(more: string): Promise<string> {
    await configure(more);
    await main.reload();
    return told();
  }
  const testDelivery = () => admin.call('POST', '/v1/test-delivery', { body: { user: 'bob' } });
  const ban = (user: string) =>
    admin.call('POST', '/v1/bans', { body: { user, reason: `of ${user}`, for_seconds: 600 } });
  /** Who was banned, as a webhook was told. */
  const bansAt = ({ requests }: LoopbackGateway): string[] =>
    requests.map(({ body }) => (JSON.parse(body) as { data: { user: string } }).data.user);
  const until = (holds: () => boolean | Promise<boolean>) => waitUntil(holds, arriveMs);

  beforeEach(async () => {
    await rm(secretFile(), { force: true });
    await writeFile(secretFile(), 'a secret of enough octets', { mode: 0o600 });
    await reload(`${smtp(1)}${sms('127.0.0.1:1')}`);
  });

  it('takes relay, gateway, webhooks, mails and branding, and says so', async () => {
    const [mails, texts, hook] = [await relay(), await gateway(), await gateway()];
    const said = await reload(
      `${smtp(mails.port)}${sms(texts.host)}events:\n  webhooks: [${webhook(hook.host)}, ${webhook(hook.host)}]\n` +
        '  mails: [{ name: shut-out, events: [ban.*], to: [desk@example.com], within: 1s }]\n' +
        'branding: { name: Harbour, banner: Crew only }\n',
    );
    expect(said).toBe(
      'reloaded: branding.banner, branding.name, events.mails, events.webhooks, sms.url, smtp.port',
    );
    await ban('mallory');
    await testDelivery();
    expect(texts.requests).toHaveLength(1);
    await until(() => mails.mails.length === 2 && hook.requests.length === 2);
    expect(bansAt(hook), 'two of one address').toEqual(['mallory', 'mallory']);
    expect(mails.mails.flatMap(({ to }) => to).toSorted()).toEqual(['bob@example.com', 'desk@example.com']);
    const notice = mails.mails.find(({ to }) => to[0] === 'desk@example.com');
    expect(partOf(notice?.raw ?? '', 'text/plain')).toContain('This is the notice "shut-out" of Harbour.');
    await until(() => node.link.policy.branding.name === 'Harbour');
    expect(node.link.policy.branding.banner).toBe('Crew only');
  });

  it('loses nothing that is on its way, and sends none of it twice', async () => {
    const held: (() => void)[] = [];
    const slow = await relay({
      onData: (stream, _session, done) => void stream.resume().on('end', () => held.push(() => done())),
    });
    const holding = () => gateway((response) => void held.push(() => response.writeHead(204).end()));
    const [next, texts, gone, kept] = [await relay(), await gateway(), await holding(), await holding()];
    const notices = `  mails: [{ name: told, events: [ban.*], to: [desk@example.com], within: 1s }]\n`;
    await reload(
      `${smtp(slow.port)}${sms(texts.host)}events:\n${notices}  webhooks: [${webhook(gone.host)}, ${webhook(kept.host)}]\n`,
    );
    await ban('trent');
    await ban('oscar');
    const tested = testDelivery();
    // One text message is there; two mails, and one event at each webhook, are under way.
    await until(() => held.length === 4);
    await writeFile(secretFile(), 'another secret, as long', { mode: 0o600 });
    expect(
      await reload(
        `${smtp(next.port)}${sms(texts.host)}events:\n${notices}  webhooks: [${webhook(kept.host, ', names: ["*"]')}]\n`,
      ),
    ).toBe('reloaded: events.webhooks, smtp.port');
    // One is named again before what it sends has arrived, and goes on behind it.
    await reload(
      `${smtp(next.port)}${sms(texts.host)}events:\n${notices}  webhooks: [${webhook(kept.host)}, ${webhook(gone.host)}]\n`,
    );
    for (const finish of held.splice(0)) finish();
    expect(await tested).toMatchObject({ results: [{ accepted: true }, { accepted: true }] });
    await until(() => held.length === 2);
    for (const finish of held.splice(0)) finish();
    await ban('peggy');
    await until(() => held.length === 2 && next.mails.length === 1);
    for (const finish of held.splice(0)) finish();
    for (const hook of [gone, kept]) expect(bansAt(hook)).toEqual(['trent', 'oscar', 'peggy']);
    expect(texts.requests).toHaveLength(1);
    const text = partOf(next.mails[0]?.raw ?? '', 'text/plain');
    expect(text).toContain('peggy');
    expect(text).not.toMatch(/trent|oscar/);
    const signed = kept.requests.map((one) => one.headers['webhook-signature']);
    const [began, ...later] = kept.requests;
    expect(signed).toEqual([
      ...[began].flatMap((one) => (one === undefined ? [] : [signatureOf(one, 'a secret of enough octets')])),
      ...later.map((one) => signatureOf(one, 'another secret, as long')),
    ]);
  });

  it('reads secrets again whose files are others by now', async () => {
    const passwords: string[] = [];
    const mails = await relay({
      authOptional: false,
      allowInsecureAuth: true,
      onAuth: ({ password }, _session, done) => {
        passwords.push(password ?? '');
        done(null, { user: 'files' });
      },
    });
    const password = join(folder, 'relay-password');
    await writeFile(password, 'first\n', { mode: 0o600 });
    const config = `${smtp(mails.port, `, user: files, password_file: ${password}`)}${sms('127.0.0.1:1')}`;
    await reload(config);
    await testDelivery();
    await writeFile(password, 'second\n', { mode: 0o600 });
    expect(await reload(config)).toBe('reloaded: smtp.password_file');
    await testDelivery();
    expect(passwords).toEqual(['first', 'second']);
    expect(await reload(config)).toBe('reloaded: nothing had changed');
  });

  it.each([
    ['a secret that is too short', () => writeFile(secretFile(), 'short'), 'too short'],
    ['a secret that everybody may read', () => chmod(secretFile(), 0o644), 'others can read it'],
    ['a logo that is none', () => writeFile(join(folder, 'logo.svg'), '<script/>'), 'logo'],
  ])('with %s is refused whole: all goes on as it was', async (_what, spoil, says) => {
    const [mails, hook, otherMails, otherHook] = [
      await relay(),
      await gateway(),
      await relay(),
      await gateway(),
    ];
    const logo = join(folder, 'logo.svg');
    await writeFile(logo, '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0h8v8z"/></svg>');
    const of = (port: number, host: string, name: string) =>
      `${smtp(port)}${sms('127.0.0.1:1')}events: { webhooks: [${webhook(host)}] }\nbranding: { name: ${name}, logo: ${logo} }\n`;
    await reload(of(mails.port, hook.host, 'Harbour'));
    await spoil();
    await expect(reload(of(otherMails.port, otherHook.host, 'Other'))).rejects.toThrow(says);
    await ban(`user-${hook.host.split(':')[1]}`);
    await testDelivery();
    await until(() => hook.requests.length === 1);
    expect([mails.mails.length, otherMails.mails.length, otherHook.requests.length]).toEqual([1, 0, 0]);
    expect(node.link.policy.branding.name).toBe('Harbour');
  });

  it('keeps a collector’s place, also while it is away', async () => {
    const authority = createThrowAwayAuthority(systemClock.now());
    const server = authority.issueServerCertificate();
    const write = (name: string, content: string) =>
      writeFile(join(folder, name), content, { mode: 0o600 }).then(() => join(folder, name));
    const ca = await write('collector-ca.pem', authority.certificatePem);
    const collector = buildRsyslog(join(folder, 'rsyslog'), {
      ca,
      certificate: await write('collector.pem', server.certificatePem),
      key: await write('collector.key', server.privateKeyPem.expose()),
    });
    closers.push(() => collector.end('SIGTERM'));
    const rest = `${smtp(1)}${sms('127.0.0.1:1')}`;
    const of = (events: string) =>
      `syslog: [{ host: 127.0.0.1, port: ${collector.port}, ca: ${ca}, events: ["${events}"] }]`;
    const before = plain;
    closers.push(() => void (plain = before));
    const use = (syslog: string) => {
      plain = before.replace(/^audit: .*$/m, `audit: { file: ${files.main.audit}, ${syslog} }`);
      return reload(rest);
    };
    // It is away at first: what happens waits for it, and goes by what is asked for when it comes.
    expect(await use(of('user.*'))).toBe('reloaded: audit.syslog');
    await ban('walter');
    expect(await use(of('ban.*'))).toBe('reloaded: audit.syslog');
    await ban('victor');
    await collector.start();
    await until(() => collector.lines().some((line) => line.includes('of victor')));
    await use(of('ban.a*'));
    await ban('sybil');
    await until(() => collector.lines().some((line) => line.includes('of sybil')));
    expect(collector.lines()).toHaveLength(new Set(collector.lines()).size);
    expect(collector.lines().map((line) => /of (\w+)/.exec(line)?.[1])).toEqual(['victor', 'sybil']);
  });

  it('takes nothing that stands only with what a restart takes, and the rest all the same', async () => {
    const mails = await relay();
    const before = plain;
    closers.push(() => void (plain = before));
    plain = before.replace('transport: [smtp, sms]', 'transport: [smtp]').replace('main1', 'main2');
    expect(await reload(smtp(mails.port))).toBe(
      'reloaded: smtp.port; changed, but only a restart takes it: name, sms.url, two_factor.delivered.transport',
    );
    expect(await testDelivery()).toMatchObject({
      results: [{ transport: 'email', accepted: true }, { transport: 'sms' }],
    });
  });

  it('S-04: takes nodes whole or not at all: nothing while a new one’s host keys can’t be sealed, and then one that is gone has no link', async () => {
    const dmz1 = /^ {2}- \{ name: dmz1, .*$/m;
    const [line = ''] = dmz1.exec(plain) ?? [];
    const dmz2 = line.replace('dmz1', 'dmz2').replace('host_key: local', 'host_key: main');
    plain = plain.replace(dmz1, dmz2);
    process.kill(findVault(), 'SIGKILL');
    await expect(reload(`${smtp(1)}${sms('127.0.0.1:1')}`)).rejects.toMatchObject({ code: 'busy' });
    await testDelivery();
    expect(node.link.isUp).toBe(true);
    const hostKeys = async () =>
      ((await admin.call('GET', '/v1/hostkeys')) as { nodes: { node: string; keys: unknown[] }[] }).nodes;
    expect((await hostKeys()).map((one) => one.node)).toEqual(['dmz1']);
    await until(() =>
      main.reload().then(
        () => true,
        () => false,
      ),
    );
    await until(() => !node.link.isUp);
    expect((await hostKeys()).map((one) => [one.node, one.keys.length])).toEqual([['dmz2', 2]]);
  });
});

/** Main runs in this process, and its vault beside it. */
function findVault(): number {
  const parts = ['-P', String(process.pid), '-f', 'main-agent/vault/process/main.ts'];
  return Number(execFileSync('pgrep', parts, { encoding: 'utf8' }));
}

/** As standardwebhooks.com has it. */
function signatureOf({ headers, body }: LoopbackGateway['requests'][number], secret: string): string {
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  return `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`;
}
