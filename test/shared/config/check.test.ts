import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { checkYaml } from '#shared/config/check.ts';
import { nearestWord } from '#shared/config/nearest-word.ts';
import { configError, printProblems } from '#shared/config/problem.ts';
import { duration, listen, none, plainName, size } from '#shared/config/value-types.ts';
import { yamlBytesMax } from '#shared/config/yaml-text.ts';

const schema = z.strictObject({
  name: plainName,
  listen: z.union([none, listen]).prefault('none'),
  park: z
    .strictObject({ for: duration('1s', '10m').prefault('60s'), memory: size.prefault('1MiB') })
    .prefault({}),
  profile: z.enum(['strict', 'compat']).default('strict'),
  nodes: z
    .array(z.strictObject({ name: plainName, port: z.number().int().min(1).max(65_535) }))
    .max(2)
    .default([]),
  lease: z.union([z.literal('off'), z.strictObject({ opens: z.number().int() })]).default('off'),
  password_file: z.string().max(8).optional(),
  storages: z.record(plainName, z.strictObject({ base: z.string() })).default({}),
});

function complain(text: string): string[] {
  const checked = checkYaml<unknown>(text, 'x.yaml', schema);
  return checked.ok ? [] : printProblems(checked.problems).split('\n');
}

describe('a file that fits', () => {
  test('comes out with its defaults and its units applied', () => {
    const checked = checkYaml<unknown>('name: a\npark: { for: 5m }\n', 'x.yaml', schema);
    expect(checked).toMatchObject({
      ok: true,
      value: { name: 'a', listen: undefined, park: { for: 300_000, memory: 2 ** 20 }, profile: 'strict' },
    });
  });

  test('may use anchors, quotes, flow and block style', () => {
    expect(complain('name: &n a\nnodes:\n- name: *n\n  port: 1\n- {"name": \'b\', port: 2}\n')).toEqual([]);
  });
});

describe('what is wrong is told with place, value, expectation and hint', () => {
  test.each([
    [
      'nam: a\n',
      [
        'x.yaml:1:1: name: is missing; expected a short name of letters, digits, - and _',
        'x.yaml:1:1: nam: unknown key',
        '    hint: did you mean `name`?',
      ],
    ],
    [
      'name: a\npark:\n  memroy: 1MiB\n',
      ['x.yaml:3:3: park.memroy: unknown key', '    hint: did you mean `memory`?'],
    ],
    [
      'name: a\npark: { size: 1 }\n',
      ['x.yaml:2:9: park.size: unknown key', '    hint: known here: for, memory'],
    ],
    [
      'name: a\npark: { for: 60 }\n',
      ['x.yaml:2:14: park.for: 60; expected a duration from 1s to 10m, such as 30s, 5m, 12h or 7d'],
    ],
    [
      'name: a\npark: { for: 11m }\n',
      ['x.yaml:2:14: park.for: "11m"; expected a duration from 1s to 10m, such as 30s, 5m, 12h or 7d'],
    ],
    [
      'name: a\nprofile: stric\n',
      [
        'x.yaml:2:10: profile: "stric"; expected one of `strict`, `compat`',
        '    hint: did you mean `strict`?',
      ],
    ],
    ['name: a\nnodes: [{ name: b, port: 0 }]\n', ['x.yaml:2:26: nodes[0].port: 0; expected at least 1']],
    ['name: a\nnodes: { name: b }\n', ['x.yaml:2:8: nodes: a map; expected a list']],
    ['name: a\nnodes: https\n', ['x.yaml:2:8: nodes: "https"; expected a list']],
    [
      'name: a\n<<<<<<< HEAD\nprofile: strict\n=======\nprofile: compat\n>>>>>>> theirs\n',
      [
        'x.yaml:2:1: not YAML: conflict markers, so two versions of this file stand in it',
        '    hint: keep one, and take out the lines that begin with <<<<<<<, ======= and >>>>>>>',
      ],
    ],
    ['name: a\nlease: on\n', ['x.yaml:2:8: lease: "on"; expected `off`, or a map (key: value)']],
    [
      'name: a\nlease: { opnes: 1, opens: x }\n',
      [
        'x.yaml:2:10: lease.opnes: unknown key',
        '    hint: did you mean `opens`?',
        'x.yaml:2:27: lease.opens: "x"; expected a number',
      ],
    ],
    [
      'name: a\nstorages: { l: { bse: x } }\n',
      [
        'x.yaml:2:16: storages.l.base: is missing; expected text',
        'x.yaml:2:18: storages.l.bse: unknown key',
        '    hint: did you mean `base`?',
      ],
    ],
    ['name: a\nname: b\n', ['x.yaml:2:1: this key stands here twice']],
    ['- a\n', ['x.yaml:1:1: the file: a list; expected a map (key: value)']],
    ['', ['x.yaml:1:1: name: is missing; expected a short name of letters, digits, - and _']],
  ])('%j', (text, lines) => {
    expect(complain(text)).toEqual(lines);
  });

  test('all at once, in the order of the file', () => {
    expect(
      complain('profile: x\nname: a b\nlisten: here\n').filter((line) => line.startsWith('x.yaml')),
    ).toHaveLength(3);
  });

  test('but never the value of a key that sounds secret', () => {
    expect(complain('name: a\npassword_file: correct horse battery\n').join('\n')).not.toContain('horse');
  });

  test('and a syntax error alone, because what follows it may mean anything', () => {
    const lines = complain('name: [a\nprofile: x\n');
    expect(lines.every((line) => line.includes('not YAML'))).toBe(true);
    expect(lines.length).toBeGreaterThan(0);
  });
});

