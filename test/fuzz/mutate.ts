/**
 * Small changes of valid input, as an attacker makes them who knows the format (D-178): nothing here looks at the code that is
 * tested, and a seed and a number name every case.
 */

export type Random = (below: number) => number;

const interestingBytes = [0x00, 0x01, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2e, 0x2f, 0x3a, 0x7f, 0x80, 0xc0, 0xff];
const interestingLengths = [
  0, 1, 2, 4, 5, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000,
  0xffff_ffff,
];
const interestingTexts = [
  '-1', '0', '00', '1e309', '9007199254740993', '99999999999999999999', '4294967296', '65536', 'NaN', 'null', 'true',
  '..', '../', '/', '//', '.', '%2f', '%00', '\0', '\r\n', '\n', ',', ';', '=', '"', "'", '\\', '{', '}', '[', ']', ' ',
  '__proto__', 'constructor', '\u202e', '\ufffd', '\ud800', 'é', '&a ', '*a', '<<: ', '!!js/function ', '- ', '? ', '| ',
  'con', '*', 'x'.repeat(64), 'x'.repeat(300), 'x'.repeat(70_000),
]; // prettier-ignore

type Change = (bytes: Buffer, random: Random, others: readonly Buffer[]) => Buffer;

const changes: readonly Change[] = [
  flipBits,
  setByte,
  lie,
  cut,
  repeat,
  insert,
  splice,
  truncate,
  replaceNumber,
  repeatField,
];

/** One to four changes of `bytes`, of which some come from `others`. */
export function mutate(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  const structured = random(2) === 0 ? mutateJson(bytes, random) : undefined;
  if (structured !== undefined) return structured;
  let changed: Buffer = Buffer.from(bytes);
  for (let left = 1 + (random(3) === 0 ? random(4) : 0); left > 0; left -= 1)
    changed = (changes[random(changes.length)] ?? flipBits)(changed, random, others);
  return changed;
}

function at(bytes: Buffer, random: Random): number {
  return bytes.length === 0 ? 0 : random(bytes.length);
}

function flipBits(bytes: Buffer, random: Random): Buffer {
  for (let left = 1 + random(4); left > 0 && bytes.length > 0; left -= 1) {
    const place = at(bytes, random);
    bytes[place] = (bytes[place] ?? 0) ^ (1 << random(8));
  }
  return bytes;
}

function setByte(bytes: Buffer, random: Random): Buffer {
  if (bytes.length > 0) bytes[at(bytes, random)] = interestingBytes[random(interestingBytes.length)] ?? 0;
  return bytes;
}

/** A number of one, two or four bytes, in either order, says something else. */
function lie(bytes: Buffer, random: Random): Buffer {
  const width = [1, 2, 4, 4][random(4)] ?? 4;
  if (bytes.length < width) return bytes;
  const place = random(bytes.length - width + 1);
  const before = bytes.readUIntBE(place, width);
  const near = [before + 1, before - 1, before * 2, bytes.length, bytes.length - place];
  const pick = random(interestingLengths.length + near.length);
  const value =
    Math.max(0, interestingLengths[pick] ?? near[pick - interestingLengths.length] ?? 0) % 2 ** (8 * width);
  if (random(2) === 0) bytes.writeUIntBE(value, place, width);
  else bytes.writeUIntLE(value, place, width);
  return bytes;
}

function range(bytes: Buffer, random: Random): readonly [number, number] {
  const start = at(bytes, random);
  return [start, Math.min(bytes.length, start + 1 + random(random(4) === 0 ? 1 + bytes.length : 16))];
}

function cut(bytes: Buffer, random: Random): Buffer {
  const [start, end] = range(bytes, random);
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
}

function repeat(bytes: Buffer, random: Random): Buffer {
  const [start, end] = range(bytes, random);
  const piece = bytes.subarray(start, end);
  const times = random(8) === 0 ? Math.min(2000, Math.ceil(65_536 / Math.max(1, piece.length))) : 1;
  return Buffer.concat([bytes.subarray(0, end), ...Array<Buffer>(times).fill(piece), bytes.subarray(end)]);
}

function insert(bytes: Buffer, random: Random): Buffer {
  const text = interestingTexts[random(interestingTexts.length)] ?? '';
  const place = random(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, place), Buffer.from(text), bytes.subarray(place)]);
}

/** The beginning of one and the end of another. */
function splice(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  const other = others[random(Math.max(1, others.length))] ?? bytes;
  const [ours, theirs] = [random(bytes.length + 1), random(other.length + 1)];
  return Buffer.concat([bytes.subarray(0, ours), other.subarray(theirs)]);
}

