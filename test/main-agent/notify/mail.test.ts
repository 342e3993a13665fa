import type { SMTPServerOptions } from 'smtp-server';
import { afterEach, describe, expect, it } from 'vitest';
import { twoFactorSchema } from '#main-agent/config-two-factor.ts';
import { buildCodeDelivery } from '#main-agent/notify/delivery.ts';
import { buildMailer, greetingName, type Mailer } from '#main-agent/notify/mail.ts';
import { buildAccountNotifier, composeNotice } from '#main-agent/notify/notices.ts';
import type { AccountNotice } from '#main-agent/two-factor/code-delivery.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { partOf, type Relay, startRelay } from '#test/harness/smtp-relay.ts';

const template = {
  subject: 'Your code, {username}',
  text: 'Hello {username},\n\nyour code is {auth_token}\n\nGood for {expires_in}, from {client_ip}.\n',
  html: '<p>Hello {username}</p><p><b>{auth_token}</b> {expires_in} {client_ip}</p>',
};
const message = {
  username: 'bob',
  address: 'bob@example.com',
  transport: 'email' as const,
  code: new Secret('493817'),
  clientIp: '203.0.113.9',
  expiresInMs: 300_000,
};

describe('mail through the relay', () => {
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  async function relay(options: SMTPServerOptions = {}): Promise<Relay> {
    const started = await startRelay(options);
    closers.push(() => started.close());
    return started;
  }
  function mailer(port: number, options: Partial<Parameters<typeof buildMailer>[0]> = {}): Mailer {
    const built = buildMailer({
      host: '127.0.0.1',
      port,
      tls: 'none',
      from: 'Files <files@example.com>',
      ...options,
    });
    closers.push(() => built.close());
    return built;
  }
  const delivery = (built: Mailer | undefined, emailTemplate = template) =>
    buildCodeDelivery({ mailer: built, sms: undefined, emailTemplate });

  it('a code mail has the code as the only six-digit number of its text part', async () => {
    const { port, mails } = await relay();
    await delivery(mailer(port)).deliver(message);
    await delivery(mailer(port)).deliver({ ...message, username: '123456', clientIp: '2001:db8::1' });
    expect(mails.map(({ from, to }) => [from, to])).toEqual([
      ['files@example.com', ['bob@example.com']],
      ['files@example.com', ['bob@example.com']],
    ]);
    for (const mail of mails) {
      expect(partOf(mail.raw, 'text/plain').match(/\b\d{6}\b/g)).toEqual(['493817']);
    }
    expect(mails[0]?.raw).toContain('Subject: Your code, bob');
    expect(partOf(mails[0]?.raw ?? '', 'text/plain')).toContain('Good for 5 minutes, from 203.0.113.9.');
  });

  it('greets the relay with a full host name: its own, the sender’s domain, or the configured one', async () => {
    const { port, mails } = await relay();
    await delivery(mailer(port)).deliver(message);
    await delivery(mailer(port, { name: 'main.inside.example' })).deliver(message);
    const [first, second] = mails.map(({ greeting }) => greeting);
    expect(first).toMatch(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i);
    expect(second).toBe('main.inside.example');
    const from = 'Files <files@example.com>';
    expect(greetingName({ from }, 'main.corp.example')).toBe('main.corp.example');
    expect(greetingName({ from }, 'main')).toBe('example.com');
    expect(greetingName({ from: 'files@example.com' }, 'main')).toBe('example.com');
  });

  it('values are escaped in HTML and can not start a header or another recipient', async () => {
    const { port, mails } = await relay();
    const username = '<img src=x>\r\nBcc: evil@example.com\r\n\r\n{auth_token}';
    await delivery(mailer(port)).deliver({ ...message, username });
    expect(mails[0]?.to).toEqual(['bob@example.com']);
    expect(mails[0]?.raw.split('\r\n\r\n')[0]).not.toMatch(/^Bcc:/im);
    expect(partOf(mails[0]?.raw ?? '', 'text/html')).not.toContain('<img');
    await expect(
      delivery(mailer(port)).deliver({ ...message, address: 'a@example.com, b@example.com' }),
    ).rejects.toMatchObject({ code: 'delivery-failed' });
  });

  it('has the code in a text part and in an HTML part, with the built-in template too', async () => {
    const { port, mails } = await relay();
    const builtIn = twoFactorSchema.parse({}).delivered.emailTemplate;
    for (const emailTemplate of [template, builtIn]) {
      await delivery(mailer(port), emailTemplate).deliver({
        ...message,
        username: 'user123456',
        clientIp: '2001:db8:1234:5678:9012:3456:7890:1234',
        expiresInMs: 599_999,
      });
      const raw = mails.at(-1)?.raw ?? '';
      expect(raw).toMatch(/^Content-Type: multipart\/alternative/m);
      for (const type of ['text/plain', 'text/html'])
        expect(partOf(raw, type).match(/\d{6,}/g), type).toEqual(['493817']);
    }
  });

  for (const [what, evil] of [
    ['a user name', { username: 'bob\r\nBcc: evil@example.com\r\n\r\n<script>&"\'' }],
    ['a client address', { clientIp: '::1\r\nBcc: evil@example.com\n.\r\n<script>&"\'' }],
    ['an address', { address: 'bob@example.com\r\nBcc: evil@example.com' }],
    ['an address with SMTP in it', { address: 'bob@example.com>\r\nRCPT TO:<evil@example.com' }],
  ] as const) {
    it(`${what} with line ends in it starts no header, adds no recipient and no element`, async () => {
      const { port, mails } = await relay();
      // In a subject as well: that is a header.
      const emailTemplate = { ...template, subject: 'Your code, {username} {client_ip}' };
      await delivery(mailer(port), emailTemplate)
        .deliver({ ...message, ...evil })
        .catch(() => undefined);
      const notifier = buildAccountNotifier({
        mailer: mailer(port),
        serviceName: 'Files',
        log: buildLog('silent', {}),
      });
      notifier.notify({ ...message, ...evil, kind: 'two-factor-reset', atMs: 1_795_500_000_000 });
      // What the relay refuses is not sent, which is as good.
      await delivery(mailer(port)).deliver(message);
      for (const { to, raw } of mails) {
        expect(to).toHaveLength(1);
        expect(to).not.toContain('evil@example.com');
        const [headers = ''] = raw.split('\r\n\r\n');
        expect(headers).not.toMatch(/^Bcc:/im);
        expect(partOf(raw, 'text/html')).not.toContain('<script>');
      }
    });
  }

  it('signs in to the relay where it has a user', async () => {
    const seen: unknown[] = [];
    const { port, mails } = await relay({
      authOptional: false,
      onAuth(auth, _session, callback) {
        seen.push([auth.username, auth.password]);
        callback(null, { user: auth.username });
      },
    });
    await delivery(mailer(port, { user: 'relay', password: new Secret('pw') })).deliver(message);
    expect(seen).toEqual([['relay', 'pw']]);
    expect(mails).toHaveLength(1);
  });

  it('a relay that refuses, is gone, or has no TLS where TLS is wanted fails the delivery', async () => {
    const refusing = await relay({
      onRcptTo: (_to, _session, callback) => callback(new Error('no such user')),
    });
    await expect(delivery(mailer(refusing.port)).deliver(message)).rejects.toMatchObject({
      code: 'delivery-failed',
    });
    const plain = await relay();
    await expect(delivery(mailer(plain.port, { tls: 'starttls' })).deliver(message)).rejects.toMatchObject({
      code: 'delivery-failed',
    });
    expect(plain.mails).toEqual([]);
    await expect(delivery(undefined).deliver(message)).rejects.toMatchObject({ code: 'delivery-failed' });
    await expect(delivery(undefined).deliver({ ...message, transport: 'sms' })).rejects.toMatchObject({
      code: 'delivery-failed',
    });
  });

  it('refuses to mail in clear over the network', () => {
    expect(() => mailer(25, { host: 'relay.example.com' })).toThrow(/unencrypted/);
  });

  it('refuses at start a template that forgets the code or misspells a placeholder', () => {
    expect(() => delivery(undefined, { ...template, text: 'no code' })).toThrow(/auth_token/);
    expect(() => delivery(undefined, { ...template, html: '{auth_token} {user}' })).toThrow(/\{user\}/);
  });

  it('notices name what happened and hold nothing that looks like a code', async () => {
    const { port, mails } = await relay();
    const notice: AccountNotice = {
      username: '123456789',
      address: 'bob@example.com',
      kind: 'two-factor-enrolled',
      atMs: 1_795_500_000_000,
      clientIp: '203.0.113.9',
    };
    const built = mailer(port);
    const notifier = buildAccountNotifier({
      mailer: built,
      serviceName: 'Files',
      log: buildLog('silent', {}),
    });
    notifier.notify(notice);
    await expect.poll(() => mails.length).toBe(1);
    expect(partOf(mails[0]?.raw ?? '', 'text/plain')).toContain('was set up');
    for (const kind of [
      'two-factor-enrolled',
      'two-factor-reset',
      'recovery-code-used',
      'many-wrong-codes',
      'factor-disabled',
      'device-copied',
    ] as const) {
      const { subject, text, html } = composeNotice({ ...notice, kind }, 'Files');
      expect(`${subject}\n${text}\n${html}`).not.toMatch(/\d{6}/);
    }
  });

  it('a notice that can not be sent disturbs nobody', async () => {
    const warned: unknown[] = [];
    const log = buildLog('silent', {});
    log.warn = (...args: unknown[]) => void warned.push(args);
    const refused = {
      send: () => Promise.reject(new Error('down')),
      check: async () => undefined,
      close: () => undefined,
    };
    buildAccountNotifier({ mailer: refused, serviceName: 'Files', log }).notify({
      username: 'bob',
      address: 'bob@example.com',
      kind: 'two-factor-reset',
      atMs: 0,
    });
    await expect.poll(() => warned.length).toBe(1);
  });
});
