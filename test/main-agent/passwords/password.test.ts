import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { findGuess } from '#main-agent/passwords/common-passwords.ts';
import { Passwords } from '#main-agent/passwords/password.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { countCosts, DecoyHashes } from '#main-agent/vault/process/decoy-hashes.ts';
import { systemClock } from '#shared/clock.ts';
import { Secret } from '#shared/secret.ts';
import { playedBook, playVault } from '#test/harness/played-vault.ts';
import { cheapHash, refusal } from '../login/rig.ts';

const source = { node: 'dmz1', clientIp: '203.0.113.9', known: false };
const passwords = new Passwords({
  ask: playVault().ask,
  minimumLength: 12,
  clock: systemClock,
});

describe('passwords', () => {
  it('are stored as argon2id of 19 MiB in two passes, each with its own salt', async () => {
    const password = new Secret('correct horse battery');
    const first = await passwords.hash(password, 'alice');
    const second = await passwords.hash(password, 'alice');
    expect(playedBook.find(first.expose())).toMatch(
      /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/,
    );
    expect(first.expose()).not.toBe(second.expose());
    expect(await passwords.verify(password, 'alice', first, source)).toBe(true);
    expect(await passwords.verify(new Secret('correct horse batterz'), 'alice', first, source)).toBe(false);
  });

  it('S-07: nothing to compare with is compared all the same, and is never right', async () => {
    expect(await passwords.verify(new Secret('anything at all'), 'alice', undefined, source)).toBe(false);
  });

  it('1,024 bytes are looked at, 1,025 are wrong', async () => {
    const longest = 'x'.repeat(1024);
    expect(await passwords.verify(new Secret(longest), 'alice', new Secret(cheapHash(longest)), source)).toBe(
      true,
    );
    const stored = new Secret(cheapHash(longest));
    expect(await passwords.verify(new Secret(`${longest}x`), 'alice', stored, source)).toBe(false);
  });

  it('S-07: a hash that no file has any more is as wrong as where there is none, and tells nothing else', async () => {
    const gone = new HashBook().note(playedBook.find(cheapHash('gone'))?.replace('Bw', 'Cw') ?? '');
    expect(await passwords.verify(new Secret('gone'), 'alice', new Secret(gone), source)).toBe(false);
  });

  it('a hash that is no argon2id PHC string is our mistake and says so', async () => {
    for (const stored of [
      '',
      'plain',
      '$2b$10$abcdefghijklmnopqrstuv',
      '$argon2id$v=19$m=9999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA',
    ])
      expect(
        (await refusal(passwords.verify(new Secret('x'), 'alice', new Secret(stored), source))).code,
      ).toBe('internal');
  });

  it('new ones need 12 characters, at most 1,024 bytes, and not to be what attackers try first', () => {
    const good = (text: string) => () => passwords.requireGood(new Secret(text), 'alice');
    expect(good('abcdefg hij')).toThrow('at least 12');
    expect(good('abcdefg hijk')).not.toThrow();
    expect(good(`${'xyz'.repeat(341)}x`)).not.toThrow();
    expect(good(`${'xyz'.repeat(341)}xy`)).toThrow('at most 1024');
    for (const text of ['Password1234', 'aaaaaaaaaaaa', 'abababababab', '123456789012', 'alicealice12'])
      expect(good(text), text).toThrow('attackers');
  });
});

describe('a new password', () => {
  it('is hashed if it is good, in a turn where somebody asks for it through a node', async () => {
    const good = new Secret('correct horse battery');
    expect((await refusal(passwords.hash(new Secret('short'), 'alice'))).code).toBe('too-weak');
    const turns = vi.spyOn(passwords.queue, 'run');
    await passwords.hash(good, 'alice');
    expect(turns).not.toHaveBeenCalled();
    await passwords.hash(good, 'alice', source);
    expect(turns).toHaveBeenCalledTimes(1);
    vi.restoreAllMocks();
  });

  it('is the user’s own name only where that is more than half of it, and more than three letters', () => {
    expect(findGuess('alicealice12', 'ALICE')).toBe('user-name');
    expect(findGuess('alice-12', 'alice')).toBe('user-name');
    expect(findGuess('alice-1234', 'alice')).toBeUndefined();
    expect(findGuess('alixalixalix1', 'alix')).toBe('user-name');
    expect(findGuess('aliali-aliali1', 'ali')).toBeUndefined();
    expect(findGuess('QwertyUiop12', 'alice')).toBe('common');
    expect(findGuess('abcabcabcabc', 'alice')).toBeUndefined();
    expect(findGuess('abababababab', 'alice')).toBe('common');
  });
});

const nameOf = (cost: string): Secret =>
  new Secret(playedBook.note(`$argon2id$v=19$${cost}$${'A'.repeat(22)}$${'A'.repeat(43)}`));

describe('what is compared with where there is nothing', () => {
  it('S-07: is the cost at the name’s place, the costs in their order, each as wide as its users', () => {
    const places: Record<string, number> = { first: 0, 'end of first': 0.249, second: 0.25, last: 0.999 };
    const decoys = new DecoyHashes({
      random: randomBytes,
      placeOf: (name) => places[name] ?? 0,
      ownCost: 'm=19456,t=2,p=1',
    });
    const costs = ['m=8,t=1,p=1', 'm=8,t=1,p=1', 'm=16,t=1,p=1', 'm=8,t=1,p=1'];
    decoys.imitate(countCosts(costs.map((cost) => nameOf(cost))));
    const costOf = (name: string): string => decoys.forName(name).expose().split('$')[3] ?? '';
    expect(Object.keys(places).map(costOf)).toEqual(['m=16,t=1,p=1', 'm=16,t=1,p=1', costs[0], costs[0]]);
    decoys.imitate(countCosts([nameOf('m=8,t=1,p=1')]));
    expect(costOf('first')).toBe('m=8,t=1,p=1');
    expect(decoys.forName('first').expose()).toMatch(/\$[\w+/]{22}\$[\w+/]{43}$/);
  });
});
