import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openAccount, type AcmeAccount } from '#main-agent/acme/account.ts';
import { buildCertificateRequest } from '#main-agent/acme/certificate-request.ts';
import { orderCertificate, type OrderOptions } from '#main-agent/acme/order.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { systemClock as clock } from '#shared/clock.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { startPebble, type Pebble } from '#test/harness/pebble.ts';

type Answer = Awaited<ReturnType<OutboundClient['send']>>;

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** Port 80 of the names. */
const shown = new Map<string, string>();
const challenges = {
  show: async (token: string, keyAuthorization: string) => void shown.set(token, keyAuthorization),
  hide: (token: string) => void shown.delete(token),
};
/** Looks again soon; how often is bounded by the clock. */
const wait = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 5));

describe('a certificate from an authority', () => {
  let port80: Server;
  let httpPort: number;
  const asked: string[] = [];
  const started: Pebble[] = [];
  const clients: OutboundClient[] = [];
  /** What authorities said. */
  const answers: string[] = [];
  /** What is made of what they say. */
  let change: (answer: Answer) => Answer;

  beforeAll(async () => {
    port80 = createServer((request, response) => {
      const path = request.url ?? '';
      asked.push(path);
      const answer = shown.get(path.replace('/.well-known/acme-challenge/', ''));
      response.writeHead(answer === undefined ? 404 : 200).end(answer);
    });
    port80.listen(0, '127.0.0.1');
    await once(port80, 'listening');
    httpPort = (port80.address() as AddressInfo).port;
  });
  beforeEach(() => {
    asked.length = 0;
    answers.length = 0;
    change = (answer) => answer;
  });
  afterEach(async () => {
    for (const one of clients.splice(0)) await one.close();
    for (const one of started.splice(0)) await one.close();
  });
  afterAll(() => port80.close());

  async function pebble(options: Omit<Parameters<typeof startPebble>[0], 'httpPort'> = {}): Promise<Pebble> {
    const one = await startPebble({ httpPort, ...options });
    started.push(one);
    return one;
  }

  function open(one: Pebble, key = newKey(), email = 'admin@example.com'): Promise<AcmeAccount> {
    const http = buildOutboundClient({ ca: one.ca });
    clients.push(http);
    const heard: OutboundClient = {
      ...http,
      send: async (request) => {
        const answer = change(await http.send(request));
        answers.push(answer.body);
        return answer;
      },
    };
    return openAccount({ directory: one.directory, key, email, http: heard, clock });
  }

  function order(account: AcmeAccount, options: Partial<OrderOptions> = {}) {
    return orderCertificate({
      account,
      names: ['localhost', '127.0.0.1'],
      challenges,
      clock,
      wait,
      ...options,
    });
  }

  it('comes with its key and its chain, for all names, though every third nonce is refused', async () => {
    const one = await pebble({ refusedNonces: 33 });
    const issued = await order(await open(one));
    const certificate = new X509Certificate(issued.certificatePem);
    expect(certificate.subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1');
    expect(issued.certificatePem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(asked.filter((path) => path.startsWith('/.well-known/acme-challenge/')).length).toBeGreaterThan(1);
    expect(shown.size, 'a token is of no use afterwards').toBe(0);
    expect(answers.join('\n')).toContain('urn:ietf:params:acme:error:badNonce');
  });

  it('comes without a new proof of names that the authority remembers', async () => {
    const one = await pebble({ reusedProofs: 100 });
    const account = await open(one);
    await order(account);
    asked.length = 0;
    const again = await order(account);
    expect(new X509Certificate(again.certificatePem).subjectAltName).toContain('localhost');
    expect(asked).toEqual([]);
  });

  it('has a new key each time', async () => {
    const account = await open(await pebble());
    const [first, second] = [await order(account), await order(account)];
    expect(first.keyPem.expose()).not.toBe(second.keyPem.expose());
  });

  it('comes from the account there is already, with its new address', async () => {
    const one = await pebble();
    const key = newKey();
    await open(one, key);
    await order(await open(one, key, 'other@example.com'));
    expect(answers.join('\n')).toContain('"mailto:other@example.com"');
  });

  it('does not come for a name that answers otherwise, and the reason is told', async () => {
    const account = await open(await pebble());
    const silent = { show: async () => undefined, hide: () => undefined };
    await expect(order(account, { challenges: silent })).rejects.toMatchObject({
      code: 'certificate-refused',
      detail: expect.stringMatching(/^(localhost|127\.0\.0\.1): unauthorized \(.*404/),
    });
  });

  it('does not come when no node could be told the answer', async () => {
    const account = await open(await pebble());
    const away = {
      show: () => Promise.reject(new Error('no node is connected')),
      hide: () => undefined,
    };
    await expect(order(account, { challenges: away })).rejects.toThrow('no node is connected');
  });

  it('does not come when what it got is for another key, or nothing', async () => {
    const account = await open(await pebble());
    const elsewhere = createThrowAwayAuthority(Date.now()).issueServerCertificate();
    const ownChain = /^-----BEGIN CERTIFICATE/;
    change = (answer) =>
      ownChain.test(answer.body) ? { ...answer, body: elsewhere.certificatePem } : answer;
    await expect(order(account)).rejects.toMatchObject({ detail: 'its certificate is for another key' });
    change = (answer) => (ownChain.test(answer.body) ? { ...answer, body: 'once upon a time' } : answer);
    await expect(order(account)).rejects.toMatchObject({ detail: 'a chain of 0 certificates' });
  });

  it('does not come from an authority that sends us to another server', async () => {
    const one = await pebble();
    change = ({ body, ...answer }) => ({
      ...answer,
      body: body.replace(/localhost:\d+/g, '169.254.169.254'),
    });
    await expect(open(one)).rejects.toMatchObject({
      code: 'certificate-refused',
      detail: expect.stringContaining('it sends us to 169.254.169.254'),
    });
  });

  it('is asked for later when the authority says so', async () => {
    const one = await pebble();
    change = (answer) => ({ ...answer, status: 429, headers: { 'retry-after': '120' } });
    await expect(open(one)).rejects.toMatchObject({ data: { retryAfterMs: 120_000 } });
  });

  it('is given up when the authority settles nothing in ten minutes', async () => {
    const account = await open(await pebble());
    let passed = 0;
    const silent = { show: async () => undefined, hide: () => undefined };
    change = ({ body, ...answer }) => ({
      ...answer,
      body: body.replace(/"status": *"invalid"/g, '"status": "pending"'),
    });
    const waits: number[] = [];
    const given = order(account, {
      challenges: silent,
      clock: { now: () => 0, monotonic: () => passed },
      wait: async (ms) => {
        waits.push(ms);
        passed += ms;
      },
    });
    await expect(given).rejects.toMatchObject({ detail: 'nothing was settled within 10 minutes' });
    expect(waits.slice(0, 3)).toEqual([500, 1000, 2000]);
    expect(waits.at(-1)).toBe(30_000);
  });

  it('does not come from an authority that refuses every nonce, and asks it a bounded number of times', async () => {
    const one = await pebble({ refusedNonces: 100 });
    await expect(open(one)).rejects.toMatchObject({
      code: 'certificate-refused',
      detail: expect.stringContaining('badNonce'),
    });
    expect(answers.filter((answer) => answer.includes('badNonce'))).toHaveLength(10);
  });
});

describe('a certificate signing request', () => {
  it('is read by OpenSSL, which finds its names and that its signature is good', () => {
    const request = buildCertificateRequest(['files.example.com', '192.0.2.7', '2001:db8::7'], newKey());
    const read = execFileSync('openssl', ['req', '-inform', 'DER', '-verify', '-noout', '-text'], {
      input: request,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    expect(read).toContain('DNS:files.example.com, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7');
    expect(read).toMatch(/Version: 1 \(0x0\)/);
  });
});
