/**
 * Bytes of a text file as text. Nothing in a file says how its letters are written, so, as editors do: a byte order mark
 * is believed; else it is UTF-8 if every byte of it is right; else Windows-1252, which has a letter for every byte and
 * Latin-1 within it. Zeros in every other place are UTF-16 that came without its mark.
 *
 * `isCut`: there is more of the file, and the last letter may be half. Undefined: that is no text, however it is read.
 */
export function decodeText(bytes: Uint8Array, isCut: boolean): string | undefined {
  const marked = findMark(bytes);
  if (marked !== undefined) return decode(bytes, marked, isCut);
  if (bytes.includes(0)) {
    const wide = findWide(bytes);
    return wide === undefined ? undefined : decode(bytes, wide, isCut);
  }
  return decode(bytes, 'utf-8', isCut) ?? decode(bytes, 'windows-1252', isCut);
}

/** Undefined: not in this encoding. */
function decode(bytes: Uint8Array, encoding: string, isCut: boolean): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes, { stream: isCut });
  } catch {
    return undefined;
  }
}

function findMark([first, second, third]: Uint8Array): string | undefined {
  if (first === 0xef && second === 0xbb && third === 0xbf) return 'utf-8';
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  return first === 0xfe && second === 0xff ? 'utf-16be' : undefined;
}

/** Western text in UTF-16 has a zero in nearly every pair, always on the same side. */
function findWide(bytes: Uint8Array): string | undefined {
  const zeros = [0, 0];
  for (const [index, byte] of bytes.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  const [high = 0, low = 0] = zeros;
  if (bytes.length % 2 !== 0 || Math.max(high, low) < bytes.length / 4) return undefined;
  if (high === 0) return 'utf-16le';
  return low === 0 ? 'utf-16be' : undefined;
}
