import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { HashQueue } from '#main-agent/login/hash-queue.ts';
import { hashesWaitingMax, hashesWaitingPerSourceMax } from '#main-agent/login/limits.ts';
import { Passwords } from '#main-agent/login/password.ts';
import { Secret } from '#shared/secret.ts';
import { cheapHash, refusal, settle } from './rig.ts';

const source = { node: 'dmz1', clientIp: '203.0.113.9', known: false };
const passwords = new Passwords({ random: randomBytes, minimumLength: 12, placeOf: () => 0 });

describe('passwords', () => {
  it('are stored as argon2id of 19 MiB in two passes, each with its own salt', async () => {
    const password = new Secret('correct horse battery');
    const first = await passwords.hash(password, 'alice');
    const second = await passwords.hash(password, 'alice');
    expect(first.expose()).toMatch(
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

describe('turns at the hash', () => {
  /** Work that ends when told; `started` lists who got a turn, in order. */
  function play(atOnce: number) {
    const queue = new HashQueue(atOnce);
    const started: string[] = [];
    const finish: (() => void)[] = [];
    const ask = (name: string, clientIp: string, node = 'dmz1', known = false) =>
      queue.run({ node, clientIp, known }, () => {
        started.push(name);
        return new Promise<void>((resolve) => void finish.push(resolve));
      });
    return { ask, started, finish };
  }

  it('two at once, the rest wait', async () => {
    const { ask, started, finish } = play(2);
    const all = ['1', '2', '3'].map((name) => ask(name, 'a'));
    await settle();
    expect(started).toEqual(['1', '2']);
    finish.shift()?.();
    await settle();
    expect(started).toEqual(['1', '2', '3']);
    for (const end of finish) end();
    await settle();
    await Promise.all(all);
  });

  it('S-09: a flood from one address or node delays itself, and who was here before goes first', async () => {
    const { ask, started, finish } = play(1);
    const all = [
      ask('first', 'flood'),
      ...['f1', 'f2', 'f3'].map((name) => ask(name, 'flood')),
      ask('other', 'other'),
      ask('other node', 'flood', 'dmz2'),
      ask('known', 'home', 'dmz1', true),
    ];
    for (let turns = 0; turns < 7; turns += 1) {
      await settle();
      finish.shift()?.();
    }
    await Promise.all(all);
    expect(started).toEqual(['first', 'known', 'f1', 'other node', 'other', 'f2', 'f3']);
  });

  it('S-09: so many wait for one source, and so many in all; half is kept for who was here before', async () => {
    const { ask, finish } = play(1);
    const all = [ask('running', 'a')];
    for (let waiting = 0; waiting < hashesWaitingPerSourceMax; waiting += 1) all.push(ask('w', 'a'));
    expect((await refusal(ask('one more', 'a'))).code).toBe('busy');
    for (let waiting = hashesWaitingPerSourceMax; waiting < hashesWaitingMax / 2; waiting += 1)
      all.push(ask('w', `source ${waiting}`));
    expect((await refusal(ask('stranger', 'new'))).code).toBe('busy');
    all.push(ask('known', 'home', 'dmz1', true));
    while (all.length > 0) {
      await settle();
      for (const end of finish.splice(0)) end();
      if (finish.length === 0) await settle();
      if (finish.length === 0) break;
    }
    await Promise.all(all);
  });

  it('failed work gives its place on', async () => {
    const queue = new HashQueue(1);
    const turn = { node: 'dmz1', clientIp: 'a', known: false };
    await expect(queue.run(turn, () => Promise.reject(new Error('no memory')))).rejects.toThrow('no memory');
    expect(await queue.run(turn, async () => 1)).toBe(1);
  });
});
