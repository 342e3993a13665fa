import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Certificates } from '#main-agent/acme/certificates.ts';
import type { IssuedCertificate } from '#main-agent/acme/order.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { sealOwn, type OwnSealer } from '#main-agent/vault/calls.ts';
import { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { playVault } from '#test/harness/played-vault.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';
import { startPebble, type Pebble } from '#test/harness/pebble.ts';

const minuteMs = 60_000;
const yearMs = 365 * 24 * 60 * minuteMs;

describe('the certificate of the HTTPS doors', () => {
  const shown = new Map<string, string>();
  let port80: Server;
  let pebble: Pebble;
  let http: OutboundClient;

  let state: MemoryState;
  let sealer: OwnSealer;
  let nowMs: number;
  /** By the monotonic clock. */
  let upMs: number;
  let isReachable: boolean;
  let told: IssuedCertificate[];
  /** Whether the names answer as they should, and how often they were to. */
  let proof: { isGiven: boolean; orders: number };
  const started: Certificates[] = [];

  beforeAll(async () => {
    port80 = createServer((request, response) => {
      const answer = shown.get((request.url ?? '').replace('/.well-known/acme-challenge/', ''));
      response.writeHead(answer === undefined ? 404 : 200).end(answer);
    });
    port80.listen(0, '127.0.0.1');
    await once(port80, 'listening');
    pebble = await startPebble({ httpPort: (port80.address() as AddressInfo).port, refusedNonces: 20 });
    http = buildOutboundClient({ ca: pebble.ca });
  });
  afterAll(async () => {
    await http.close();
    await pebble.close();
    port80.close();
  });
  beforeEach(() => {
    state = buildMemoryState();
    sealer = sealOwn(playVault().ask);
    nowMs = Date.now();
    upMs = 0;
    isReachable = true;
    told = [];
    proof = { isGiven: true, orders: 0 };
  });
  afterEach(async () => {
    for (const one of started.splice(0)) await one.close();
  });

  async function start(names: readonly string[] = ['localhost']): Promise<Certificates> {
    const certificates = new Certificates({
      directory: pebble.directory,
      email: 'admin@example.com',
      names,
      http,
      challenges: {
        show: async (token, keyAuthorization) => {
          proof.orders += 1;
          if (proof.isGiven) shown.set(token, keyAuthorization);
        },
        hide: (token) => shown.delete(token),
      },
      isReachable: () => isReachable,
      state,
      sealer,
      onCertificate: (certificate) => told.push(certificate),
      clock: { now: () => nowMs, monotonic: () => upMs },
      log: buildLog('silent', {}),
    });
    started.push(certificates);
    await certificates.start();
    return certificates;
  }

  async function keptIds(): Promise<readonly string[]> {
    return (await state.read('kept-acme')).map(({ id }) => id);
  }

  it('is ordered when there is none, told, and there after a restart', async () => {
    const first = await start();
    expect(first.current).toBeUndefined();
    await first.look();
    expect(first.problem()).toBeUndefined();
    expect(told).toHaveLength(1);
    await first.close();
    const second = await start();
    expect(second.current?.certificatePem).toBe(told[0]?.certificatePem);
    expect(second.current?.keyPem.expose()).toBe(told[0]?.keyPem.expose());
    await second.look();
    expect(told, 'what is good is not ordered again').toHaveLength(1);
    expect(await keptIds()).toEqual([`account ${pebble.directory.href}`, 'certificate']);
  });

  it('lies in the state under the vault key alone', async () => {
    const certificates = await start();
    await certificates.look();
    const stored = JSON.stringify(await state.read('kept-acme'));
    expect(stored).not.toContain('BEGIN');
    expect(stored).not.toContain(Buffer.from('PRIVATE KEY').toString('base64url').slice(0, 10));
    sealer = sealOwn(playVault().ask);
    await expect(start()).rejects.toMatchObject({ code: 'internal' });
  });

  it('that was issued while the vault is away for a moment is kept, and not ordered again', async () => {
    const vault = sealer;
    let isAway = true;
    sealer = {
      open: (id, sealed) => vault.open(id, sealed),
      seal: async (id, plain) => {
        if (id !== 'certificate' || !isAway) return vault.seal(id, plain);
        isAway = false;
        throw new SallyportError('busy', 'away');
      },
    };
    const certificates = await start();
    await certificates.look();
    expect(certificates.problem()).toBeUndefined();
    expect(told).toHaveLength(1);
    expect(await keptIds()).toContain('certificate');
  });

  it('is renewed when two thirds of its life are over, and not before', async () => {
    const certificates = await start();
    await certificates.look();
    const { validFromDate, validToDate } = new X509Certificate(told[0]?.certificatePem ?? '');
    const dueMs = validFromDate.getTime() + ((validToDate.getTime() - validFromDate.getTime()) * 2) / 3;
    nowMs = Math.floor(dueMs) - 1000;
    await certificates.look();
    expect(told).toHaveLength(1);
    nowMs = Math.ceil(dueMs);
    await certificates.look();
    expect(told).toHaveLength(2);
    expect(told[1]?.keyPem.expose()).not.toBe(told[0]?.keyPem.expose());
  });

  it('is ordered anew when other names are configured', async () => {
    await (await start()).look();
    await (await start(['localhost', '127.0.0.1'])).look();
    expect(new X509Certificate(told[1]?.certificatePem ?? '').subjectAltName).toContain('127.0.0.1');
  });

  it('stays when its renewal fails, which is told until one goes well', async () => {
    const certificates = await start();
    await certificates.look();
    nowMs += 10 * yearMs;
    proof.isGiven = false;
    await certificates.look();
    expect(certificates.current?.certificatePem).toBe(told[0]?.certificatePem);
    expect(told).toHaveLength(1);
    expect(certificates.problem()).toMatch(
      /^no new certificate from localhost:\d+ \(the present one ends in -\d+ days\): localhost: unauthorized/,
    );
    expect(state.audit.map(({ event }) => event)).toEqual(['certificate.issued', 'certificate.failed']);
    // By hand it is tried again at once.
    await expect(certificates.renew()).rejects.toMatchObject({ code: 'certificate-refused' });
    expect(certificates.standing().failure).toMatchObject({ nextTryMs: nowMs + 10 * minuteMs });
    proof.isGiven = true;
    await certificates.renew();
    expect(certificates.problem()).toBeUndefined();
    expect(told).toHaveLength(2);
  });

  it('is tried again after five minutes, then ten, and so on', async () => {
    proof.isGiven = false;
    const failing = await start();
    const triedAt: number[] = [];
    for (let minute = 0; minute <= 35; minute += 1) {
      await failing.look();
      if (proof.orders > triedAt.length) triedAt.push(minute);
      upMs += minuteMs;
      // Set right meanwhile, by an hour and a half: nothing is ordered later for that.
      if (minute === 1) nowMs -= 90 * minuteMs;
    }
    expect(triedAt).toEqual([0, 5, 15, 35]);
    expect(failing.problem()).toContain('there is none yet');
  });

  it('is not ordered while no node could be asked', async () => {
    const certificates = await start();
    isReachable = false;
    await certificates.look();
    await expect(certificates.renew()).rejects.toMatchObject({ code: 'link-down' });
    expect(proof.orders).toBe(0);
    expect(certificates.problem()).toBeUndefined();
    isReachable = true;
    await certificates.look();
    expect(told).toHaveLength(1);
  });

  it('is ordered once, however often it is looked for', async () => {
    const certificates = await start();
    await Promise.all([certificates.look(), certificates.renew(), certificates.look()]);
    expect(told).toHaveLength(1);
  });

  it('lets main end in the midst of an order, which is no failure', async () => {
    const certificates = await start();
    const order = certificates.look();
    await certificates.close();
    await order;
    expect(certificates.problem()).toBeUndefined();
    expect(state.audit).toEqual([]);
  });
});
