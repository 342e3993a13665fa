import { createPublicKey } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KnownNodes } from '#main-agent/link/known-nodes.ts';
import type { DmzNode, LinkState } from '#main-agent/link/links.ts';
import { buildNodeAdmin } from '#main-agent/link/node-admin.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { formatRotationLine } from '#shared/pairing/rotation-line.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const why = { actor: 'socket:eva', reason: 'was broken into' };
const overlapMs = 60_000;

function makeKeys() {
  const key = parseIdentityKey(generateIdentityKey().privateKeyPem);
  const signing = createPublicKey(parseIdentityKey(generateIdentityKey().privateKeyPem).privateKey);
  return {
    key,
    identity: key.fingerprint,
    signingKey: signing.export({ format: 'jwk' }).x ?? '',
  };
}

const keys = makeKeys();
const next = makeKeys();
const lineOf = (name: string, to = next, by = keys): string =>
  formatRotationLine({ name, identity: to.identity, signing_key: to.signingKey }, by.key);

const up: LinkState = {
  node: 'dmz1',
  worker: 1,
  up: true,
  sinceMs: 5,
  epoch: 3,
  lanes: 2,
  skewMs: 4,
  rttMs: 6,
  software: 'sallyport 1',
  validatedLogins: true,
  wantsHostKeys: true,
  configHash: 'abc',
  lastError: undefined,
};
const down: LinkState = {
  ...up,
  worker: 0,
  up: false,
  lanes: 0,
  skewMs: undefined,
  rttMs: undefined,
  software: undefined,
  configHash: undefined,
  lastError: 'The node can not be reached',
};

const configured = ['dmz1', 'dmz2'].map((name, index) => ({
  name,
  address: { host: `10.0.1.${index + 5}`, port: 8444 },
  identity: keys.identity,
  signingKey: keys.signingKey,
}));

