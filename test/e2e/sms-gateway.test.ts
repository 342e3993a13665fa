import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';
import { type LoopbackGateway, startLoopbackGateway } from '#test/main-agent/notify/loopback-gateway.ts';

/** The whole product with a gateway of Twilio's shape before the mail relay. */

const account = 'AC0123456789abcdef';
const token = 'canary-of-the-gateway-token';
const phones = { sam: '+15550100001', tina: '+15550100002', tim: '+15550100003' };

describe('codes by text message', () => {
  let product: Product;
  let gateway: LoopbackGateway;
  let answer: (response: ServerResponse) => void;
  const takes = (response: ServerResponse): void => void response.writeHead(201).end('{"sid":"SM1"}');
  const codes: string[] = [];

  beforeAll(async () => {
    answer = takes;
    gateway = await startLoopbackGateway((response) => answer(response));
    const user = {
      hasPassword: true,
      hasKey: false,
      isEnrolled: false,
      requiredOn: ['https'] as const,
      registration: true,
      forceSetup: false,
    };
    product = await startProduct({
      moreUsers: [
        { ...user, name: 'sam', displayName: 'Sam', email: 'sam@example.com' },
        { ...user, name: 'tina', displayName: 'Tina', email: 'tina@example.com' },
        { ...user, name: 'tim', displayName: 'Tim' },
      ],
    });
    const { main } = product.site.files;
    for (const [name, phone] of Object.entries(phones))
      await appendFile(join(main.users, `${name}.yaml`), `phone: "${phone}"\n`);
    const tokenFile = join(product.folder, 'sms-password');
    await writeFile(tokenFile, `${token}\n`, { mode: 0o600 });
    const config = await readFile(main.config, 'utf8');
    await writeFile(
      main.config,
      `${config.replace('two_factor:\n', 'two_factor:\n  delivered: { transport: [sms, smtp] }\n')}sms:
  url: http://{otp_username}:{otp_password}@${gateway.host}/2010-04-01/Accounts/{otp_username}/Messages.json
  username: ${account}
  password_file: ${tokenFile}
  from: "+15550000000"
`,
    );
    await product.killMain();
  });
  afterAll(async () => {
    await gateway.close();
    await product.close();
  });

  const session = (): HttpsSession => new HttpsSession(product.site.https, product.site.files.ca);
  const login = (client: HttpsSession, username: string, password = product.password(username)) =>
    client.json('POST', '/api/login', { username, password });
  const lastCode = (): string => {
    const code = /code\+is\+(\d+)$/.exec(gateway.requests.at(-1)?.body ?? '')?.[1] ?? '';
    codes.push(code);
    return code;
  };

  it('the gateway gets exactly the configured request, and its code signs in', async () => {
    const client = session();
    expect(await login(client, 'sam')).toMatchObject({
      status: 200,
      body: { state: 'code-required', challenge: { method: 'sms', hint: '…01' } },
    });
    expect(gateway.requests).toHaveLength(1);
    const [request] = gateway.requests;
    expect(request).toMatchObject({
      method: 'POST',
      path: `/2010-04-01/Accounts/${account}/Messages.json`,
      headers: {
        host: gateway.host,
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `Basic ${btoa(`${account}:${token}`)}`,
      },
    });
    expect(request?.body).toMatch(/^To=%2B15550100001&From=%2B15550000000&Body=Your\+code\+is\+\d{6}$/);
    expect(await client.json('POST', '/api/login/code', { code: lastCode() })).toMatchObject({
      status: 200,
      body: { state: 'signed-in' },
    });
  });

  it('a gateway that fails is left for mail, and the login says so', async () => {
    answer = (response) => void response.writeHead(500).end('no');
    const client = session();
    expect((await login(client, 'tina')).body).toMatchObject({
      state: 'code-required',
      challenge: { method: 'email', hint: 't…@example.com' },
    });
    const [mail = ''] = (await readdir(product.site.files.mail)).toSorted().slice(-1);
    const text = await readFile(join(product.site.files.mail, mail), 'utf8');
    const [, code = ''] = /verification code is (\d{6})/.exec(text) ?? [];
    codes.push(code);
    expect(await client.json('POST', '/api/login/code', { code })).toMatchObject({
      status: 200,
      body: { state: 'signed-in' },
    });
  });

  it('without another way: 503 after the right password, nothing but the refusal after a wrong one', async () => {
    answer = (response) => void response.writeHead(302, { location: `http://${gateway.host}/else` }).end();
    const before = gateway.requests.length;
    expect(await login(session(), 'tim', 'wrong password')).toMatchObject({ status: 401 });
    expect(gateway.requests).toHaveLength(before);
    const failed = await login(session(), 'tim');
    expect(failed).toMatchObject({ status: 503, body: { reason: 'delivery-failed' } });
    lastCode();
    expect(gateway.requests).toHaveLength(before + 1);
    const reference = failed.body['reference'];
    // The file follows the state database; the login does not wait for it.
    const find = (): Record<string, unknown> | undefined =>
      product.audit().find((record) => record['reference'] === reference);
    await waitUntil(() => find() !== undefined, 10_000);
    expect(find()).toMatchObject({
      user: 'tim',
      rule: 'the code could not be delivered',
      detail: `sms: ${gateway.host}: redirect (302) refused`,
    });
  });

  it('two-factor test-delivery tells the admin the same', async () => {
    const terminal = buildPlayedTerminal();
    const socket = product.site.files.main.socket;
    const surroundings = { terminal, folder: product.folder, nowMs: 0, actor: 'eva' };
    expect(await runCommand(['--socket', socket, 'two-factor', 'test-delivery', 'tina'], surroundings)).toBe(
      1,
    );
    expect(terminal.printed()).toMatch(/sms +…02 +failed: \S+ redirect \(302\) refused/);
    expect(terminal.printed()).toMatch(/email +t…@example\.com +accepted/);
  });

  it('S-11: neither the token, nor a code, nor a number stands in logs, audit, health or metrics', async () => {
    const { files } = product.site;
    const { ports } = JSON.parse(await readFile(files.secrets, 'utf8')) as {
      ports: { dmzHealth: number; mainHealth: number };
    };
    const told = await Promise.all([
      readFile(files.main.log, 'utf8'),
      readFile(files.dmz.log, 'utf8'),
      readFile(files.main.audit, 'utf8'),
      ...[ports.mainHealth, ports.dmzHealth].flatMap((port) =>
        ['healthz', 'metrics'].map(async (page) => (await fetch(`http://127.0.0.1:${port}/${page}`)).text()),
      ),
    ]);
    expect(told[0]).toContain('delivery-failed');
    expect(codes).toHaveLength(3);
    const secrets = [token, btoa(`${account}:${token}`), ...Object.values(phones)];
    const asNumber = codes.map((code) => new RegExp(`(?<![0-9])${code}(?![0-9])`));
    for (const text of told) {
      expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
      expect(asNumber.filter((code) => code.test(text))).toEqual([]);
    }
  });
});
