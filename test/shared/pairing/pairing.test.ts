import { describe, expect, it } from 'vitest';
import { checkWordsOf } from '#shared/pairing/check-words.ts';
import { generateKeyPairSync } from 'node:crypto';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import {
  formatMainLine,
  formatNodeLine,
  parseMainLine,
  parseNodeLine,
  tidyLine,
} from '#shared/pairing/pairing-line.ts';
import { formatRotationLine, parseRotationLine } from '#shared/pairing/rotation-line.ts';

const node = {
  name: 'dmz1',
  address: '[fd00::5]:8444',
  identity: `SHA256:${'a'.repeat(43)}`,
  signing_key: 'b'.repeat(43),
  host_key: `SHA256:${'c'.repeat(42)}/`,
};
const main = { name: 'main1', identity: `SHA256:${'d'.repeat(43)}` };

describe('pairing lines', () => {
  it('carry what the other side must know, there and back', () => {
    expect(parseNodeLine(formatNodeLine(node))).toEqual(node);
    expect(parseMainLine(formatMainLine(main))).toEqual(main);
  });

  it('survive the spaces and line ends that copying adds', () => {
    const copied = `\n  ${formatNodeLine(node).replaceAll(' ', '\n   ')}  \r\n`;
    expect(parseNodeLine(copied)).toEqual(node);
    expect(tidyLine(copied)).toBe(formatNodeLine(node));
  });

  const line = formatNodeLine(node);
  for (const [what, wrong] of [
    ['the other side’s line', formatMainLine(main)],
    ['an unknown field', `${line} more=1`],
    ['a field twice', `${line} name=dmz1`],
    ['a missing field', line.replace(/ host_key=\S+/, '')],
    ['a newer version', line.replace('/1', '/2')],
    ['a fingerprint that is cut', line.replace('aaa ', ' ')],
    ['an address without a port', line.replace(':8444', '')],
    ['a name that could be a path', line.replace('name=dmz1', 'name=../x')],
    ['a field without a value', line.replace('name=dmz1', 'name=')],
    ['nothing', ''],
    ['a line without end', `${line} ${'x'.repeat(1024)}`],
  ] as const) {
    it(`refuse ${what}`, () => {
      expect(() => parseNodeLine(wrong)).toThrow(expect.objectContaining({ code: 'pairing' }));
    });
  }
});

describe('check words', () => {
  it('are six, the same for the same line, and different for any other', () => {
    const words = checkWordsOf(formatNodeLine(node));
    expect(words).toMatch(/^([bdfghjklmnprstvz][aiou]){2}[bdfghjklmnprstvz]( [a-z]{5}){5}$/);
    expect(checkWordsOf(formatNodeLine(node))).toBe(words);
    expect(checkWordsOf(formatNodeLine({ ...node, name: 'dmz2' }))).not.toBe(words);
  });
});

describe('a rotation line', () => {
  const { name, identity, signing_key } = node;
  const line = formatRotationLine(
    { name, identity, signing_key },
    parseIdentityKey(generateIdentityKey().privateKeyPem),
  );
  const withKey = (by: string): string => line.replace(/ by=\S+/, ` by=${by}`);

  it('says who signed it', () => {
    expect(parseRotationLine(line)).toMatchObject({ name, identity, signing_key });
  });

  it.each([
    ['no key at all', 'A'.repeat(59)],
    [
      'a key that signs nothing',
      generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' }).toString('base64url'),
    ],
    ['another Ed25519 key', `MCowBQYDK2VwAyEA${'A'.repeat(43)}`],
  ])('with %s is no line, in the words of all lines', (_what, by) => {
    expect(() => parseRotationLine(withKey(by))).toThrow(expect.objectContaining({ code: 'pairing' }));
  });
});
