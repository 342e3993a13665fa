import { identificationBytesMax } from '#dmz/sftp/limits.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';

/**
 * The client's first line (RFC 4253 §4.2), gathered before ssh2 sees it: ssh2 loses bytes of a line that comes in
 * three pieces and lets one without end grow.
 *
 * Trust: the first bytes of anybody who connects.
 */
export class IdentificationReader {
  #bytes = Buffer.alloc(0);

  /** The line with its line end, and what came after it; undefined until it is whole. */
  push(chunk: Buffer): { readonly line: Buffer; readonly text: string; readonly rest: Buffer } | undefined {
    const bytes = Buffer.concat([this.#bytes, chunk.subarray(0, identificationBytesMax)]);
    const end = bytes.indexOf(0x0a);
    if (end < 0 || end >= identificationBytesMax) {
      if (end >= 0 || bytes.length >= identificationBytesMax)
        throw new MalformedMessage('identification line too long');
      this.#bytes = bytes;
      return undefined;
    }
    const line = bytes.subarray(0, end + 1);
    const text = line.toString('latin1').replace(/\r?\n$/, '');
    if (!/^SSH-(2\.0|1\.99)-[\x21-\x7e]+( [\x20-\x7e]*)?$/.test(text))
      throw new MalformedMessage('not an SSH 2 identification line');
    return { line, text, rest: chunk.subarray(end + 1 - this.#bytes.length) };
  }
}
