import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { randomBytes } from 'node:crypto';
import { HashQueue } from '#main-agent/passwords/hash-queue.ts';
import { Passwords } from '#main-agent/passwords/password.ts';
import { countCosts, DecoyHashes } from '#main-agent/vault/process/decoy-hashes.ts';
import { Sealer } from '#main-agent/vault/process/sealing.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Protocol } from '#shared/login.ts';
import { Secret } from '#shared/secret.ts';
import { playedBook } from '#test/harness/played-vault.ts';
import {
  buildRig,
  buildUser,
  cheapHash,
  password as rightPassword,
  playSshKey,
  refusal,
  settle,
  withFactor,
  type Rig,
} from './rig.ts';

/** Before the first factor is right nobody learns whether a name exists, nor what stands against it. */

const wrong = 'wrong password';
/** Ends like `<password><code>`, which costs a second hash. */
const wrongWithDigits = 'wrong password 123456';
const rightWithDigits = 'birthday 19850101';

const kinds: Readonly<Record<string, Partial<EffectiveUser> | undefined>> = {
  'unknown user': undefined,
  'wrong password': {},
  'no password': { passwordHash: undefined },
  disabled: { status: 'disabled' },
  expired: { expires: '2020-01-01' },
  'outside allow_from': { allowFrom: [] },
  'no factor can be asked': withFactor({ requiredOn: ['https', 'sftp'] }),
  'password with code': withFactor({ requiredOn: ['sftp'], sftpPasswordWithCode: true }),
};