describe('what admins do to nodes', () => {
  let nowMs: number;
  let states: LinkState[];
  /** What was done to links and sessions, in order. */
  let done: string[];
  let state: ReturnType<typeof buildMemoryState>;
  let known: KnownNodes;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    nowMs = 1_000_000;
    states = [];
    done = [];
    state = buildMemoryState();
  });
  afterEach(() => vi.useRealTimers());

  const pass = (ms: number): void => {
    nowMs += ms;
    vi.advanceTimersByTime(ms);
  };

  /** As main has it after a start. */
  async function build() {
    const clock = { now: () => nowMs, monotonic: () => nowMs };
    known = new KnownNodes({ configured, state, clock });
    await known.start();
    return buildNodeAdmin({
      known,
      links: {
        states: () => states,
        closeNode: (node: string, reason: string) => done.push(`close ${node}: ${reason}`) > 0,
        addNode: (node: DmzNode) => void done.push(`add ${node.name}`),
      },
      endNode: async (node, reason) => {
        done.push(`end ${node}: ${reason}`);
        return 7;
      },
      clock,
      log: buildLog('silent', {}),
    });
  }

  it('are shown each node with its own links, and nothing that is not known', async () => {
    const nodes = await build();
    states = [down, up, { ...down, node: 'dmz2' }];
    expect(nodes.list()).toStrictEqual([
      {
        name: 'dmz1',
        address: '10.0.1.5:8444',
        state: 'up',
        identity: keys.identity,
        signingKey: keys.signingKey,
        links: [
          { worker: 0, up: false, sinceMs: 5, epoch: 3, lanes: 0, problem: 'The node can not be reached' },
          {
            worker: 1,
            up: true,
            sinceMs: 5,
            epoch: 3,
            lanes: 2,
            software: 'sallyport 1',
            clockSkewMs: 4,
            rttMs: 6,
            configHash: 'abc',
          },
        ],
      },
      expect.objectContaining({
        name: 'dmz2',
        state: 'down',
        links: [expect.objectContaining({ up: false })],
      }),
    ]);
  });

  it('end the links and the sessions of a node they revoke, and are told how many; it is dialled again when they take it back', async () => {
    const nodes = await build();
    states = [up];
    expect(await nodes.revoke('dmz1', why)).toBe(7);
    expect(done).toEqual(['close dmz1: revoked', 'end dmz1: the node is revoked']);
    expect(nodes.list()[0]).toMatchObject({
      state: 'revoked',
      revoked: { atMs: nowMs, by: why.actor, reason: why.reason },
    });
    await nodes.unrevoke('dmz1', why);
    expect(done.slice(2)).toEqual(['add dmz1']);
    expect(nodes.list()[0]).toMatchObject({ state: 'up' });
    expect(nodes.list()[0]).not.toHaveProperty('revoked');
  });

  it('find what a revoked node had open ended by the next start, should a crash have come between', async () => {
    await (await build()).revoke('dmz2', why);
    done.length = 0;
    await (await build()).start();
    expect(done).toEqual(['end dmz2: the node is revoked']);
  });

  it('give a node new keys, shown with the old one for as long as that is good; then its links are made anew', async () => {
    const nodes = await build();
    expect(await nodes.rotate(lineOf('dmz1'), overlapMs, why)).toEqual({
      name: 'dmz1',
      identity: next.identity,
    });
    expect(nodes.list()).toMatchObject([
      {
        identity: next.identity,
        signingKey: next.signingKey,
        rotation: { oldIdentity: keys.identity, untilMs: nowMs + overlapMs },
      },
      { identity: keys.identity, signingKey: keys.signingKey },
    ]);
    expect(nodes.list()[1]).not.toHaveProperty('rotation');
    pass(overlapMs - 1);
    expect(done).toEqual([]);
    pass(1);
    expect(done).toEqual(['add dmz1']);
    expect(nodes.list()[0]).not.toHaveProperty('rotation');
  });

  it('may give it others meanwhile: its links are made anew when the last overlap is over, once', async () => {
    const nodes = await build();
    await nodes.rotate(lineOf('dmz1'), overlapMs, why);
    pass(overlapMs / 2);
    await nodes.rotate(lineOf('dmz1', makeKeys(), next), overlapMs, why);
    pass(overlapMs - 1);
    expect(done).toEqual([]);
    pass(overlapMs);
    expect(done).toEqual(['add dmz1']);
  });

  it('need not give it again for the end of the overlap after a restart', async () => {
    const before = await build();
    await before.rotate(lineOf('dmz1'), overlapMs, why);
    before.close();
    pass(overlapMs / 2);
    const nodes = await build();
    await nodes.start();
    pass(overlapMs / 2 - 1);
    expect(done).toEqual([]);
    pass(1);
    expect(done).toEqual(['add dmz1']);
  });

  it('may have a node leave the configuration, or revoke it, before its overlap ends: it is not dialled then', async () => {
    const nodes = await build();
    for (const name of ['dmz1', 'dmz2']) await nodes.rotate(lineOf(name), overlapMs, why);
    await nodes.revoke('dmz2', why);
    known.configure(configured.slice(1));
    done.length = 0;
    pass(overlapMs);
    expect(done).toEqual([]);
  });

  it('may have it come back within the overlap, whose end is as it was', async () => {
    const nodes = await build();
    await nodes.rotate(lineOf('dmz1'), overlapMs, why);
    for (const now of [[], configured]) {
      known.configure(now);
      nodes.watchOverlaps();
    }
    pass(overlapMs - 1);
    expect(done).toEqual([]);
    pass(1);
    expect(done).toEqual(['add dmz1']);
  });

  it('see nothing dialled any more once main has closed', async () => {
    const nodes = await build();
    await nodes.rotate(lineOf('dmz1'), overlapMs, why);
    nodes.close();
    pass(2 * overlapMs);
    expect(done).toEqual([]);
  });
});
