import { generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { hashExchange } from '#main-agent/host-keys/exchange.ts';
import { HostKeys } from '#main-agent/host-keys/host-keys.ts';
import { sessionIdLifeMs, sessionIdsMax, signatureRate } from '#main-agent/host-keys/limits.ts';
import { HostKeySignatures } from '#main-agent/host-keys/signatures.ts';
import { SignedSessions } from '#main-agent/host-keys/signed-sessions.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { sealOwn } from '#main-agent/vault/calls.ts';
import { sshServerVersion, type SshExchange } from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { hostKeyProof } from '#shared/ssh-key/sign.ts';
import { Rate } from '#shared/rate.ts';
import { WireReader } from '#shared/ssh-key/wire.ts';
import { playVault } from '#test/harness/played-vault.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const text = (octets: string | Buffer): string =>
  Buffer.from(octets as string, 'latin1').toString('base64url');
const who = (node = 'dmz1') => ({ node, processGone: new AbortController().signal });

describe('signatures of host keys', () => {
  let keys: HostKeys;
  let signatures: HostKeySignatures;
  let nowMs: number;
  let revoked: string[];
  let records: AuditRecord[];
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  beforeEach(async () => {
    nowMs = 1_795_500_000_000;
    [revoked, records] = [[], []];
    const nodes = { dmz1: 'main', dmz2: 'main', dmz3: 'local' } as const;
    keys = new HostKeys(
      Object.entries(nodes).map(([name, hostKey]) => ({ name, hostKey })),
      {
        state: buildMemoryState(),
        sealer: sealOwn(playVault().ask),
        onChange: () => undefined,
        clock,
        log: buildLog('silent', {}),
      },
    );
    await keys.start();
    signatures = new HostKeySignatures({
      keys,
      isRevoked: (node) => revoked.includes(node),
      audit: { append: async (record) => void records.push(record) },
      clock,
      log: buildLog('silent', {}),
    });
  });

  const exchangeOf = (node: string, standing = 'signs'): SshExchange => ({
    method: 'curve25519-sha256',
    clientVersion: text('SSH-2.0-client'),
    serverVersion: text(sshServerVersion),
    clientKexInit: text('\x14'),
    serverKexInit: text('\x14'),
    hostKey: text(keys.list(node).find((key) => key.standing === standing)?.publicKey.blob ?? ''),
    clientShare: randomBytes(32).toString('base64url'),
    serverShare: randomBytes(32).toString('base64url'),
    secret: randomBytes(32).toString('base64url'),
  });
  const sign = (exchange: SshExchange, asker = who(), isFirst = true) =>
    signatures.sign({ algorithm: 'ssh-ed25519', isFirst, exchange }, asker);
  const code = (asked: Promise<unknown>): Promise<string> =>
    asked.then(
      () => 'signed',
      (error: unknown) => String((error as { code?: unknown }).code),
    );
  const isSignatureOf = (node: string, signature: string, octets: Buffer): boolean => {
    const reader = new WireReader(Buffer.from(signature, 'base64url'));
    expect(reader.name()).toBe('ssh-ed25519');
    const key = keys.list(node)[0]?.publicKey.key;
    return key !== undefined && verify(null, octets, key, reader.string());
  };

  it('are over the hash of the exchange, and make its session one that keys may sign in with: of that process alone', async () => {
    const exchange = exchangeOf('dmz1');
    const asker = who();
    const { signature } = await sign(exchange, asker);
    const session = hashExchange(exchange);
    expect(isSignatureOf('dmz1', signature, session)).toBe(true);
    expect(signatures.isSessionOf(asker, session)).toBe(true);
    for (const other of [who(), who('dmz2')]) expect(signatures.isSessionOf(other, session)).toBe(false);
    expect(signatures.isSessionOf(asker, randomBytes(32))).toBe(false);
    // Of a node with keys of its own main knows no session.
    expect(signatures.isSessionOf(who('dmz3'), randomBytes(32))).toBe(true);
    nowMs += sessionIdLifeMs;
    expect(signatures.isSessionOf(asker, session)).toBe(false);
  });

  it('of renewed keys are no sessions, and a key that was rotated out signs only those', async () => {
    const before = exchangeOf('dmz1');
    const asker = who();
    await sign(before, asker, false);
    expect(signatures.isSessionOf(asker, hashExchange(before))).toBe(false);
    await keys.rotate('dmz1', { actor: 'root', reason: 'as a test' });
    expect(await code(sign(before, asker, true))).toBe('not-found');
    expect(await code(sign(before, asker, false))).toBe('signed');
    expect(await code(sign(exchangeOf('dmz1', 'next'), asker, false))).toBe('not-found');
  });

  it('S-04: are not given to another node, one that has its own, one that is revoked or unknown', async () => {
    expect(await code(sign(exchangeOf('dmz2')))).toBe('not-found');
    for (const node of ['dmz3', 'dmz9'])
      expect(await code(sign(exchangeOf('dmz1'), who(node)))).toBe('not-allowed');
    revoked.push('dmz1');
    expect(await code(sign(exchangeOf('dmz1')))).toBe('not-allowed');
  });

  it('S-09: come at a rate, each node at its own', async () => {
    const asker = who();
    for (let count = 0; count < signatureRate.burst; count += 1) await sign(exchangeOf('dmz1'), asker);
    await expect(sign(exchangeOf('dmz1'), asker)).rejects.toMatchObject({
      code: 'rate-limited',
      data: { retryAfterMs: 10 },
    });
    expect(await code(sign(exchangeOf('dmz2'), who('dmz2')))).toBe('signed');
    nowMs += 1000;
    for (let count = 0; count < signatureRate.perSecond; count += 1) await sign(exchangeOf('dmz1'), asker);
    expect(await code(sign(exchangeOf('dmz1'), asker))).toBe('rate-limited');
  });

  it('S-09: of RSA keys are made off the event loop, and not answered to a node that is revoked meanwhile', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey;
    const file = new Secret(rsa.export({ type: 'pkcs8', format: 'pem' }).toString());
    await keys.import('dmz1', [file], { actor: 'root', reason: 'as a test' });
    const blob =
      keys.list('dmz1').find(({ publicKey }) => publicKey.type === 'ssh-rsa')?.publicKey.blob ?? '';
    const asked = () =>
      signatures.sign(
        {
          algorithm: 'rsa-sha2-512',
          isFirst: true,
          exchange: { ...exchangeOf('dmz1'), hostKey: text(blob) },
        },
        who(),
      );
    let isSigned = false;
    const signing = asked().then(() => (isSigned = true));
    // What is done on the event loop is there before it turns.
    for (let times = 0; times < 100; times += 1) await Promise.resolve();
    expect(isSigned).toBe(false);
    await signing;
    const other = asked();
    revoked.push('dmz1');
    expect(await code(other)).toBe('not-allowed');
  });

  it('of the announced key prove it, in a session of this process alone', async () => {
    const exchange = exchangeOf('dmz1');
    const asker = who();
    await sign(exchange, asker);
    const session = hashExchange(exchange);
    const blobs = keys.list('dmz1').map(({ publicKey }) => publicKey.blob);
    const asked = { keys: blobs.map(text), rsaAlgorithm: 'rsa-sha2-512', sessionId: text(session) } as const;
    const { signatures: proofs } = await signatures.prove(asked, asker);
    expect(proofs).toHaveLength(2);
    expect(isSignatureOf('dmz1', proofs[0] ?? '', hostKeyProof(session, blobs[0] ?? Buffer.alloc(0)))).toBe(
      true,
    );
    expect(await code(signatures.prove(asked, who()))).toBe('not-found');
    const foreign = text(keys.list('dmz2')[0]?.publicKey.blob ?? '');
    expect(await code(signatures.prove({ ...asked, keys: [foreign] }, asker))).toBe('not-found');
  });

  it('are one record a node in the audit, and none where nothing was asked', async () => {
    const asker = who();
    await sign(exchangeOf('dmz1'), asker);
    await sign(exchangeOf('dmz1'), asker);
    await sign(exchangeOf('dmz1'), asker, false);
    await code(sign(exchangeOf('dmz2'), asker));
    await signatures.tell();
    expect(records.map(({ event, node, detail }) => [event, node, detail])).toEqual([
      ['hostkeys.signed', 'dmz1', '2 connections, 1 renewals of their keys, 0 proofs; 1 refused'],
    ]);
    await signatures.close();
    expect(records).toHaveLength(1);
  });
});