describe('before the first factor is right', () => {
  let rig: Rig;
  const key = playSshKey();
  const foreignKey = playSshKey();
  beforeEach(async () => {
    rig = await buildRig();
    for (const [name, change] of Object.entries(kinds)) {
      if (change === undefined) continue;
      const username = nameOf(name);
      const passwordHash = new Secret(cheapHash(rightWithDigits));
      await rig.change(username, {
        ...buildUser(username),
        passwordHash,
        sshKeys: [key.publicKey],
        ...change,
      });
    }
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rig.close();
  });
  const nameOf = (kind: string): string => kind.replaceAll(/\W/g, '-');

  /** What one try makes main do, and what it answers. */
  async function observe(work: () => Promise<unknown>): Promise<object> {
    const commits: string[][] = [];
    const hashes = vi.spyOn(Passwords.prototype, 'compare');
    const turns = vi.spyOn(HashQueue.prototype, 'run');
    const queries = vi.spyOn(rig.state, 'read');
    rig.state.beforeCommit = (changes) => void commits.push(changes.map((one) => one.kind));
    const { code, publicMessage, data, reference } = await refusal(work());
    rig.state.beforeCommit = undefined;
    const counts = {
      hashes: hashes.mock.calls.length,
      turns: turns.mock.calls.length,
      queries: queries.mock.calls.map(([query]) => query),
    };
    vi.restoreAllMocks();
    return { commits, ...counts, code, publicMessage, data, reference: reference?.replaceAll(/\w/g, 'x') };
  }

  for (const protocol of ['https', 'sftp'] as Protocol[])
    for (const password of [wrong, wrongWithDigits])
      it(`S-07: on ${protocol} every kind of user costs the same work and hears the same, with "${password}"`, async () => {
        const seen: object[] = [];
        for (const kind of Object.keys(kinds))
          seen.push(await observe(() => rig.begin(nameOf(kind), { protocol, password })));
        expect(seen[0]).toMatchObject({
          code: 'refused',
          hashes: protocol === 'sftp' && password === wrongWithDigits ? 2 : 1,
        });
        for (const one of seen) expect(one).toEqual(seen[0]);
      });

  it('S-07: the right password of a shut account costs and says what a wrong one does', async () => {
    for (const protocol of ['https', 'sftp'] as Protocol[]) {
      const reference = await observe(() => rig.begin('nobody', { protocol, password: rightWithDigits }));
      for (const kind of ['disabled', 'expired', 'outside allow_from'])
        expect(await observe(() => rig.begin(nameOf(kind), { protocol, password: rightWithDigits }))).toEqual(
          reference,
        );
    }
  });

  it('S-07: a key that is not the user’s costs and says the same for every kind of user', async () => {
    const seen: object[] = [];
    for (const kind of Object.keys(kinds))
      seen.push(
        await observe(() =>
          rig.begin(nameOf(kind), { protocol: 'sftp', factor: foreignKey.signRequest(nameOf(kind)) }),
        ),
      );
    for (const one of seen) expect(one).toEqual(seen[0]);
  });

  it('S-07: who looks at the time alone guesses no better than by tossing a coin', async () => {
    const rounds = 12;
    const perRound = 100;
    for (let number = 0; number < perRound; number += 1)
      rig.users.set(`known${number}`, buildUser(`known${number}`));
    const tries: { readonly known: boolean; readonly ms: number }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (let number = 0; number < perRound; number += 1) {
        // In pairs, and the order changes: what slows the machine down slows both.
        const pair = (round + number) % 2 === 0 ? [true, false] : [false, true];
        for (const known of pair) {
          const name = `${known ? 'known' : 'nobod'}${number}`;
          const startMs = performance.now();
          await refusal(rig.begin(name, { password: wrong }));
          tries.push({ known, ms: performance.now() - startMs });
        }
        // So that neither the users' counters nor the node's reach their limits.
        rig.advance(60_000);
      }
    }
    expect(tries).toHaveLength(2 * rounds * perRound);
    expect(bestGuess(tries)).toBeLessThan(0.6);
  }, 60_000);

  it('S-07: of a sealed login who looks at the time of its first answer alone can not tell a right password either', async () => {
    const sealed = await buildRig({ twoFactor: { validated_logins: 'sealed' } });
    try {
      const factor = withFactor({ requiredOn: ['https'] });
      await sealed.change('known', { ...buildUser('known'), ...factor });
      await sealed.enrol('known');
      const tries: { readonly known: boolean; readonly ms: number }[] = [];
      for (let pairs = 0; pairs < 600; pairs += 1) {
        for (const known of pairs % 2 === 0 ? [true, false] : [false, true]) {
          const startMs = performance.now();
          await sealed.begin('known', { password: known ? rightPassword : wrong });
          tries.push({ known, ms: performance.now() - startMs });
          // What main does after its answer is over before the next one.
          for (let turns = 0; turns < 5; turns += 1) await settle();
        }
        sealed.advance(15 * 60_000);
      }
      expect(bestGuess(tries)).toBeLessThan(0.6);
    } finally {
      sealed.close();
    }
  }, 60_000);

  /** Learns the best threshold on every other pair, and says how often it is right on the rest. */
  function bestGuess(tries: readonly { readonly known: boolean; readonly ms: number }[]): number {
    const half = (odd: number) => tries.filter((_, index) => (index >> 1) % 2 === odd);
    const rightOf = (sample: typeof tries, limitMs: number): number =>
      sample.filter((one) => one.ms > limitMs === one.known).length / sample.length;
    const training = half(0);
    const limits = training.map((one) => one.ms).toSorted((one, other) => one - other);
    const scored = limits.map((limitMs) => ({ limitMs, right: rightOf(training, limitMs) }));
    const best = scored.toSorted((one, other) => Math.abs(other.right - 0.5) - Math.abs(one.right - 0.5))[0];
    const right = rightOf(half(1), best?.limitMs ?? 0);
    return (best?.right ?? 0) >= 0.5 ? right : 1 - right;
  }
});

