import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** What a name may hold at a moment. */
export interface Version {
  readonly bytes: number;
  readonly sha256: string;
}

/** A transfer that was answered well, as the audit has to have it. */
export interface Transfer {
  readonly event: 'file.upload' | 'file.download';
  readonly user: string;
  /** As the user names it. */
  readonly path: string;
  readonly bytes: number;
}

/** Violations told in full; the rest is a number. */
const toldMax = 12;

/** What the clients did, what they were answered, and what was wrong: beside the product, and made without it. */
export class Ledger {
  readonly counts = new Map<string, number>();
  readonly transfers: Transfer[] = [];
  /** Changes of names that were answered well: event of the audit and user → how many. */
  readonly changes = new Map<string, number>();
  readonly violations: string[] = [];
  longestAnswerMs = 0;
  bytes = 0;
  /** What the files of uploads may hold, by where they lie on main's disk. */
  readonly #targets = new Map<string, { readonly now: Version | undefined; readonly next?: Version }>();

  violate(text: string): void {
    this.violations.push(text);
  }

  tellViolations(): readonly string[] {
    const rest = this.violations.length - toldMax;
    return [...this.violations.slice(0, toldMax), ...(rest > 0 ? [`and ${rest} more`] : [])];
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  changed(event: string, user: string): void {
    const key = `${event} ${user}`;
    this.changes.set(key, (this.changes.get(key) ?? 0) + 1);
  }

  transferred(transfer: Transfer): void {
    this.transfers.push(transfer);
    this.bytes += transfer.bytes;
  }

  /** How long a client waits for one answer: a dead main is a pause, and this is how long it is. */
  async timed<T>(run: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await run();
    } finally {
      this.longestAnswerMs = Math.max(this.longestAnswerMs, performance.now() - start);
    }
  }

  get targets(): readonly string[] {
    return [...this.#targets.keys()];
  }

  /** An upload to there begins: from now on the name holds what it held, or this. */
  beginUpload(file: string, next: Version): void {
    this.#targets.set(file, { now: this.#targets.get(file)?.now, next });
  }

  /** It was answered well: from now on the name holds this. */
  endUpload(file: string): void {
    this.#targets.set(file, { now: this.#targets.get(file)?.next });
  }

  /** What the name may hold now; undefined: it may be absent. */
  allowedAt(file: string): readonly (Version | undefined)[] {
    const { now, next } = this.#targets.get(file) ?? { now: undefined };
    return next === undefined ? [now] : [now, next];
  }
}

export async function hashFile(file: string): Promise<Version> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
