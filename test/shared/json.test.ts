import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStrictJson } from '#shared/json.ts';

describe('JSON from somebody else', () => {
  it.each([
    '{"a":1,"a":2}',
    '{"a":1,"b":{"c":1},"a":2}',
    '[{"a":1,"\\u0061":2}]',
    '{"a":{"b":1,"b":2}}',
    '{ "a" : [ {"x":1} , {"y":{}, "y":[]} ] }',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
  ])('with a field twice is none: %s', (text) => {
    expect(() => parseStrictJson(text)).toThrow(/stands twice/);
  });

  it.each([
    '{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}',
    '{"a":"b","b":"a"}',
    '{"a":"\\",\\"a\\":"}',
    '["a","a"]',
    '{"a":["a","a",{"a":"a"}],"b":"a"}',
    '"a"',
    ' null ',
  ])('with each field once is what it says: %s', (text) => {
    expect(parseStrictJson(text)).toEqual(JSON.parse(text));
  });

  it('takes all that JSON.stringify writes, and no more than JSON.parse', () => {
    const isSame = (text: string): boolean => isDeepStrictEqual(parseStrictJson(text), JSON.parse(text));
    expect(fc.check(fc.property(fc.json(), isSame)).counterexample).toBeNull();
    for (const text of ['', '{', '{"a":1,}', '{"a"}', 'x', '{"a":1}{"a":1}'])
      expect(() => parseStrictJson(text)).toThrow(SyntaxError);
  });
});