describe('hashes that are compared with where there are none', () => {
  const sealer = new Sealer(new Secret(randomBytes(32)), randomBytes);
  const placeOf = (name: string): number => sealer.placeOf(name);
  const hashWith = (cost: string): Secret =>
    new Secret(playedBook.note(`$argon2id$v=19$${cost}$c2FsdHNhbHRzYWx0$dGFndGFndGFndGFn`));
  const costOf = (hash: Secret): string => hash.expose().split('$')[3] ?? '';

  it('S-07: cost as users’ do, as often as theirs, and always the same for a name', () => {
    const decoys = new DecoyHashes({ random: randomBytes, placeOf, ownCost: 'm=19456,t=2,p=1' });
    const [own, imported] = ['m=19456,t=2,p=1', 'm=65536,t=3,p=4'];
    decoys.imitate(countCosts([hashWith(own), hashWith(own), hashWith(own), hashWith(imported)]));
    const names = Array.from({ length: 1_000 }, (_, index) => `nobody${index}`);
    const costs = names.map((name) => costOf(decoys.forName(name)));
    expect(new Set(costs)).toEqual(new Set([own, imported]));
    const share = costs.filter((cost) => cost === imported).length / costs.length;
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(0.3);
    expect(names.map((name) => costOf(decoys.forName(name)))).toEqual(costs);
  });

  it('S-07: which cost a name has can not be worked out without the key, and outlives a restart', () => {
    const costsWith = (key: Secret<Buffer>): string[] => {
      const places = new Sealer(key, randomBytes);
      const decoys = new DecoyHashes({
        random: randomBytes,
        placeOf: (name) => places.placeOf(name),
        ownCost: 'm=8,t=1,p=1',
      });
      decoys.imitate(countCosts([hashWith('m=8,t=1,p=1'), hashWith('m=16,t=1,p=1')]));
      return Array.from({ length: 200 }, (_, index) => costOf(decoys.forName(`nobody${index}`)));
    };
    const key = new Secret(randomBytes(32));
    const costs = costsWith(key);
    expect(costsWith(key)).toEqual(costs);
    const alike = costsWith(new Secret(randomBytes(32))).filter((cost, index) => cost === costs[index]);
    expect(alike.length / costs.length).toBeGreaterThan(0.3);
    expect(alike.length / costs.length).toBeLessThan(0.7);
  });

  it('S-07: a user more or less leaves nearly every name its cost', () => {
    const decoys = new DecoyHashes({ random: randomBytes, placeOf, ownCost: 'm=8,t=1,p=1' });
    const hashes = Array.from({ length: 100 }, (_, index) =>
      hashWith(index % 2 === 0 ? 'm=8,t=1,p=1' : 'm=16,t=1,p=1'),
    );
    const costs = (): string[] =>
      Array.from({ length: 1_000 }, (_, index) => costOf(decoys.forName(`nobody${index}`)));
    decoys.imitate(countCosts(hashes));
    const before = costs();
    decoys.imitate(countCosts(hashes.toReversed().slice(1)));
    const changed = costs().filter((cost, index) => cost !== before[index]);
    expect(changed.length).toBeLessThan(50);
  });

  it('cost what ours do while no user has a password', () => {
    const decoys = new DecoyHashes({ random: randomBytes, placeOf, ownCost: 'm=19456,t=2,p=1' });
    expect(costOf(decoys.forName('nobody'))).toBe('m=19456,t=2,p=1');
    decoys.imitate(countCosts([hashWith('m=8,t=1,p=1')]));
    expect(costOf(decoys.forName('nobody'))).toBe('m=8,t=1,p=1');
    decoys.imitate(countCosts([]));
    expect(costOf(decoys.forName('nobody'))).toBe('m=19456,t=2,p=1');
  });

  it('sixteen kinds of cost are told apart, and a seventeenth is left out', () => {
    const decoys = new DecoyHashes({ random: randomBytes, placeOf, ownCost: 'm=19456,t=2,p=1' });
    decoys.imitate(countCosts(Array.from({ length: 17 }, (_, index) => hashWith(`m=${8 + index},t=1,p=1`))));
    const costs = new Set(
      Array.from({ length: 2_000 }, (_, index) => costOf(decoys.forName(`nobody${index}`))),
    );
    expect(costs.size).toBe(16);
  });
});
