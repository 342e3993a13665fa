import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuditReader } from '#main-agent/audit/audit-reader.ts';
import { syslogMessageBytesMax } from '#main-agent/notify/limits.ts';
import { formatSyslogMessage, frameSyslogMessage } from '#main-agent/notify/syslog-message.ts';
import { buildSyslog } from '#main-agent/notify/syslog.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { systemClock } from '#shared/clock.ts';
import { basicConstraints, buildCertificate } from '#shared/identity/certificate.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { waitUntil } from '#test/harness/product.ts';
import { buildRsyslog, type Rsyslog } from '#test/harness/rsyslog.ts';

/** Tries again at once. */
vi.mock(import('#main-agent/audit/limits.ts'), async (original) => ({
  ...(await original()),
  readerRetryMsMin: 20 as 1_000,
  readerRetryMsMax: 20 as 300_000,
}));

/** A reset on the loopback is there at once. */
vi.mock(import('#main-agent/notify/limits.ts'), async (original) => ({
  ...(await original()),
  syslogResetMs: 100 as 500,
}));
/** Well over that. */
const hangsMs = 1_000;

const log = buildLog('silent', {});
const origin = { main: 'main1', hostname: 'box' };
const plain: AuditRecord = { time: '2026-11-24T08:00:00.000Z', event: 'login.refused', outcome: 'refused' };

describe('a message to a collector', () => {
  it('has facility, severity, time, host, program, event and number in their fields, and the record as JSON', () => {
    const text = formatSyslogMessage(origin, {
      sequence: 7,
      record: { ...plain, user: 'zoë\n<1>', assertion: 'eyJ-signed' },
    });
    expect(text).toBe(
      '<108>1 2026-11-24T08:00:00.000Z box sallyport - login.refused [meta sequenceId="7"] ' +
        String.raw`{"main":"main1","sequence":7,"time":"2026-11-24T08:00:00.000Z","event":"login.refused","outcome":"refused","user":"zo\u00eb\n<1>"}`,
    );
    expect(frameSyslogMessage('<1>1')).toBe('4 <1>1');
  });

  it.each([
    ['ok', 110],
    ['cut', 109],
    ['partial', 109],
    ['refused', 108],
    ['failed', 107],
  ] as const)('of something %s has the priority %i', (outcome, priority) => {
    expect(formatSyslogMessage(origin, { sequence: 1, record: { ...plain, outcome } })).toMatch(
      new RegExp(`^<${priority}>1 `),
    );
  });

  it('counts its number from 1 again where the field ends', () => {
    const numberOf = (sequence: number): string | undefined =>
      /sequenceId="(\d+)"/.exec(formatSyslogMessage(origin, { sequence, record: plain }))?.[1];
    expect([2_147_483_647, 2_147_483_648].map(numberOf)).toEqual(['2147483647', '1']);
  });

  it('is whole up to what every receiver takes; beyond it its texts are cut and it says so', () => {
    const withDetail = (length: number): string =>
      formatSyslogMessage(origin, { sequence: 1, record: { ...plain, detail: 'x'.repeat(length) } });
    const room = syslogMessageBytesMax - withDetail(1).length + 1;
    expect(withDetail(room - 1)).toHaveLength(syslogMessageBytesMax - 1);
    expect(withDetail(room)).toHaveLength(syslogMessageBytesMax);
    expect(withDetail(room)).not.toContain('shortened');
    expect(withDetail(room + 1)).toContain(`"detail":"${'x'.repeat(512)}","shortened":true`);
    const wide = '\u202e'.repeat(4096);
    const record = { ...plain, path: wide, toPath: wide, detail: wide, user: wide };
    const text = formatSyslogMessage(origin, { sequence: 1, record });
    expect(text.length).toBeLessThanOrEqual(syslogMessageBytesMax);
    expect(JSON.parse(text.slice(text.indexOf('{')))).toMatchObject({ shortened: true });
  });
});