describe('hostile text', () => {
  test('with more levels than anybody has is a problem, not an exception', () => {
    expect(complain(`name: a\nother:\n  ${': '.repeat(32_000)}x\nmore: 1\n`)).toEqual([
      expect.stringContaining('nested too deeply'),
    ]);
  });

  test('with maps as keys of maps, however deep, is refused as soon as it is read', () => {
    // Not by a clock: what writes such a key out as text does not come back for minutes.
    const open = '  - { path: /, storage: local, root: ali: &f\n';
    const [problem] = complain(`name: a\n+files: &f\n${open.repeat(1000)}`);
    expect(problem).toMatch(/not YAML/);
  });

  test('is quoted in no warning of the process, whatever its keys are', () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const hash = '$argon2id$v=19$secret';
    for (const text of [
      `? [${hash}]\n: a\n`,
      `{ [${hash}]: a }\n`,
      `? { password: ${hash} }\n`,
      `!odd ${hash}\n`,
    ])
      expect(checkYaml(text, 'f.yaml', z.strictObject({})).ok).toBe(false);
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });

  test('is refused when larger than the limit, and read at the limit', () => {
    const filler = (bytes: number) => `name: a\n#${'x'.repeat(bytes - 'name: a\n#'.length)}`;
    expect(complain(filler(yamlBytesMax))).toEqual([]);
    expect(complain(filler(yamlBytesMax + 1))[0]).toContain('larger than');
  });

  test('with a bomb of aliases, tags or several documents is refused', () => {
    const list = (of: string) => `[${Array.from({ length: 10 }, () => of).join(', ')}]`;
    const bomb = `a: &a ${list('x')}\nb: &b ${list('*a')}\nc: &c ${list('*b')}\nd: ${list('*c')}\n`;
    for (const text of [
      bomb,
      'name: !!js/function a\n',
      'name: a\n---\nname: b\n',
      '\u0000',
      '? [a]\n: b\n',
    ]) {
      expect(complain(text).length).toBeGreaterThan(0);
    }
  });
});

test('a config error carries every problem for the log and none for a stranger', () => {
  const problem = { file: 'x.yaml', line: 1, column: 2, message: 'secret path', hint: 'mend it' };
  const error = configError([problem, problem]);
  expect(error.publicMessage).toBe('The configuration has 2 problems');
  expect(error.detail).toBe(`${printProblems([problem])}\n${printProblems([problem])}`);
});

test.each([
  ['emial', 'email'],
  ['EMAIL', 'email'],
  ['quot', 'quota'],
  ['x', undefined],
  ['something', undefined],
  ['', undefined],
])('the word nearest to %j is %j', (word, near) => {
  expect(nearestWord(word, ['email', 'quota', 'groups'])).toBe(near);
});