function truncate(bytes: Buffer, random: Random): Buffer {
  return bytes.subarray(0, random(bytes.length + 1));
}

/** A number that is written out becomes another. */
function replaceNumber(bytes: Buffer, random: Random): Buffer {
  const text = bytes.toString('latin1');
  const found = [...text.matchAll(/\d+/g)];
  const one = found[random(Math.max(1, found.length))];
  if (one === undefined) return insert(bytes, random);
  const other = interestingTexts[random(11)] ?? '0';
  return Buffer.from(text.slice(0, one.index) + other + text.slice(one.index + one[0].length), 'latin1');
}

/** Something between separators stands there twice, the second time perhaps elsewhere. */
function repeatField(bytes: Buffer, random: Random): Buffer {
  const text = bytes.toString('latin1');
  const separator = [',', ';', '\r\n', '\n', ' ', '&', '/', '.'][random(8)] ?? ',';
  const parts = text.split(separator);
  if (parts.length < 2) return repeat(bytes, random);
  parts.splice(random(parts.length + 1), 0, parts[random(parts.length)] ?? '');
  return Buffer.from(parts.join(separator), 'latin1');
}

// — JSON: what keeps its form and changes its meaning —

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const interestingValues: readonly Json[] = [
  null, true, false, 0, -1, 1.5, 1e308, 2 ** 53, '', 'x', '..', '/', '\0', '\u202e', 'a'.repeat(255), 'a'.repeat(256),
  'a'.repeat(5000), [], {}, [[]], { __proto__: null }, ['x', 'x'],
]; // prettier-ignore

/** Undefined: it is no JSON with anything in it. */
function mutateJson(bytes: Buffer, random: Random): Buffer | undefined {
  const first = bytes[0];
  if (first !== 0x7b && first !== 0x5b) return undefined;
  let value: Json;
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what JSON.parse gives is of that type
    value = JSON.parse(bytes.toString('utf8')) as Json;
  } catch {
    return undefined;
  }
  const holders = holdersIn(value);
  const holder = holders[random(holders.length)];
  if (holder === undefined) return undefined;
  const other = interestingValues[random(interestingValues.length)] ?? null;
  if (Array.isArray(holder)) changeList(holder, other, random);
  else {
    const twice = changeObject(holder, other, random);
    // A field that stands twice is in no value, only in a text.
    if (twice !== undefined) {
      const marker = `"${twice}":`;
      const text = JSON.stringify(value);
      return Buffer.from(text.replace(marker, () => `${marker}${JSON.stringify(other)},${marker}`));
    }
  }
  return Buffer.from(JSON.stringify(value));
}

function holdersIn(value: Json): (Json[] | { [key: string]: Json })[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value, ...Object.values(value).flatMap(holdersIn)];
}

function changeList(list: Json[], other: Json, random: Random): void {
  const place = random(Math.max(1, list.length));
  switch (random(4)) {
    case 0:
      list[place] = other;
      break;
    case 1:
      list.splice(place, 1);
      break;
    case 2:
      list.push(...Array<Json>([1, 1, 300, 1001][random(4)] ?? 1).fill(list[place] ?? other));
      break;
    default:
      list[place] = [list[place] ?? other];
  }
}

/** The name of a field that is to stand twice. */
function changeObject(object: { [key: string]: Json }, other: Json, random: Random): string | undefined {
  const keys = Object.keys(object);
  const key = keys[random(Math.max(1, keys.length))];
  if (key === undefined) {
    object['x'] = other;
    return undefined;
  }
  const value = object[key];
  switch (random(7)) {
    case 0:
      delete object[key];
      return undefined;
    case 1:
      object[['x', 'constructor', 'toString', `${key} `, key.toUpperCase()][random(5)] ?? 'x'] = other;
      return undefined;
    case 2:
      return key;
    case 3:
      if (typeof value === 'string') object[key] = changeText(value, random);
      else if (typeof value === 'number')
        object[key] = [value + 1, -value, value * 2 ** 32, value + 0.5][random(4)] ?? 0;
      else object[key] = other;
      return undefined;
    case 4:
      object[key] = [value ?? other];
      return undefined;
    default:
      object[key] = other;
      return undefined;
  }
}

function changeText(text: string, random: Random): string {
  const place = random(text.length + 1);
  const more = interestingTexts[random(interestingTexts.length)] ?? '';
  return (
    [
      text.slice(0, place),
      text.slice(0, place) + more + text.slice(place),
      text.repeat(2),
      text.slice(1) + text.slice(0, 1),
    ][random(4)] ?? ''
  );
}
