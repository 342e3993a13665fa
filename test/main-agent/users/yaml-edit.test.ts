import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { editYaml } from '#main-agent/users/yaml-edit.ts';

const text = `# Alice of Example Ltd.
username: alice   # never changes

groups: [ partners,night ]  # two
ssh_keys:
  # the laptop
  - ssh-ed25519 AAAA alice@laptop
two_factor: { required_on: [https], registration: true }  # flow
limits:
    sessions: 8   # odd indent
    upload: 50MiB/s

status: 'active'
quota:
# the end
`;

const edit = (path: string, value: unknown, source = text) =>
  editYaml(source, [{ path: path.split('.'), value }]);

function valueAt(data: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (map, key) => (typeof map === 'object' && map !== null ? Reflect.get(map, key) : undefined),
    data,
  );
}

/** Lines of the result that the source does not have, and the other way round. */
function difference(result: string): { readonly added: string[]; readonly gone: string[] } {
  const [before, after] = [text.split('\n'), result.split('\n')];
  return {
    added: after.filter((line) => !before.includes(line)),
    gone: before.filter((line) => !after.includes(line)),
  };
}

describe('an edit', () => {
  test.each<[string, unknown, string[], string[]]>([
    ['status', 'disabled', ['status: disabled'], ["status: 'active'"]],
    ['username', 'alicia', ['username: alicia   # never changes'], ['username: alice   # never changes']],
    ['quota', '20GiB', ['quota: 20GiB'], ['quota:']],
    ['limits.sessions', 9, ['    sessions: 9   # odd indent'], ['    sessions: 8   # odd indent']],
    ['limits.download', 'none', ['    download: none'], []],
    [
      'two_factor.required_on',
      ['https', 'sftp'],
      ['two_factor: { required_on: [https, sftp], registration: true }  # flow'],
      ['two_factor: { required_on: [https], registration: true }  # flow'],
    ],
    [
      'two_factor.force_setup',
      true,
      ['two_factor: { required_on: [https], registration: true, force_setup: true }  # flow'],
      ['two_factor: { required_on: [https], registration: true }  # flow'],
    ],
    ['groups', [], ['groups: []  # two'], ['groups: [ partners,night ]  # two']],
    ['hours.zone', 'Europe/Berlin', ['hours: { zone: Europe/Berlin }'], []],
    ['password', '$argon2id$v=19$m=1,t=1,p=1$aa$bb', ['password: "$argon2id$v=19$m=1,t=1,p=1$aa$bb"'], []],
    ['limits.upload', undefined, [], ['    upload: 50MiB/s']],
    ['status', undefined, [], ["status: 'active'"]],
  ])('of %s to %j changes exactly that', (path, value, added, gone) => {
    const result = edit(path, value);
    expect(difference(result)).toEqual({ added, gone });
  });

  test('of a long list writes one entry a line', () => {
    const keys = ['ssh-ed25519 AAAA1 alice@laptop', `ssh-ed25519 ${'A'.repeat(60)} alice@phone`];
    const result = edit('ssh_keys', keys);
    expect(result).toContain(keys.map((key) => `\n  - ${key}`).join(''));
    expect(parse(result)).toMatchObject({ ssh_keys: keys });
  });

  test('that takes the only key of a section away takes the section away', () => {
    expect(parse(edit('two_factor.a', undefined, 'username: a\ntwo_factor:\n  a: 1\nb: 2\n'))).toEqual({
      username: 'a',
      b: 2,
    });
  });

  test('of a file without a last newline, with Windows line ends, or in flow style means the same', () => {
    for (const source of ['username: a', 'username: a\r\nb: 1\r\n', '{ username: a, b: 1 }\n', '']) {
      const result = edit('quota', '1GiB', source);
      expect(parse(result)).toEqual({ ...(parse(source) as object | null), quota: '1GiB' });
    }
  });

  test('never writes text that could be read as something else', () => {
    for (const value of [
      'yes',
      'null',
      '1',
      '0x1',
      '- a',
      '# a',
      'a: b',
      'a #b',
      '{',
      '"',
      "'",
      '&a',
      '*a',
      ' a',
      'a\nb',
      '',
      '\u0000',
      '2027-01-01',
      '+1555',
    ]) {
      expect(parse(edit('email', value))).toMatchObject({ email: value });
      expect(parse(edit('groups', [value]))).toMatchObject({ groups: [value] });
    }
  });

  const path = fc.constantFrom(
    ['status'],
    ['quota'],
    ['groups'],
    ['ssh_keys'],
    ['limits', 'sessions'],
    ['limits', 'download'],
    ['two_factor', 'required_on'],
    ['two_factor', 'required_from'],
    ['hours', 'from'],
    ['display_name'],
  );
  const value = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.string(), { maxLength: 8 }),
    fc.constant(undefined),
  );

  test('after edit keeps every comment and says what was asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ path, value }), { maxLength: 6 }), (changes) => {
        const result = editYaml(text, changes);
        const data: unknown = parse(result);
        for (const [index, change] of changes.entries()) {
          if (changes.slice(index + 1).some((later) => later.path.join() === change.path.join())) continue;
          expect(valueAt(data, change.path)).toEqual(change.value);
        }
        for (const comment of ['# Alice of Example Ltd.', '# never changes', '# the end']) {
          expect(result).toContain(comment);
        }
      }),
    );
  });
});
