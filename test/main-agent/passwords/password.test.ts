import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Passwords } from '#main-agent/passwords/password.ts';
import { systemClock } from '#shared/clock.ts';
import { Secret } from '#shared/secret.ts';
import { cheapHash, refusal } from '../login/rig.ts';

const source = { node: 'dmz1', clientIp: '203.0.113.9', known: false };
const passwords = new Passwords({
  random: randomBytes,
  minimumLength: 12,
  clock: systemClock,
  placeOf: () => 0,
});

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
