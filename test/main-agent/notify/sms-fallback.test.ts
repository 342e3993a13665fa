import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHmac, randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { buildCodeDelivery } from '#main-agent/notify/delivery.ts';
import type { Mail } from '#main-agent/notify/mail.ts';
import { buildSmsGateway } from '#main-agent/notify/sms.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import { DeliveredCodes, type Recipient } from '#main-agent/two-factor/delivered-codes.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { startLoopbackGateway } from './loopback-gateway.ts';
import { buildRecordedLog } from './recorded-log.ts';

/** A gateway that misbehaves, the mail behind it, and what the admin reads about it. */

const recipient: Recipient = {
  username: 'bob',
  email: 'bob@example.com',
  phone: '+15551230042',
  ttlMs: undefined,
  node: 'dmz1',
  protocol: 'https',
  clientIp: '203.0.113.9',
};
const password = 's3cret-of-the-gateway';

const key = randomBytes(32);
const fingerprintOf = (...parts: readonly [Secret, string, string]): string =>
  createHmac('sha256', key)
    .update(JSON.stringify(parts.map((one) => (one instanceof Secret ? one.expose() : one))))
    .digest('base64url');

describe('an SMS gateway that does not take the code', () => {
  const opened: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });

  function build(host: string, options: { fallbackMs?: number; timeoutMs?: number } = {}) {
    const outbound = buildOutboundClient();
    opened.push(outbound);
    const mails: Mail[] = [];
    const { log, lines } = buildRecordedLog();
    const codes = new DeliveredCodes({
      settings: { transports: ['sms', 'email'], length: 6, charset: 'digits', ttlMs: 300_000 },
      delivery: buildCodeDelivery({
        mailer: {
          send: async (mail) => void mails.push(mail),
          check: async () => undefined,
          close: () => undefined,
        },
        sms: buildSmsGateway(
          {
            url: `http://account:${password}@${host}/send?key=${password}`,
            method: 'POST',
            headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
            body: 'To={otp_to}&Body={otp_token}',
            from: '',
            failure: { status: [], body: ['no credit'] },
          },
          {
            ...outbound,
            send: (request) =>
              outbound.send({
                ...request,
                ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
              }),
          },
        ),
        emailTemplate: { subject: 'Code', text: '{auth_token}', html: '{auth_token}' },
      }),
      state: buildMemoryState(),
      fingerprint: (code, username, id) => fingerprintOf(code, username, id),
      clock: { now: () => 0, monotonic: () => 0 },
      log,
      random: randomBytes,
      fallbackMs: options.fallbackMs ?? 4_000,
    });
    return { codes, mails, lines };
  }

  async function httpGateway(answer: (response: ServerResponse) => void): Promise<string> {
    const gateway = await startLoopbackGateway(answer);
    opened.push(gateway);
    return gateway.host;
  }

  /** Below HTTP: what the first bytes of a request lead to. */
  async function rawGateway(onRequest: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => onRequest(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push({
      close: async () => {
        for (const socket of sockets) socket.destroy();
        server.close();
        await once(server, 'close');
      },
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const gateways: [string, () => Promise<string>, { fallbackMs?: number; timeoutMs?: number }, RegExp][] = [
    [
      'says no inside a 200',
      () => httpGateway((response) => response.writeHead(200).end('{"error":"No credit"}')),
      {},
      /no credit.* of sms\.failure/,
    ],
    ['answers 500', () => httpGateway((response) => response.writeHead(500).end('no')), {}, /status 500/],
    [
      'redirects',
      () => httpGateway((response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()),
      {},
      /redirect \(302\) refused/,
    ],
    [
      'is not there',
      async () => {
        const gateway = await startLoopbackGateway();
        await gateway.close();
        return gateway.host;
      },
      {},
      /ECONNREFUSED/,
    ],
    [
      'resets the connection',
      () => rawGateway((socket) => socket.resetAndDestroy()),
      {},
      /ECONNRESET|UND_ERR_SOCKET/,
    ],
    [
      'speaks no HTTP',
      () => rawGateway((socket) => socket.end('220 mail ready\r\n')),
      {},
      /HPE_INVALID|does not match the HTTP/,
    ],
    [
      'answers more than a receipt',
      () =>
        httpGateway((response) => {
          response.writeHead(200);
          response.end(Buffer.alloc(64 * 1024 + 1));
        }),
      {},
      /larger than 65536 bytes/,
    ],
    [
      'is slow to answer',
      () => httpGateway(() => undefined),
      { fallbackMs: 50, timeoutMs: 200 },
      /within 50 ms/,
    ],
    [
      'never comes to an end',
      () =>
        httpGateway((response) => {
          response.writeHead(200).write('.');
          const timer = setInterval(() => response.write('.'), 10);
          response.on('close', () => clearInterval(timer));
        }),
      { timeoutMs: 100 },
      /no answer in time/,
    ],
  ];

  for (const [name, start, options, reason] of gateways) {
    it(`${name}: the code goes by mail, and the admin reads why`, async () => {
      const { codes, mails, lines } = build(await start(), options);
      expect(await codes.request(recipient)).toMatchObject({ method: 'email', hint: 'b…@example.com' });
      expect(mails).toHaveLength(1);
      const code = mails[0]?.text ?? '';
      expect(codes.match(recipient, new Secret(code))).toMatchObject({ kind: 'right', method: 'email' });

      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(reason);
      expect(lines[0]).toContain('"alarm":"delivery-failed"');
      for (const secret of [password, code, recipient.phone ?? '', btoa(`account:${password}`)])
        expect(lines[0]).not.toContain(secret);
    });

    it(`${name}: without another way the login hears that nothing was sent, and the admin each reason`, async () => {
      const { codes } = build(await start(), options);
      const error: unknown = await codes.request({ ...recipient, email: undefined }).catch((cause) => cause);
      expect(error).toMatchObject({
        code: 'delivery-failed',
        publicMessage: 'The code could not be sent',
        detail: expect.stringMatching(/^sms: /) as string,
      });
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(password);
    }, 15_000);
  }

  it('what the gateway takes up to the limit of its answer counts as sent', async () => {
    const host = await httpGateway((response) => response.writeHead(200).end(Buffer.alloc(64 * 1024)));
    const { codes, mails, lines } = build(host);
    expect(await codes.request(recipient)).toMatchObject({ method: 'sms', hint: '…42' });
    expect([mails, lines]).toEqual([[], []]);
  });
});
