import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';

/** What a test says of a user; how it is written down is the source's own matter. */
export interface PlayedUser {
  readonly status?: EffectiveUser['status'];
  readonly email?: string;
  readonly protocols?: EffectiveUser['protocols'];
}

/** A source with a way to change what it holds, from outside and without its help. */
export interface PlayedSource {
  readonly source: UserSource;
  /** Resolves when the source has seen it. */
  put(username: string, user: PlayedUser): Promise<void>;
  remove(username: string): Promise<void>;
  /** Another one on the same users, as after a restart. */
  reopen(): Promise<UserSource>;
  dispose(): Promise<void>;
}

/**
 * What every UserSource must do. A second implementation runs these against itself:
 * `describeUserSource('postgres', async () => …)`.
 */
export function describeUserSource(name: string, open: () => Promise<PlayedSource>): void {
  describe(`${name} as a user source`, () => {
    let played: PlayedSource;
    let source: UserSource;
    let told: (readonly string[])[];
    let forget: () => void;

    beforeEach(async () => {
      played = await open();
      ({ source } = played);
      told = [];
      forget = source.onChange((names) => told.push([...names].toSorted()));
    });
    afterEach(() => played.dispose());

    it('finds a user by the exact name only', async () => {
      await played.put('alice', { email: 'alice@example.com' });
      expect(source.find('alice')).toMatchObject({ username: 'alice', email: 'alice@example.com' });
      for (const other of ['Alice', 'alice ', ' alice', '', 'alic', '__proto__', 'constructor', 'toString'])
        expect(source.find(other)).toBeUndefined();
    });

    it('resolves what a person typed to the user it means, and to nobody where it means two', async () => {
      await played.put('alice', {});
      for (const typed of ['alice', 'Alice', 'ALICE ', ' alice', 'ａｌｉｃｅ', 'ali\u200bce'])
        expect([typed, source.resolve(typed)?.username]).toEqual([typed, 'alice']);
      for (const typed of ['', ' ', 'alic', 'a lice', '__proto__', 'constructor'])
        expect([typed, source.resolve(typed)]).toEqual([typed, undefined]);
      await played.put('Alice', {});
      expect([source.resolve('alice')?.username, source.resolve('Alice')?.username]).toEqual([
        'alice',
        'Alice',
      ]);
      expect(source.resolve('ALICE')).toBeUndefined();
      expect(source.problems().map(({ message }) => message)).toContain(
        'users whose names differ only in case: alice, Alice',
      );
      await played.remove('Alice');
      expect(source.resolve('ALICE')?.username).toBe('alice');
      expect(source.problems()).toEqual([]);
    });

    it('fills in what nobody said: active, both doors, no factor, no files, no limits', async () => {
      await played.put('alice', {});
      expect(source.find('alice')).toMatchObject({
        displayName: 'alice',
        status: 'active',
        protocols: ['https', 'sftp'],
        email: undefined,
        expires: undefined,
        allowFrom: undefined,
        quotaBytes: undefined,
      });
      expect(source.find('alice')?.twoFactor.requiredOn).toEqual([]);
    });

    it('lists each user once', async () => {
      for (const one of ['carol', 'alice', 'bob']) await played.put(one, {});
      await played.put('alice', { status: 'disabled' });
      const names = [...source.list()].map(({ username }) => username);
      expect(names.toSorted()).toEqual(['alice', 'bob', 'carol']);
      expect([...source.list()].find(({ username }) => username === 'alice')).toBe(source.find('alice'));
    });

    it('tells who appeared, changed or vanished, when find already says so, and nobody else', async () => {
      const seen: unknown[] = [];
      source.onChange((names) => seen.push(...names.map((one) => source.find(one)?.status)));
      await played.put('alice', {});
      await played.put('bob', {});
      await played.put('alice', { status: 'disabled' });
      await played.remove('alice');
      expect(told).toEqual([['alice'], ['bob'], ['alice'], ['alice']]);
      expect(seen).toEqual(['active', 'active', 'disabled', undefined]);
      expect(source.find('bob')).toBeDefined();
    });

    it('gives a changed user another version, and an unchanged one the same', async () => {
      await played.put('alice', { email: 'alice@example.com' });
      await played.put('bob', {});
      const [alice, bob] = [source.find('alice')?.version, source.find('bob')?.version];
      await played.put('alice', { email: 'alice@example.org' });
      expect(source.find('alice')?.version).not.toBe(alice);
      expect(source.find('bob')?.version).toBe(bob);
    });

    it('never changes a user somebody holds', async () => {
      await played.put('alice', {});
      const held = source.find('alice');
      await played.put('alice', { status: 'disabled' });
      expect(held?.status).toBe('active');
      expect(source.find('alice')).not.toBe(held);
    });

    it('tells nobody who unsubscribed, and all others', async () => {
      const others: unknown[] = [];
      source.onChange((names) => others.push(names));
      forget();
      await played.put('alice', {});
      expect(told).toEqual([]);
      expect(others).toHaveLength(1);
    });

    it('has no problems when nothing is wrong, and the same users after a restart', async () => {
      await played.put('alice', { email: 'alice@example.com', protocols: ['sftp'] });
      await played.put('bob', {});
      await played.remove('bob');
      expect(source.problems()).toEqual([]);
      const again = await played.reopen();
      expect([...again.list()]).toEqual([...source.list()]);
      await again.close();
    });
  });
}
