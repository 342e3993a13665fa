import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const why = { actor: 'socket:eva', reason: 'was broken into' };

function makeKeys() {
  const identity = generateIdentityKey();
  const signing = createPublicKey(parseIdentityKey(generateIdentityKey().privateKeyPem).privateKey);
  return {
    identity: identity.fingerprint,
    signingKey: signing.export({ format: 'jwk' }).x ?? '',
    kid: fingerprintOf(signing),
  };
}

const first = makeKeys();
const second = makeKeys();
const node = { name: 'dmz1', address: { host: '10.0.1.5', port: 8444 }, ...first };

function setUp() {
  let nowMs = 1_000_000;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const state = buildMemoryState();
  const open = async (configured = [node]): Promise<KnownNodes> => {
    const known = new KnownNodes({ configured, state, clock });
    await known.start();
    return known;
  };
  return { open, state, pass: (ms: number) => void (nowMs += ms) };
}

describe('nodes that main trusts', () => {
  it('a revoked one has no key that is good, also after a restart, until it is taken back', async () => {
    const { open, state } = setUp();
    const known = await open();
    expect(known.trusted()).toHaveLength(1);
    await known.revoke('dmz1', why);
    for (const one of [known, await open()]) {
      expect(one.trusted()).toEqual([]);
      expect(one.identitiesOf('dmz1')).toEqual([]);
      expect(one.signingKeysOf('dmz1')).toEqual([]);
      expect(one.findSigningKey(first.kid)?.status).toBe('revoked');
    }
    expect(state.audit).toMatchObject([{ event: 'node.revoked', node: 'dmz1', actor: 'socket:eva' }]);
    expect(state.audit[0]).not.toHaveProperty('rule');
    await expect(known.revoke('dmz1', why)).rejects.toMatchObject({ code: 'conflict' });
    await expect(known.revoke('dmz9', why)).rejects.toMatchObject({ code: 'not-found' });
    await expect(known.unrevoke('dmz9', why)).rejects.toMatchObject({ code: 'not-found' });
    await known.unrevoke('dmz1', why);
    expect(state.audit.at(-1)).toMatchObject({ event: 'node.unrevoked', node: 'dmz1', actor: 'socket:eva' });
    for (const one of [known, await open()]) {
      expect(one.trusted()).toHaveLength(1);
      expect(one.identitiesOf('dmz1')).toEqual([first.identity]);
      expect(one.findSigningKey(first.kid)?.status).toBe('active');
    }
    await expect(known.unrevoke('dmz1', why)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('are known by their signing keys, each by its own', async () => {
    const other = { ...node, name: 'dmz2', ...second };
    const known = await setUp().open([node, other]);
    const kidsOf = (name: string) => known.signingKeysOf(name).map(fingerprintOf);
    expect([kidsOf('dmz1'), kidsOf('dmz2'), kidsOf('dmz9')]).toEqual([[first.kid], [second.kid], []]);
    expect(known.findSigningKey(second.kid)).toMatchObject({ node: 'dmz2', status: 'active' });
    expect(known.findSigningKey(makeKeys().kid)).toBeUndefined();
  });

  it('one paired anew with other keys is not the one that was revoked', async () => {
    const { open } = setUp();
    await (await open()).revoke('dmz1', why);
    expect((await open([{ ...node, ...second }])).trusted()).toHaveLength(1);
  });

  it('rotated keys are good at once, the old ones for the overlap only, over a restart', async () => {
    const { open, pass, state } = setUp();
    const known = await open();
    const line = {
      name: 'dmz1',
      identity: second.identity,
      signing_key: second.signingKey,
      signedBy: first.identity,
    };
    await expect(known.rotate({ ...line, signedBy: second.identity }, 60_000, why)).rejects.toMatchObject({
      code: 'not-allowed',
    });
    await known.rotate(line, 60_000, why);
    expect(state.audit).toMatchObject([
      { event: 'node.rotated', node: 'dmz1', rule: `${first.identity} -> ${second.identity}` },
    ]);
    pass(59_999);
    expect(known.identitiesOf('dmz1')).toEqual([second.identity, first.identity]);
    expect(known.findSigningKey(first.kid)?.status).toBe('active');
    pass(1);
    for (const one of [known, await open()]) {
      expect(one.identitiesOf('dmz1')).toEqual([second.identity]);
      expect(one.findSigningKey(first.kid)?.status).toBe('retired');
      expect(one.findSigningKey(second.kid)?.status).toBe('active');
    }
    // Whoever still has the old key can't rotate with it.
    await expect(known.rotate(line, 60_000, why)).rejects.toMatchObject({ code: 'not-allowed' });
  });

  it('rotated keys that are in the configuration are good without the state, and the overlap goes on with it', async () => {
    const { open, pass } = setUp();
    const known = await open();
    const { identity, signingKey: signing_key } = second;
    await known.rotate({ name: 'dmz1', identity, signing_key, signedBy: first.identity }, 60_000, why);
    const written = [{ ...node, ...second }];
    // A state from a backup of before.
    expect((await setUp().open(written)).identitiesOf('dmz1')).toEqual([second.identity]);
    expect((await open(written)).identitiesOf('dmz1')).toEqual([second.identity, first.identity]);
    pass(60_000);
    expect((await open(written)).identitiesOf('dmz1')).toEqual([second.identity]);
  });

  it('a revoked one stays so when its rotated keys come into the configuration', async () => {
    const { open } = setUp();
    const known = await open();
    const { identity, signingKey: signing_key } = second;
    await known.rotate({ name: 'dmz1', identity, signing_key, signedBy: first.identity }, 60_000, why);
    await known.revoke('dmz1', why);
    expect((await open([{ ...node, ...second }])).trusted()).toEqual([]);
    expect((await open([{ ...node, ...makeKeys() }])).trusted()).toHaveLength(1);
  });

  it('are those of another configuration after a reload, and none that is revoked is trusted meanwhile', async () => {
    const { open } = setUp();
    const known = await open();
    await known.revoke('dmz1', why);
    const other = { ...node, name: 'dmz2', ...second };
    known.configure([node, other]);
    expect(known.trusted()).toEqual([other]);
    expect(known.findSigningKey(first.kid)?.status).toBe('revoked');
    known.configure([other]);
    expect(known.list()).toEqual([other]);
    expect(known.findSigningKey(first.kid)).toBeUndefined();
    // Gone and come back, it is what it was.
    known.configure([node, other]);
    expect(known.trusted()).toEqual([other]);
    await known.unrevoke('dmz1', why);
    known.configure([other]);
    known.configure([node]);
    expect(known.trusted()).toEqual([node]);
  });
});
