import { SallyportError, type ErrorData } from '#shared/error.ts';

/** SSH data types (RFC 4251 §5), read strictly: what does not fit exactly is an error, and nothing may be left over. */
export class WireReader {
  readonly #octets: Buffer;
  #at = 0;

  constructor(octets: Buffer) {
    this.#octets = octets;
  }

  byte(): number {
    return this.#take(1)[0] ?? 0;
  }

  /** RFC 4251 lets any non-zero byte mean TRUE and tells applications to send 1; only 0 and 1 are read here. */
  boolean(): boolean {
    const value = this.byte();
    if (value > 1) throw malformed('boolean is neither 0 nor 1');
    return value === 1;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  string(): Buffer {
    return this.#take(this.uint32());
  }

  /** An ASCII name such as an algorithm; never a user's text. */
  name(): string {
    const octets = this.string();
    if (octets.length === 0 || octets.some((octet) => octet <= 0x20 || octet >= 0x7f)) {
      throw malformed('name is not printable ASCII');
    }
    return octets.toString('latin1');
  }

  /** A positive mpint in its one shortest form, as unsigned octets without the sign octet. */
  positiveInteger(): Buffer {
    const octets = this.string();
    const [first, second] = octets;
    if (first === undefined) throw malformed('integer is zero');
    if (first >= 0x80) throw malformed('integer is negative');
    if (first !== 0) return octets;
    if (second === undefined || second < 0x80) throw malformed('integer has needless zeros');
    return octets.subarray(1);
  }

  rest(): Buffer {
    return this.#take(this.#octets.length - this.#at);
  }

  end(): void {
    if (this.#at !== this.#octets.length)
      throw malformed(`${this.#octets.length - this.#at} octets left over`);
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#octets.length) throw malformed('ends too early');
    const octets = this.#octets.subarray(this.#at, end);
    this.#at = end;
    return octets;
  }
}

export function wireString(value: Buffer | string): Buffer {
  const octets = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(octets.length);
  return Buffer.concat([length, octets]);
}

/** A positive mpint in its one shortest form, of unsigned octets. */
export function wirePositiveInteger(octets: Buffer): Buffer {
  const shortest = octets.subarray(octets.findIndex((octet) => octet !== 0));
  return wireString((shortest[0] ?? 0) < 0x80 ? shortest : Buffer.concat([Buffer.alloc(1), shortest]));
}

export function wireUint32(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
}

export function malformed(why: string, data?: ErrorData): SallyportError {
  return new SallyportError('bad-request', 'Not valid SSH key data', {
    detail: why,
    ...(data !== undefined && { data }),
  });
}
