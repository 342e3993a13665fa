import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readPlainYaml } from '#shared/config/plain-yaml.ts';
import { parseWhole, parseYaml } from '#shared/config/yaml-text.ts';

/** Pieces of which nearly everything YAML knows can be put together, right and wrong; mostly right. */
const words = (
  'a|key|username|constructor|Müller|007|12|0|0x1F|0o17|1.|10.0.0.1|a b,c|null|Null|true|TRUE|yes|2027-12-31|2027-1|1e3|' +
  '20GiB|203.0.113.0/24|50MiB/s|a@example.com|"q # x"|\'s\'|\'\'|""|"{x}"|$argon2id$v=19$m=19456,t=2,p=1$c2Fs/+$aGFz|' +
  'ssh-ed25519 AAAA+/= a@b|/|(x)|a-|1,2'
).split('|');
const surprises = (
  '__proto__ +groups -1 .5 +1 ~ 07:00 2001:db8::/32 "\\n" "open" \'it\'\'s\' *a &a !!str | > % ` - ? : , [ ] { } # \t ' +
  '\r \ufeff --- ... <<'
).split(' ');
const key = fc.constantFrom('a', 'b', 'c', 'key', 'username', '+groups', 'constructor');
const atom = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...words) },
  { weight: 1, arbitrary: fc.constantFrom(...surprises) },
);
const spaces = fc.oneof(
  { weight: 9, arbitrary: fc.constant(' ') },
  { weight: 1, arbitrary: fc.constantFrom('', '  ') },
);
const value: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    atom,
    fc.tuple(atom, spaces, atom).map((parts) => parts.join('')),
    fc.array(tie('value'), { maxLength: 3 }).map((entries) => `[${entries.join(', ')}]`),
    fc
      .array(fc.tuple(key, spaces, tie('value')), { maxLength: 3 })
      .map((entries) => `{ ${entries.map(([name, gap, one]) => `${name}:${gap}${one}`).join(', ')} }`),
  ),
})).value;
const pair = fc.tuple(fc.oneof({ weight: 9, arbitrary: key }, { weight: 1, arbitrary: atom }), spaces, value);
const block = fc.oneof(
  pair.map((parts) => [`${parts[0]}:${parts[1]}${parts[2]}`]),
  fc
    .tuple(key, fc.array(fc.tuple(fc.constantFrom('', '  '), value), { maxLength: 3 }))
    .map(([name, items]) => [`${name}:`, ...items.map(([indent, one]) => `${indent}- ${one}`)]),
  fc
    .tuple(key, fc.array(fc.tuple(fc.constantFrom('  ', '  ', '  ', '    '), pair), { maxLength: 2 }))
    .map(([name, items]) => [
      `${name}:`,
      ...items.map(([indent, [own, gap, one]]) => `${indent}${own}:${gap}${one}`),
    ]),
  fc.constantFrom([''], ['  '], ['# a comment'], ['  # another']),
);
const text = fc
  .array(fc.tuple(block, fc.constantFrom('', '', '', ' ', ' # why', '#no')), { maxLength: 4 })
  .map((blocks) => blocks.flatMap(([lines, end]) => lines.map((line) => line + end)).join('\n'));

const usual = `# Alice, since 2026
username: alice
display_name: Alice Müller   # of Example
groups: [partners, night]
password: $argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g
ssh_keys:
  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop
two_factor:
  # both doors
  required_on: [https, sftp]
  registration: true

allow_from: [203.0.113.0/24]
email: null
hours: { days: mon-fri, from: "07:00", to: '20:00', zone: Europe/Berlin }
files:
- { path: /, storage: local, root: "{username}", allow: [list, read] }
+protocols:
limits: {}
quota: 20GiB
`;

describe('the plain reader', () => {
  test('says what the whole parser says, or nothing', () => {
    let read = 0;
    fc.assert(
      fc.property(text, (yaml) => {
        const plain = readPlainYaml(yaml);
        if (plain === undefined) return;
        read += 1;
        const whole = parseWhole(yaml, 'f');
        expect(whole.problems).toEqual([]);
        // Not toStrictEqual: it takes a key `constructor` for the object's own.
        expect(isDeepStrictEqual(plain, whole.value), yaml).toBe(true);
      }),
      { numRuns: 20_000 },
    );
    expect(read).toBeGreaterThan(500);
  });

  test('says what the whole parser says of a usual file with any damage', () => {
    const place = fc.nat(usual.length);
    fc.assert(
      fc.property(place, fc.nat(3), fc.oneof(atom, fc.constant('\n'), spaces), (at, cut, put) => {
        const yaml = usual.slice(0, at) + put + usual.slice(at + cut);
        const plain = readPlainYaml(yaml);
        if (plain === undefined) return;
        const whole = parseWhole(yaml, 'f');
        expect(whole.problems).toEqual([]);
        // Not toStrictEqual: it takes a key `constructor` for the object's own.
        expect(isDeepStrictEqual(plain, whole.value), yaml).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });

  test('reads a usual user file, and its keys are found where they stand', () => {
    expect(readPlainYaml(usual)).toStrictEqual(parseWhole(usual, 'f').value);
    for (const name of ['groups', '+protocols', 'files', 'nowhere']) {
      expect(parseYaml(usual, 'f').locateKey([name])).toEqual(parseWhole(usual, 'f').locateKey([name]));
    }
    expect(parseYaml(usual, 'f').locate(['two_factor', 'registration'])).toEqual({ line: 11, column: 17 });
  });

  test.each([
    ['an anchor', 'a: &x b'],
    ['a key twice', 'a: b\na: c'],
    ['a line that goes on', 'a: b\n  c'],
    ['lists in lists of lines', 'a:\n  - - b'],
    ['deep values', 'a: [[[[[[b]]]]]]'],
    ['nothing', '# only a comment\n'],
    ['a tab', 'a:\tb'],
    ['a carriage return', 'a: b\r\n'],
  ])('leaves %s to the whole parser', (_what, yaml) => {
    expect(readPlainYaml(yaml)).toBeUndefined();
  });
});
