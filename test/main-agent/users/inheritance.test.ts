import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { orderGroups } from '#main-agent/users/group-order.ts';
import { buildEffectiveUser, type Layer } from '#main-agent/users/inheritance.ts';
import { findOrigins } from '#main-agent/users/origins.ts';
import { buildUserSchemas } from '#main-agent/users/user-schema.ts';

const schemas = buildUserSchemas(['local']);

/** A file as people write it: any part of some fields of each kind (scalar, list, section, things that null takes away). */
const protocols = fc.uniqueArray(fc.constantFrom('https', 'sftp'), { maxLength: 2 });
const networks = fc.uniqueArray(fc.constantFrom('10.0.0.0/8', '192.0.2.1', '::/0'), { maxLength: 3 });
const file = fc.record(
  {
    email: fc.constantFrom(null, 'a@example.com', 'b@example.com'),
    status: fc.constantFrom('active', 'disabled'),
    expires: fc.constantFrom(null, '2027-12-31'),
    protocols,
    '+protocols': protocols,
    allow_from: fc.option(networks),
    '+allow_from': networks,
    two_factor: fc.record(
      {
        required_on: protocols,
        '+required_on': protocols,
        registration: fc.boolean(),
        required_from: fc.constantFrom(null, '14d', '2027-01-15'),
      },
      { requiredKeys: [] },
    ),
    quota: fc.constantFrom('none', '1KiB', '2KiB'),
    limits: fc.record({ sessions: fc.constantFrom(1, 2, 'none') }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);
type File = typeof file extends fc.Arbitrary<infer T> ? T : never;

function build(files: readonly File[]) {
  const layers = files.map((fields): Layer => ({ fields: schemas.group.parse(fields), group: '' }));
  return buildEffectiveUser({
    username: 'alice',
    groups: [],
    layers,
    defaultUploads: 'atomic',
    defaultBinMs: undefined,
    forceDisabled: false,
  });
}

/** The stated rule of scalars: the last file that says anything. */
function last<T>(files: readonly File[], pick: (one: File) => T | undefined): T | undefined {
  return files.map(pick).findLast((value) => value !== undefined);
}

/** The stated rule of lists: from the last replacement on, everything that is appended. */
function gather<T>(
  files: readonly File[],
  replaced: (one: File) => readonly T[] | null | undefined,
  appended: (one: File) => readonly T[] | undefined,
): readonly T[] {
  const from = files.findLastIndex((one) => replaced(one) !== undefined);
  const start = from === -1 ? [] : (replaced(files[from] ?? {}) ?? []);
  return [...start, ...files.slice(Math.max(from, 0)).flatMap((one) => appended(one) ?? [])];
}

describe('inheritance', () => {
  test('a mount’s retention rule is read with its unit; a day is the least, and an unknown word is refused', () => {
    const retentionOf = (retention: object) =>
      schemas.group.parse({ files: [{ path: '/', root: 'x', allow: [], retention }] }).files?.[0]?.retention;
    const dayMs = 24 * 3_600_000;
    expect(retentionOf({ delete_after: '30d' })).toEqual({
      afterMs: 30 * dayMs,
      only: undefined,
      except: [],
      emptyFolders: false,
    });
    expect(
      retentionOf({ delete_after: 'never', only: ['*.pdf'], except: ['x'], empty_folders: 'delete' }),
    ).toEqual({ afterMs: undefined, only: ['*.pdf'], except: ['x'], emptyFolders: true });
    for (const wrong of [
      {},
      { delete_after: '23h' },
      { delete_after: 30 },
      { delete_after: '30d', only: ['a/b'] },
      { delete_after: '30d', of: 'mtime' },
    ])
      expect(() => retentionOf(wrong)).toThrow(/retention/);
  });

  test('a mount’s bin is as its file says, else as the default says; off is off', () => {
    const weekMs = 7 * 86_400_000;
    const binOf = (defaultBinMs: number | undefined, more: object) =>
      buildEffectiveUser({
        username: 'alice',
        groups: [],
        layers: [
          {
            fields: schemas.group.parse({ files: [{ path: '/', root: 'x', allow: [], ...more }] }),
            group: '',
          },
        ],
        defaultUploads: 'atomic',
        defaultBinMs,
        forceDisabled: false,
      }).mounts[0]?.bin;
    expect(binOf(weekMs, {})).toEqual({ keepMs: weekMs, isCounted: true, sftp: false });
    expect(binOf(undefined, {})).toBeUndefined();
    expect(binOf(weekMs, { bin: 'off' })).toBeUndefined();
    expect(binOf(undefined, { bin: '30d', bin_quota: 'free', bin_sftp: true })).toEqual({
      keepMs: 30 * 86_400_000,
      isCounted: false,
      sftp: true,
    });
    for (const wrong of ['59s', '366d', '0', 'none'])
      expect(() => binOf(weekMs, { bin: wrong })).toThrow(/bin/);
  });

  test('follows the stated rule of each field, whatever the files say', () => {
    fc.assert(
      fc.property(fc.array(file, { maxLength: 5 }), (files) => {
        const user = build(files);
        expect(user.email).toBe(last(files, (one) => one.email) ?? undefined);
        expect(user.status).toBe(last(files, (one) => one.status) ?? 'active');
        expect(user.expires).toBe(last(files, (one) => one.expires) ?? undefined);
        expect(user.twoFactor.registration).toBe(last(files, (one) => one.two_factor?.registration) ?? false);
        const quota = last(files, (one) => one.quota);
        expect(user.quotaBytes).toBe({ none: undefined, '1KiB': 1_024, '2KiB': 2_048 }[quota ?? 'none']);
        const sessions = last(files, (one) => one.limits?.sessions);
        expect(user.limits.sessions).toBe(sessions === 'none' ? undefined : sessions);
        expect(user.twoFactor.requiredOn).toEqual([
          ...new Set(
            gather(
              files,
              (one) => one.two_factor?.required_on,
              (one) => one.two_factor?.['+required_on'],
            ),
          ),
        ]);
        const defaults: File = { protocols: ['https', 'sftp'] };
        expect(user.protocols).toEqual([
          ...new Set(
            gather(
              [defaults, ...files],
              (one) => one.protocols,
              (one) => one['+protocols'],
            ),
          ),
        ]);
      }),
    );
  });

  test('of places: absent is anywhere, null is anywhere again, [] is nowhere', () => {
    expect(build([]).allowFrom).toBeUndefined();
    expect(build([{ allow_from: [] }]).allowFrom).toEqual([]);
    expect(build([{ allow_from: ['10.0.0.0/8'] }, { allow_from: null }]).allowFrom).toBeUndefined();
    expect(build([{ allow_from: ['10.0.0.0/8'] }, { '+allow_from': ['::/0'] }]).allowFrom).toHaveLength(2);
    expect(build([{ '+allow_from': ['::/0'] }]).allowFrom).toEqual(['::/0']);
    expect(build([{ '+allow_from': [] }]).allowFrom).toEqual([]);
  });

  test('has the same version for the same outcome, and another for another', () => {
    fc.assert(
      fc.property(fc.array(file, { maxLength: 4 }), fc.array(file, { maxLength: 4 }), (some, others) => {
        const [one, two] = [build(some), build(others)];
        const { version: first, ...left } = one;
        const { version: second, ...right } = two;
        expect(first === second).toBe(JSON.stringify(left) === JSON.stringify(right));
      }),
    );
  });

  test('origins name the very file that decided', () => {
    fc.assert(
      fc.property(fc.array(file, { minLength: 1, maxLength: 5 }), (files) => {
        const origins = findOrigins(
          files.map((fields, at) => ({ file: String(at), text: stringify(fields) })),
        );
        const decided = (key: string) => origins.find((origin) => origin.key === key);
        expect(decided('email')?.value).toEqual(last(files, (one) => one.email));
        expect(decided('two_factor.registration')?.value).toBe(
          last(files, (one) => one.two_factor?.registration),
        );
        const status = files.findLastIndex((one) => one.status !== undefined);
        expect(decided('status')?.file).toBe(status === -1 ? undefined : String(status));
      }),
    );
  });
});

describe('groups of groups', () => {
  const groups: Readonly<Record<string, readonly string[]>> = {
    a: ['b', 'c'],
    b: ['d'],
    c: ['d'],
    d: [],
    loop: ['pool'],
    pool: ['loop'],
  };
  const order = (...listed: string[]) => orderGroups(listed, (name) => groups[name]);

  test('come before the group that lists them, each once', () => {
    expect(order('a', 'd')).toEqual({ ok: true, order: ['d', 'b', 'c', 'a'] });
    expect(order()).toEqual({ ok: true, order: [] });
  });

  test('that are unknown or contain each other are refused by name', () => {
    expect(order('a', 'x')).toEqual({ ok: false, why: 'unknown group `x`' });
    expect(order('loop')).toEqual({ ok: false, why: 'groups that contain each other: loop → pool → loop' });
  });

  test('may be nested 16 deep and 64 in all, and no further', () => {
    const chain = (depth: number) =>
      orderGroups(['0'], (name) => (Number(name) + 1 < depth ? [String(Number(name) + 1)] : []));
    expect(chain(16).ok).toBe(true);
    expect(chain(17)).toMatchObject({ ok: false, why: expect.stringContaining('16') });
    const wide = (count: number) =>
      orderGroups(
        Array.from({ length: count }, (_, i) => String(i)),
        () => [],
      );
    expect(wide(64).ok).toBe(true);
    expect(wide(65)).toMatchObject({ ok: false, why: expect.stringContaining('64') });
  });
});
