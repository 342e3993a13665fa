import { type createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { HostKeys } from '#main-agent/host-keys/host-keys.ts';
import { retiredForMs } from '#main-agent/host-keys/limits.ts';
import { sealOwn } from '#main-agent/vault/calls.ts';
import { hostKeysMax } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { generatePrivateKeyFile, parsePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { playVault } from '#test/harness/played-vault.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import { SallyportError } from '#shared/error.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';

const why = { actor: 'root', reason: 'as a test' };

describe('host keys at main', () => {
  let state: MemoryState;
  let nowMs: number;
  let changed: string[];
  const sealer = sealOwn(playVault().ask);
  let log: Log;
  let lines: readonly string[];
  beforeEach(() => {
    state = buildMemoryState();
    nowMs = 1_795_500_000_000;
    changed = [];
    ({ log, lines } = buildRecordedLog());
  });

  async function open(
    nodes: Readonly<Record<string, 'main' | 'local'>> = { dmz1: 'main' },
    by = sealer,
  ): Promise<HostKeys> {
    const named = Object.entries(nodes).map(([name, hostKey]) => ({ name, hostKey }));
    const keys = new HostKeys(named, {
      state,
      sealer: by,
      onChange: (node) => void changed.push(node),
      clock: { now: () => nowMs, monotonic: () => nowMs },
      log,
    });
    await keys.start();
    return keys;
  }
  /** Damages what is stored of those. */
  async function spoil(...standings: string[]): Promise<void> {
    for (const record of await state.read('kept-host-key'))
      if (standings.includes(record.standing))
        await state.commit([
          {
            kind: 'keep-record',
            list: 'host-key',
            record: { ...record, sealed: `${record.sealed.slice(0, -8)}AAAAAAAA` },
          },
        ]);
  }
  const look = (keys: HostKeys, node = 'dmz1') =>
    keys.list(node).map(({ standing, publicKey }) => [standing, publicKey.fingerprint]);
  const standings = (keys: HostKeys, node = 'dmz1') => keys.list(node).map(({ standing }) => standing);

  it('are made for each node that has none itself, one that signs and the next one, and are the same after a restart', async () => {
    const keys = await open({ dmz1: 'main', dmz2: 'local' });
    expect(standings(keys)).toEqual(['signs', 'next']);
    expect(look(keys, 'dmz2')).toEqual([]);
    expect(look(await open())).toEqual(look(keys));
    const stored = JSON.stringify(await state.read('kept-host-key'));
    expect(stored).toContain('sealed:v1:');
    expect(stored).not.toContain('PRIVATE KEY');
  });

  it('that the vault key does not open hold up nothing: they are told, and no client is shown another one by itself', async () => {
    const nodes = { dmz1: 'main', dmz2: 'main' } as const;
    const before = await open(nodes);
    const other = await open(nodes, sealOwn(playVault().ask));
    expect([standings(other), standings(other, 'dmz2')]).toEqual([[], []]);
    expect(other.problems()).toHaveLength(4);
    expect(lines.filter((line) => line.includes('host-key-lost'))).toHaveLength(4);
    const again = await open(nodes);
    expect(again.problems()).toEqual([]);
    expect(look(again)).toEqual(look(before));
  });

  it.each([
    ['signs', 'the announced one takes its place', ['next']],
    ['next', 'another one is announced', ['signs']],
  ] as const)(
    'of which the one that is “%s” is damaged: %s when an admin says so',
    async (standing, _what, kept) => {
      const before = await open({ dmz1: 'main', dmz2: 'main' });
      await before.share('dmz2', 'dmz1', why);
      const left = look(before).find(([one]) => one === kept[0]);
      await spoil(standing);
      const keys = await open({ dmz1: 'main', dmz2: 'main' });
      expect([standings(keys), keys.problems().length]).toEqual([kept, 1]);
      await keys.rotate('dmz1', why);
      expect([standings(keys), keys.problems()]).toEqual([['signs', 'next'], []]);
      expect(look(keys)[0]).toEqual(['signs', left?.[1]]);
      const after = await open({ dmz1: 'main', dmz2: 'main' });
      expect([look(after, 'dmz2'), after.problems()]).toEqual([look(keys), []]);
      expect(await state.read('kept-host-key')).toHaveLength(2);
    },
  );

  it('that are all damaged are replaced by new ones, or by what is imported', async () => {
    await open();
    await spoil('signs', 'next');
    const keys = await open({ dmz1: 'local' });
    await keys.rotate('dmz1', why);
    expect([standings(keys), keys.problems()]).toEqual([['signs', 'next'], []]);
    await spoil('signs', 'next');
    const again = await open();
    await again.import('dmz1', [generatePrivateKeyFile('x').file], why);
    expect([standings(again), again.problems()]).toEqual([['signs', 'next'], []]);
    expect(look(await open())).toEqual(look(again));
  });

  it('are waited for while the vault is away', async () => {
    await open();
    const busy = new SallyportError('busy', 'Away');
    const away = { seal: () => Promise.reject(busy), open: () => Promise.reject(busy) };
    await expect(open({ dmz1: 'main' }, away)).rejects.toBe(busy);
  });

  it('rotated: the announced one signs, a third is announced, the first stays as long as a session may live', async () => {
    const keys = await open();
    const [first, next] = look(keys);
    await keys.rotate('dmz1', why);
    expect(changed.at(-1)).toBe('dmz1');
    expect(standings(keys)).toEqual(['signs', 'next', 'retired']);
    const [signs, , retired] = look(keys);
    expect([signs?.[1], retired?.[1]]).toEqual([next?.[1], first?.[1]]);
    nowMs += retiredForMs - 1;
    expect(standings(await open())).toContain('retired');
    nowMs += 1;
    expect(standings(keys)).toEqual(['signs', 'next']);
    expect(keys.find('dmz1', keys.list('dmz1')[0]?.publicKey.blob ?? Buffer.alloc(0))).toBeDefined();
    await keys.rotate('dmz1', why);
    expect(await state.read('kept-host-key')).toHaveLength(3);
    const events = (await state.read('audit-after', { sequence: 0, limit: 100 })).map(
      ({ record }) => record.event,
    );
    expect(events).toEqual(['hostkeys.made', 'hostkeys.rotated', 'hostkeys.rotated']);
  });

  it('S-09: rotated again and again are never more than a node can be told', async () => {
    const keys = await open();
    for (let times = 0; times < 2 * hostKeysMax; times += 1) await keys.rotate('dmz1', why);
    expect(standings(keys)).toHaveLength(hostKeysMax);
    expect(standings(keys).slice(0, 3)).toEqual(['signs', 'next', 'retired']);
    expect(await state.read('kept-host-key')).toHaveLength(hostKeysMax);
  });

  it('imported sign in place of those of their kind, of three kinds side by side, and come out as they went in', async () => {
    const keys = await open({ dmz1: 'local' });
    const ed25519 = generatePrivateKeyFile('dmz1').file;
    const pem = (key: ReturnType<typeof createPrivateKey>) =>
      new Secret(key.export({ type: 'pkcs8', format: 'pem' }).toString());
    const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey);
    const ecdsa = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    await keys.import('dmz1', [ed25519, rsa, ecdsa], why);
    expect(keys.list('dmz1').map(({ standing, publicKey }) => [standing, publicKey.type])).toEqual([
      ['signs', 'ssh-ed25519'],
      ['signs', 'ssh-rsa'],
      ['signs', 'ecdsa-sha2-nistp256'],
      ['next', 'ssh-ed25519'],
    ]);
    const [file, rsaFile, ecdsaFile] = await (await open({ dmz1: 'main' })).export('dmz1', why);
    const fingerprint = (one: Secret) => parsePrivateKeyFile(one).publicKey.fingerprint;
    expect(fingerprint(file ?? new Secret(''))).toBe(fingerprint(ed25519));
    expect(rsaFile?.expose()).toBe(rsa.expose());
    expect(ecdsaFile?.expose()).toBe(ecdsa.expose());
    await keys.import('dmz1', [generatePrivateKeyFile('x').file], why);
    expect(standings(keys)).toEqual(['signs', 'signs', 'signs', 'next', 'retired']);
  });

  it('that are none, are too weak or too large, come twice or are another node’s are refused', async () => {
    const keys = await open({ dmz1: 'main', dmz2: 'main' });
    const file = generatePrivateKeyFile('x').file;
    const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const large = generateKeyPairSync('rsa', { modulusLength: 4104 }).privateKey;
    const tries: [string, Secret[], string][] = [
      ['dmz1', [new Secret('no key')], 'bad-request'],
      ['dmz1', [new Secret(weak.export({ type: 'pkcs8', format: 'pem' }).toString())], 'bad-request'],
      ['dmz1', [new Secret(large.export({ type: 'pkcs8', format: 'pem' }).toString())], 'bad-request'],
      ['dmz1', [file, generatePrivateKeyFile('y').file], 'bad-request'],
      ['dmz3', [file], 'not-found'],
    ];
    for (const [node, files, code] of tries)
      await expect(keys.import(node, files, why)).rejects.toMatchObject({ code });
    await keys.import('dmz1', [file], why);
    await expect(keys.import('dmz2', [file], why)).rejects.toMatchObject({ code: 'conflict' });
    await expect(keys.export('dmz3', why)).rejects.toMatchObject({ code: 'not-found' });
    await expect(keys.rotate('dmz3', why)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('shared are rotated for both nodes at once', async () => {
    const keys = await open({ dmz1: 'main', dmz2: 'main' });
    await keys.share('dmz2', 'dmz1', why);
    expect(look(keys, 'dmz2')).toEqual(look(keys, 'dmz1'));
    changed = [];
    await keys.rotate('dmz2', why);
    expect(changed.toSorted()).toEqual(['dmz1', 'dmz2']);
    expect(look(await open({ dmz1: 'main', dmz2: 'main' }), 'dmz2')).toEqual(look(keys, 'dmz1'));
    // Its own are gone.
    expect(await state.read('kept-host-key')).toHaveLength(3);
    await expect(keys.share('dmz2', 'dmz1', why)).rejects.toMatchObject({ code: 'conflict' });
  });
});
