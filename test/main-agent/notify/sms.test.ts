import { afterEach, describe, expect, it } from 'vitest';
import { buildSmsGateway, type SmsOptions } from '#main-agent/notify/sms.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { startLoopbackGateway, type LoopbackGateway } from './loopback-gateway.ts';

const form = { 'Content-Type': 'application/x-www-form-urlencoded' };

describe('SMS through an HTTP gateway', () => {
  const opened: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });
  async function gateway(...args: Parameters<typeof startLoopbackGateway>): Promise<LoopbackGateway> {
    const started = await startLoopbackGateway(...args);
    opened.push(started);
    return started;
  }
  function build(options: Partial<SmsOptions> & { readonly url: string }, outbound?: OutboundClient) {
    const client = outbound ?? buildOutboundClient();
    if (outbound === undefined) opened.push(client);
    return buildSmsGateway(
      {
        method: 'POST',
        headers: form,
        body: 'To={otp_to}&From={otp_from}&Body=Code+{otp_token}',
        from: '+15550001111',
        ...options,
      },
      client,
    );
  }
  const message = { to: '+15551230000', token: new Secret('123456') };
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

  it('sends the form exactly as the template says, values URL-encoded', async () => {
    const server = await gateway();
    const sms = build({ url: `http://${server.host}/2010/Messages?x=1`, from: 'A&B=c d' });
    await sms.send(message);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({
      method: 'POST',
      path: '/2010/Messages?x=1',
      body: 'To=%2B15551230000&From=A%26B%3Dc%20d&Body=Code+123456',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(server.requests[0]?.headers['authorization']).toBeUndefined();
  });

  it('moves credentials from the URL into an Authorization header', async () => {
    const server = await gateway();
    const sms = build({
      url: `http://{otp_username}:{otp_password}@${server.host}/send`,
      username: 'acc:ount',
      password: new Secret('p@ss'),
    });
    await sms.send(message);
    await build({ url: `http://user:a%40b@${server.host}/send` }).send(message);
    expect(server.requests.map(({ path, headers }) => [path, headers['authorization']])).toEqual([
      ['/send', basic('acc:ount:p@ss')],
      ['/send', basic('user:a@b')],
    ]);
  });

  it('sends user name and password as Basic credentials where no placeholder uses them', async () => {
    const server = await gateway();
    const credentials = { username: 'u', password: new Secret('p') };
    const url = `http://${server.host}/send`;
    await build({ url, ...credentials }).send(message);
    await build({ url, ...credentials, body: 'u={otp_username}&c={otp_token}' }).send(message);
    await build({ url, ...credentials, headers: { ...form, authorization: 'Bearer k' } }).send(message);
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual([
      basic('u:p'),
      undefined,
      'Bearer k',
    ]);
    expect(server.requests[1]?.body).toBe('u=u&c=123456');
  });

  it('escapes values for JSON bodies, and puts them into the address of a GET', async () => {
    const server = await gateway();
    await build({
      url: `http://${server.host}/`,
      headers: { 'content-type': 'application/json' },
      body: '{"to":"{otp_to}","from":"{otp_from}","text":"{otp_token}"}',
      from: 'a"\\b\n',
    }).send(message);
    await build({ url: `http://${server.host}/s?to={otp_to}&t={otp_token}`, method: 'GET' }).send(message);
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({
      to: '+15551230000',
      from: 'a"\\b\n',
      text: '123456',
    });
    expect(server.requests[1]).toMatchObject({
      method: 'GET',
      path: '/s?to=%2B15551230000&t=123456',
      body: '',
    });
  });

  it('a value can neither leave the configured host nor start a header of its own', async () => {
    const server = await gateway();
    await build({
      url: `http://${server.host}/{otp_from}/x`,
      headers: { ...form, 'x-from': '{otp_from}' },
      from: '../..//evil.example/\r\nx-evil: 1?#@',
    }).send(message);
    expect(server.requests[0]?.path).toBe('/..%2F..%2F%2Fevil.example%2F%0D%0Ax-evil%3A%201%3F%23%40/x');
    expect(server.requests[0]?.headers['x-evil']).toBeUndefined();
    expect(server.requests[0]?.headers['x-from']).toBe('../..//evil.example/ x-evil: 1?#@');
  });

  it('follows no redirect', async () => {
    const elsewhere = await gateway();
    const server = await gateway((response) =>
      response.writeHead(307, { location: `http://${elsewhere.host}/` }).end(),
    );
    await expect(build({ url: `http://${server.host}/` }).send(message)).rejects.toMatchObject({
      code: 'delivery-failed',
      detail: expect.stringContaining('redirect'),
    });
    expect(elsewhere.requests).toEqual([]);
  });

  it('S-11: a refusal tells neither the number, nor the code, nor the credentials', async () => {
    const server = await gateway((response) => response.writeHead(401).end('bad key s3cret'));
    const sms = build({ url: `http://acc:s3cret@${server.host}/send?k=s3cret` });
    const error = await sms.send(message).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'delivery-failed', detail: `${server.host}: status 401` });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(/s3cret|123456|1555/);
  });

  it('gives up on a gateway that is gone or silent', async () => {
    const server = await gateway(() => undefined);
    const impatient = buildOutboundClient();
    opened.push(impatient);
    const sms = build(
      { url: `http://${server.host}/` },
      { ...impatient, send: (request) => impatient.send({ ...request, timeoutMs: 50 }) },
    );
    await expect(sms.send(message)).rejects.toMatchObject({ code: 'delivery-failed' });
    const { host } = server;
    await server.close();
    opened.splice(opened.indexOf(server), 1);
    await expect(build({ url: `http://${host}/` }).send(message)).rejects.toMatchObject({
      code: 'delivery-failed',
    });
  });

  const queued = { success: { status: [], body: ['"status":*"queued"', 'OK'] } };
  const errors = { failure: { status: [202], body: ['"error":*', 'not enough credit'] } };
  for (const [answer, options, expected] of [
    [[200, 'anything'], {}, undefined],
    [[200, '{"status": "queued"}'], queued, undefined],
    [[201, 'ok 17'], queued, undefined],
    [[200, '{"queued":"status"}'], queued, 'nothing of sms.success'],
    [[200, ''], queued, 'nothing of sms.success'],
    [[404, 'OK'], queued, 'status 404'],
    [[404, 'fine'], { success: { status: [404], body: [] } }, undefined],
    [[200, 'fine'], { success: { status: [201], body: [] } }, 'status 200'],
    [[200, '{"error" : "unknown number"}'], errors, undefined],
    [[200, '{"error":"unknown number"}'], errors, '"error":*" of sms.failure'],
    [[200, 'Not Enough Credit'], { ...queued, ...errors }, 'not enough credit'],
    [[202, 'OK'], { ...queued, ...errors }, 'status 202 is one of sms.failure'],
  ] as const) {
    it(`takes ${answer.join(' ')} for a ${expected === undefined ? 'yes' : `no: ${expected}`}`, async () => {
      const [status, body] = answer;
      const server = await gateway((response) => response.writeHead(status).end(body));
      const sent = build({ url: `http://${server.host}/`, ...(options as Partial<SmsOptions>) }).send(
        message,
      );
      const outcome = await sent.then(
        () => 'taken',
        (error: SallyportError) => `${error.code}: ${error.detail}`,
      );
      expect(outcome).toContain(expected ?? 'taken');
    });
  }

  it('a no in the answer tells of the configuration, never what the gateway repeats', async () => {
    const server = await gateway((response) => response.writeHead(200).end('ERROR for 123456 +15551230000'));
    const options = { failure: { status: [], body: ['error*'] } };
    const sent = build({ url: `http://${server.host}/`, ...options }).send(message);
    await expect(sent).rejects.toMatchObject({ detail: expect.not.stringMatching(/123456|1555123/) });
  });

  for (const [what, options] of [
    ['a placeholder in the host', { url: 'https://{otp_to}.example/' }],
    ['no http address', { url: 'ftp://gateway.example/' }],
    ['an unknown placeholder', { url: 'https://gateway.example/', body: '{otp_token} {otp_cod}' }],
    ['no code anywhere', { url: 'https://gateway.example/', body: 'hello' }],
    ['a code only in the body of a GET', { url: 'https://gateway.example/', method: 'GET' }],
  ] as const) {
    it(`refuses at start: ${what}`, () => {
      expect(() => build(options)).toThrow(SallyportError);
    });
  }
});