describe('the sessions that main signed', () => {
  it('are known for as long as they are good, also of a process that gets as many as it can', () => {
    let nowMs = 0;
    const sessions = new SignedSessions({ now: () => nowMs, monotonic: () => nowMs });
    const { processGone } = who();
    const first = Buffer.from('first');
    sessions.add(processGone, first);
    const rate = new Rate(signatureRate, nowMs);
    for (; nowMs < sessionIdLifeMs; nowMs += 1000)
      for (let count = 0; rate.take(nowMs); count += 1)
        sessions.add(processGone, Buffer.from(`session ${nowMs} ${count}`));
    nowMs = sessionIdLifeMs - 1;
    expect(sessions.has(processGone, first)).toBe(true);
    nowMs += 1;
    expect(sessions.has(processGone, first)).toBe(false);
  });

  it('S-09: are so many of a process, the oldest going first', () => {
    const sessions = new SignedSessions({ now: () => 0, monotonic: () => 0 });
    const { processGone } = who();
    const id = (number: number): Buffer => Buffer.from(`session ${number}`);
    for (let count = 0; count <= sessionIdsMax; count += 1) sessions.add(processGone, id(count));
    expect(sessions.has(processGone, id(0))).toBe(false);
    expect(sessions.has(processGone, id(1))).toBe(true);
    expect(sessions.has(processGone, id(sessionIdsMax))).toBe(true);
  });
});
