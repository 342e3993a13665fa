import { readFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { editYaml, type YamlChange } from '#main-agent/users/yaml-edit.ts';
import { systemClock } from '#shared/clock.ts';
import { exampleKey, makeUsersFolder } from './users-folder.ts';

/** Files as people write them: each key in one of its ways, comments and blank lines anywhere. */
const comment = fc.constantFrom('', '', ' # why', '   # since 2026: see #12', ' #', '  # a: b [c] {d} "e');
const between = fc.array(
  fc.constantFrom('', '# a comment', '  # an indented one', '#status: disabled', '   '),
  {
    maxLength: 2,
  },
);
const quote = (text: string) => fc.constantFrom(text, `"${text}"`, `'${text}'`);
const gap = fc.constantFrom(' ', ' ', '   ');

const scalar = (key: string, ...values: string[]) =>
  fc
    .tuple(fc.constantFrom(...values).chain(quote), gap, comment)
    .map(([value, space, end]) => [`${key}:${space}${value}${end}`]);

const list = (key: string, ...values: string[]) => {
  const some = fc.shuffledSubarray(values, { minLength: 1 });
  return fc.oneof(
    fc.tuple(some, comment).map(([all, end]) => [`${key}: [${all.join(', ')}]${end}`]),
    fc.tuple(some, comment).map(([all, end]) => [`${key}:  [ ${all.join(' ,')} ]${end}`]),
    fc
      .tuple(some, comment)
      .map(([all, end]) => [`${key}: [`, ...all.map((one) => `    ${one},`), `  ]${end}`]),
    fc
      .tuple(some, comment, fc.constantFrom('', '  ', '    '), comment, fc.boolean())
      .map(([all, end, indent, after, hasComment]) => [
        `${key}:${end}`,
        ...(hasComment ? [`${indent}# the first`] : []),
        ...all.map((one) => `${indent}- ${one}${after}`),
      ]),
  );
};

const section = (key: string, ...pairs: (readonly [string, string])[]) => {
  const some = fc.subarray([...pairs], { minLength: 1 });
  return fc.oneof(
    fc
      .tuple(some, comment)
      .map(([all, end]) => [
        `${key}: { ${all.map(([name, value]) => `${name}: ${value}`).join(', ')} }${end}`,
      ]),
    fc
      .tuple(some, comment)
      .map(([all, end]) => [
        `${key}: {${all.map(([name, value]) => `${name}:   ${value}`).join(' , ')}}${end}`,
      ]),
    fc
      .tuple(some, comment)
      .map(([all, end]) => [`${key}: {`, ...all.map(([name, value]) => `  ${name}: ${value},`), `}${end}`]),
    fc
      .tuple(some, comment, fc.constantFrom('  ', '    '), comment, between)
      .map(([all, end, indent, after, lines]) => [
        `${key}:${end}`,
        ...lines.map((line) => (line.trim() === '' ? line : `${indent}# inside`)),
        ...all.map(([name, value]) => `${indent}${name}: ${value}${after}`),
      ]),
  );
};

const chunks = [
  scalar('display_name', 'Alice Example', 'Alice'),
  scalar('status', 'active', 'disabled'),
  scalar('quota', '1GiB', '20GiB'),
  scalar('email', 'alice@example.com'),
  scalar('expires', '2027-12-31'),
  list('groups', 'partners', 'night'),
  list('+groups', 'partners'),
  list('ssh_keys', exampleKey),
  list('protocols', 'https', 'sftp'),
  list('allow_from', '203.0.113.0/24', '10.0.0.0/8'),
  list(
    'files',
    '{ path: /, root: "{username}", allow: [list, read] }',
    '{ path: /in, root: shared/in, allow: [] }',
  ),
  section('two_factor', ['required_on', '[https]'], ['registration', 'true'], ['force_setup', 'false']),
  section('limits', ['sessions', '8'], ['upload', '50MiB/s'], ['download', '"none"']),
  section('hours', ['days', 'mon-fri'], ['from', '"07:00"'], ['zone', 'UTC']),
];

const file = fc
  .tuple(
    fc.shuffledSubarray(chunks, { minLength: 1 }).chain((some) => fc.tuple(...some)),
    fc.infiniteStream(between),
    fc.constantFrom('\n', ''),
    scalar('username', 'alice'),
    fc.nat(20),
  )
  .map(([all, gaps, end, username, place]) => {
    const blocks = [...all];
    blocks.splice(place % (blocks.length + 1), 0, username);
    const lines = blocks.flatMap((block) => [...(gaps.next().value ?? []), ...block]);
    return [...lines, ...(gaps.next().value ?? [])].join('\n') + end;
  });

const choice = (where: string, ...values: unknown[]) =>
  fc.constantFrom(...values, undefined).map((value): YamlChange => ({ path: where.split('.'), value }));
const change = fc.oneof(
  choice('display_name', 'Alice: the first', 'A', '# no comment'),
  choice('status', 'active', 'disabled'),
  choice('quota', '5GiB', 'none'),
  choice('email', 'a@example.org', null),
  choice('expires', '2030-01-01', null),
  choice('groups', [], ['night'], ['partners', 'night']),
  choice('+groups', ['night']),
  choice('protocols', ['sftp'], []),
  choice('allow_from', null, [], ['192.0.2.0/24', '2001:db8::/32']),
  choice('ssh_keys', [exampleKey], []),
  choice('two_factor.required_on', [], ['https', 'sftp']),
  choice('two_factor.registration', true, false),
  choice('limits.sessions', 1, 9),
  choice('limits.download', 'none', '1MiB/s'),
  choice('hours.to', '20:00'),
  choice('hours', null),
);

/** From the key's line to the last line of its value; the lines of the whole section where it is one flow map. */
function regionOf(
  lines: readonly string[],
  [key = '', ...rest]: readonly string[],
  indent = 0,
  from = 0,
  to = lines.length,
): readonly [number, number] | undefined {
  const columnOf = (line: string): number => line.length - line.trimStart().length;
  const isContent = (line: string): boolean => !/^\s*(#.*)?$/.test(line);
  const start = lines.findIndex(
    (line, at) =>
      at >= from && at < to && columnOf(line) === indent && line.trimStart().startsWith(`${key}:`),
  );
  if (start === -1) return undefined;
  let end = start + 1;
  for (let at = start + 1; at < to; at += 1) {
    const line = lines[at] ?? '';
    if (!isContent(line)) continue;
    if (columnOf(line) <= indent && !/^\s*[-\]}]/.test(line)) break;
    end = at + 1;
  }
  const isBlock = /:\s*(#.*)?$/.test(lines[start] ?? '');
  if (rest.length === 0 || !isBlock) return [start, end];
  const first = lines.slice(start + 1, end).find(isContent) ?? '';
  return regionOf(lines, rest, columnOf(first), start + 1, end) ?? [end, end];
}

/** The lines an edit must leave as they were, and those it may change. */
function split(
  text: string,
  where: readonly string[],
): { readonly outside: string[]; readonly inside: string[] } {
  const lines = text.replace(/\n$/, '').split('\n');
  const [start, end] = regionOf(lines, where) ?? [0, 0];
  return { outside: [...lines.slice(0, start), ...lines.slice(end)], inside: lines.slice(start, end) };
}

function changesOnly(before: string, after: string, where: readonly string[]): boolean {
  const { outside, inside } = split(before, where);
  // Comments inside of what was replaced may stay.
  const comments = inside.map((line) => /(^|\s)#.*$/.exec(line)?.[0].trim() ?? '');
  for (const line of split(after, where).outside) {
    const at = comments.indexOf(line.trim());
    if (line === outside[0]) outside.shift();
    else if (at === -1) return false;
    else comments.splice(at, 1);
  }
  return outside.length === 0;
}

/** A section that came or went with its only key is a change of the section. */
function touchesOnly(before: string, after: string, { path: where }: YamlChange): boolean {
  return changesOnly(before, after, where) || changesOnly(before, after, where.slice(0, 1));
}

describe('edits of files as people write them', () => {
  test('touch the lines of their key only', { timeout: 30_000 }, () => {
    fc.assert(
      fc.property(file, fc.array(change, { minLength: 1, maxLength: 3 }), (text, changes) => {
        let before = text;
        for (const one of changes) {
          const after = editYaml(before, [one]);
          expect(touchesOnly(before, after, one), `${one.path.join('.')} in\n${before}\n---\n${after}`).toBe(
            true,
          );
          before = after;
        }
      }),
      { numRuns: 500 },
    );
  });

  test('keep the comment after a value that is replaced', () => {
    fc.assert(
      fc.property(file, change, (text, one) => {
        const lines = text.split('\n');
        const region = regionOf(lines, one.path);
        if (region === undefined || one.value === undefined || region[1] - region[0] !== 1) return;
        const [kept = ''] = / +#.*$/.exec(lines[region[0]] ?? '') ?? [];
        expect(editYaml(text, [one])).toContain(kept);
      }),
      { numRuns: 500 },
    );
  });

  test('through the API keep the file’s other lines, and are in force', { timeout: 60_000 }, async () => {
    await using folder = await makeUsersFolder({
      'groups/partners.yaml': 'quota: 1GiB\n',
      'groups/night.yaml': '{}\n',
    });
    const users = await folder.open();
    const directory = new YamlUserDirectory(users, new FileWrites(users, systemClock));
    await fc.assert(
      fc.asyncProperty(file, change, async (text, one) => {
        await folder.write('alice.yaml', text);
        await users.refresh();
        expect(users.problems(), text).toEqual([]);
        const etag = await directory.etag('alice');
        await directory.change('alice', [one], etag);
        const after = await readFile(path.join(folder.directory, 'alice.yaml'), 'utf8');
        expect(touchesOnly(text, after, one), `${text}\n---\n${after}`).toBe(true);
        expect(users.problems(), after).toEqual([]);
        const data: unknown = parse(after);
        const said = one.path.reduce<unknown>((map, key) => Object(map)[key], data);
        // Taking a key from a section that is null leaves the section as it is.
        expect(said ?? undefined).toEqual(one.value ?? undefined);
      }),
      { numRuns: 100 },
    );
  });

  test('of an anchor that something refers to are made or refused, never half', () => {
    const text =
      '# nets\nusername: alice\nallow_from: &nets [10.0.0.0/8]  # ours\n+allow_from: *nets\nstatus: active\n';
    expect(editYaml(text, [{ path: ['status'], value: 'disabled' }])).toBe(
      text.replace('active', 'disabled'),
    );
    expect(editYaml(text, [{ path: ['+allow_from'], value: ['192.0.2.0/24'] }])).toBe(
      text.replace('*nets', '[192.0.2.0/24]'),
    );
    expect(() => editYaml(text, [{ path: ['allow_from'], value: [] }])).toThrow(
      'can not be changed by a program',
    );
  });
});