describe('the audit at a collector', () => {
  let folder: string;
  let state: StateStore;
  let rsyslog: Rsyslog;
  const readers: AuditReader[] = [];
  const authority = createThrowAwayAuthority(Date.now());
  const write = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const openState = (): Promise<StateStore> =>
    openSqliteState({ file: join(folder, 'state.db'), clock: systemClock, log });

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-syslog-'));
    state = await openState();
    rsyslog = buildRsyslog(join(folder, 'rsyslog'), collectorFiles());
  });
  afterEach(async () => {
    for (const reader of readers.splice(0)) await reader.close();
    await rsyslog.end('SIGTERM');
    await state.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function collectorFiles() {
    const server = authority.issueServerCertificate();
    return {
      ca: write('ca.pem', authority.certificatePem),
      certificate: write('collector.pem', server.certificatePem),
      key: write('collector.key', server.privateKeyPem.expose()),
    };
  }

  async function start(changed: Partial<Parameters<typeof buildSyslog>[1]> = {}): Promise<AuditReader> {
    const where = { host: '127.0.0.1', port: rsyslog.port, ca: join(folder, 'ca.pem'), events: ['*'] };
    const settings = { ...where, ...changed };
    const reader = buildSyslog(`syslog://127.0.0.1:${settings.port}`, settings, {
      main: 'main1',
      state,
      credentials: undefined,
      clock: systemClock,
      log,
    });
    readers.push(reader);
    await reader.start();
    return reader;
  }
  async function happen(from: number, to: number): Promise<void> {
    for (let next = from; next <= to; next += 100) {
      const details = Array.from({ length: Math.min(100, to - next + 1) }, (_, n) => String(next + n));
      await state.commit(details.map((detail) => ({ kind: 'audit', record: { ...plain, detail } }) as const));
    }
  }
  const collected = (): number[] =>
    rsyslog.lines().map((line) => Number(JSON.parse(line.slice(line.indexOf('{'))).detail));
  const until = (holds: () => boolean): Promise<void> => waitUntil(holds, 30_000);
  /** What is there once each, in the order it came first. */
  const firsts = (): number[] => [...new Set(collected())];
  const numbers = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, n) => from + n);

  it('is what happens from the first start on, in order, each in the fields of the standard', async () => {
    await rsyslog.start();
    await happen(1, 3);
    const reader = await start();
    await happen(4, 6);
    await until(() => reader.position() === 6);
    expect(collected()).toEqual([4, 5, 6]);
    expect(rsyslog.lines()[0]).toMatch(
      new RegExp(
        String.raw`^13 4 2026-11-24T08:00:00\.000Z ${hostname()} sallyport login\.refused \[meta sequenceId="4"\] ?\{"main":"main1","sequence":4,`,
      ),
    );
  });

  it.each([
    ['SIGTERM', 'gtls'],
    ['SIGKILL', 'gtls'],
    ['SIGTERM', 'ossl'],
    ['SIGKILL', 'ossl'],
  ] as const)(
    'has no hole and keeps its order when the collector is ended again and again (%s, %s) while records come',
    async (signal, driver) => {
      rsyslog = buildRsyslog(join(folder, driver), collectorFiles(), driver);
      await rsyslog.start();
      const reader = await start();
      const rounds = 3;
      const perRound = 1_500;
      const whileAway = 100;
      for (let round = 0; round < rounds; round += 1) {
        const before = rsyslog.lines().length;
        const end = (round + 1) * perRound - whileAway;
        const going = happen(round * perRound + 1, end);
        // In the middle of a load: some of it is written, and not all of the round.
        await until(() => rsyslog.lines().length > before);
        await rsyslog.end(signal);
        await going;
        await happen(end + 1, end + whileAway);
        await until(() => reader.problem() !== undefined);
        await rsyslog.start();
      }
      await until(() => reader.position() === rounds * perRound);
      expect(reader.problem()).toBeUndefined();
      expect(firsts()).toEqual(numbers(1, rounds * perRound));
    },
  );

  it('is all there when the collector was away over a restart of main', async () => {
    const first = await start();
    await happen(1, 2);
    await until(() => first.problem() !== undefined);
    await first.close();
    await state.close();
    state = await openState();
    await happen(3, 4);
    await rsyslog.start();
    const second = await start();
    await until(() => second.position() === 4);
    expect(collected()).toEqual([1, 2, 3, 4]);
  });

  it.each([
    ['closed without reading', (tcp: Socket) => void tcp.destroy()],
    [
      'hung, and was then killed',
      (tcp: Socket) => {
        tcp.pause();
        setTimeout(() => tcp.destroy(), hangsMs);
      },
    ],
  ])('comes again to a collector that %s', async (_title, fail) => {
    const { certificatePem: cert, privateKeyPem } = authority.issueServerCertificate();
    // With this version nothing of a load is on its way before the collector said its last word of the handshake.
    const secureContext = createSecureContext({ cert, key: privateKeyPem.expose(), maxVersion: 'TLSv1.2' });
    let connections = 0;
    let read = '';
    const played = createServer((tcp) => {
      connections += 1;
      const isBad = connections < 3;
      const between = new Duplex({
        read: () => undefined,
        write: (piece: Buffer, _encoding, done) => void tcp.write(piece, () => done()),
        final: (done) => void tcp.end(done),
      });
      tcp.on('data', (piece: Buffer) => between.push(piece)).on('error', () => undefined);
      const tls = new TLSSocket(between, { isServer: true, secureContext });
      tls.on('error', () => undefined);
      tls.once('secure', () => isBad && fail(tcp));
      tls.on('data', (piece: Buffer) => (read += piece.toString())).on('end', () => tls.end());
    });
    played.listen(0, '127.0.0.1');
    await once(played, 'listening');
    const reader = await start({ port: (played.address() as AddressInfo).port });
    // More than a paused socket of Node's reads ahead, so that some of it stays unread.
    const record = { ...plain, detail: 'x'.repeat(7_000) };
    await state.commit(numbers(1, 40).map(() => ({ kind: 'audit', record }) as const));
    await until(() => reader.position() === 40);
    played.close();
    expect(connections).toBe(3);
    expect([...read.matchAll(/"sequence":(\d+)/g)].map(([, number]) => Number(number))).toEqual(
      numbers(1, 40),
    );
  });

  it('goes to nobody whose certificate is not from the authority that is named', async () => {
    await rsyslog.start();
    const other = write('other.pem', createThrowAwayAuthority(Date.now()).certificatePem);
    const reader = await start({ ca: other });
    await happen(1, 1);
    await until(() => reader.problem() !== undefined);
    expect(reader.problem()).toMatch(/^syslog 127\.0\.0\.1:\d+: .*certificate/);
    expect(rsyslog.lines()).toEqual([]);
  });

  it('shows a collector that asks for it who we are; without the certificate nothing counts as there', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const certificatePem = buildCertificate({
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + 3_600_000),
      subject: 'main1',
      issuer: 'main1',
      publicKey: pair.publicKey,
      signingKey: pair.privateKey,
      extensions: [basicConstraints(false)],
    });
    rsyslog = buildRsyslog(join(folder, 'asking'), {
      ...collectorFiles(),
      clientFingerprint: `SHA1:${new X509Certificate(certificatePem).fingerprint}`,
    });
    await rsyslog.start();
    const stranger = await start();
    await happen(1, 1);
    await until(() => stranger.problem() !== undefined);
    expect([stranger.position(), rsyslog.lines()]).toEqual([0, []]);
    await stranger.close();
    const known = await start({
      certificate: write('main.pem', certificatePem),
      key: write('main.key', pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
    });
    await until(() => known.position() === 1);
    expect(collected()).toEqual([1]);
  });

  it('has no more than the events it asked for', async () => {
    await rsyslog.start();
    const reader = await start({ events: ['file.*'] });
    await happen(1, 1);
    await state.commit([{ kind: 'audit', record: { ...plain, event: 'file.upload', detail: '2' } }]);
    await until(() => reader.position() === 2);
    expect(collected()).toEqual([2]);
  });
});
