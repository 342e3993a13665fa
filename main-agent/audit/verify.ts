import type { ChainHead } from '#main-agent/state/audit-record.ts';
import { existsSync } from 'node:fs';
import { listRotated } from './audit-files.ts';
import { chainStart, hashLine, parseLine } from './chain.ts';
import { EdgeCounts, type EdgeLoss } from './edge-counts.ts';
import { readLines } from './file-lines.ts';

/**
 * Checks the audit files from the oldest to the one being written: works offline, on the files alone. A record edited,
 * removed, moved or put in breaks the chain where it happened; a cut end shows against a head noted elsewhere.
 */

/** A head that the files must contain, and who says so: `checkpoint`, `state.db`, `dmz1`, `--expect-head`. */
export interface ExpectedHead extends ChainHead {
  readonly from: string;
}

export interface AuditWhole {
  readonly ok: true;
  readonly files: number;
  readonly records: number;
  /** Number of the oldest record; 0 = there is none. */
  readonly first: number;
  readonly head: ChainHead;
  /** Who agrees, of those that were expected. */
  readonly agreed: readonly string[];
  /** Expected heads from before the oldest record: nothing to compare with. */
  readonly tooOld: readonly string[];
  /** Events that a DMZ node counted and main never got; each is told in the audit too. */
  readonly edgeLosses: readonly EdgeLoss[];
  /** How often, and when, state.db or these files were put back: the audit tells it for ever. */
  readonly restores: readonly ToldRestore[];
  /** The file ends amid a line: a writer at work, or a crash that main mends at its next start. */
  readonly endsAmidLine: boolean;
}

interface ToldRestore {
  /** Number of the record that says so. */
  readonly record: number;
  readonly what: 'state' | 'audit';
  readonly detail: string;
}

interface AuditBroken {
  readonly ok: false;
  /** The first broken record: file, and line in it, from 1. */
  readonly file: string;
  readonly line: number;
  readonly reason: string;
  /** All before it is whole. */
  readonly head: ChainHead;
}

type AuditVerdict = AuditWhole | AuditBroken;

/** While main turns files over, names move under the reader. */
const attemptsMax = 3;

/** `file`: the one being written, as configured; a single rotated one can be checked by itself. */
export async function verifyAudit(
  file: string,
  expected: readonly ExpectedHead[] = [],
): Promise<AuditVerdict> {
  for (let attempt = 1; ; attempt += 1) {
    const files = await listFiles(file);
    const walked = await new Walk(files, expected).run().catch((error: unknown) => ({ error }));
    const moved = (await listFiles(file)).join('\n') !== files.join('\n');
    if (moved && attempt < attemptsMax) continue;
    if ('error' in walked) throw walked.error;
    return walked;
  }
}

async function listFiles(file: string): Promise<readonly string[]> {
  const rotated = (await listRotated(file)).map(({ path }) => path);
  return existsSync(file) || rotated.length === 0 ? [...rotated, file] : rotated;
}

class Walk {
  readonly #files: readonly string[];
  readonly #expected: readonly ExpectedHead[];
  readonly #edges = new EdgeCounts();
  /** By reference: retention says those anew that it would take away. */
  readonly #restores = new Map<string, ToldRestore>();
  #head = chainStart;
  #first = 0;
  #records = 0;
  /** What stood before the oldest record, until a record explains why it is gone. */
  #unexplained: { readonly file: string; readonly previous: string } | undefined;
  #endsAmidLine = false;
  #file = '';
  #line = 0;

  constructor(files: readonly string[], expected: readonly ExpectedHead[]) {
    this.#files = files;
    this.#expected = expected;
  }

  async run(): Promise<AuditVerdict> {
    let broken: AuditBroken | undefined;
    for (const file of this.#files) {
      this.#file = file;
      this.#line = 0;
      for await (const { text, number, isWhole } of readLines(file)) {
        this.#line = number;
        if (!isWhole && file === this.#files.at(-1)) this.#endsAmidLine = true;
        else if (broken === undefined) {
          const reason = isWhole ? this.#take(text) : 'the file ends amid a record';
          if (reason !== undefined) broken = this.#broken(reason);
        } else {
          // Only to learn whether the beginning was broken before that.
          this.#explain(parseLine(text)?.record ?? {});
        }
      }
    }
    if (this.#unexplained !== undefined) {
      const { file } = this.#unexplained;
      return {
        ...this.#broken(`the records before number ${this.#first} are gone, and no retention removed them`),
        file,
        line: 1,
        head: chainStart,
      };
    }
    if (broken !== undefined) return broken;
    const cut = this.#expected.find((one) => one.sequence > this.#head.sequence);
    if (cut !== undefined) {
      this.#line += 1;
      return this.#broken(`the end was cut: ${cut.from} knows record ${cut.sequence}`);
    }
    return {
      ok: true,
      files: this.#files.length,
      records: this.#records,
      first: this.#first,
      head: this.#head,
      agreed: this.#expected.filter((one) => !this.#isOld(one)).map(({ from }) => from),
      tooOld: this.#expected.filter((one) => this.#isOld(one)).map(({ from }) => from),
      edgeLosses: this.#edges.losses(),
      restores: [...this.#restores.values()],
      endsAmidLine: this.#endsAmidLine,
    };
  }

  /** Why this line can't stand here, or undefined. */
  #take(text: string): string | undefined {
    const line = parseLine(text);
    if (line === undefined) return 'not an audit record';
    if (this.#records === 0) this.#begin(line.sequence, line.previous);
    else if (line.previous !== this.#head.hash) return 'does not continue the record before it';
    if (line.sequence <= this.#head.sequence) return `number ${line.sequence} after ${this.#head.sequence}`;
    const passed = this.#expected.find(
      (one) => one.sequence > this.#head.sequence && one.sequence < line.sequence && !this.#isOld(one),
    );
    if (passed !== undefined) return `record ${passed.sequence}, which ${passed.from} knows, is missing`;

    this.#head = { sequence: line.sequence, hash: hashLine(text) };
    this.#records += 1;
    const other = this.#expected.find(
      (one) => one.sequence === line.sequence && one.hash !== this.#head.hash,
    );
    if (other !== undefined) return `differs from what ${other.from} knows`;
    this.#explain(line.record);
    this.#noteRestore(line.sequence, line.record);
    return this.#edges.take(line.sequence, line.record);
  }

  #begin(sequence: number, previous: string): void {
    this.#first = sequence;
    if (previous !== chainStart.hash || sequence > 1) this.#unexplained = { file: this.#file, previous };
  }

  #explain(record: object): void {
    if (!('event' in record) || record.event !== 'audit.retired' || !('detail' in record)) return;
    const [, hash] = String(record.detail).split(':');
    if (hash === this.#unexplained?.previous) this.#unexplained = undefined;
  }

  #noteRestore(sequence: number, record: object): void {
    if (!isRestoreRecord(record)) return;
    const { event, reference, detail = '' } = record;
    const what = event === 'state.restored' ? 'state' : 'audit';
    if (!this.#restores.has(reference)) this.#restores.set(reference, { record: sequence, what, detail });
  }

  #isOld({ sequence }: ExpectedHead): boolean {
    return sequence > 0 && sequence < this.#first;
  }

  #broken(reason: string): AuditBroken {
    return { ok: false, file: this.#file, line: this.#line, reason, head: this.#head };
  }
}

interface RestoreRecord {
  readonly event: 'state.restored' | 'audit.restored';
  readonly reference: string;
  readonly detail?: string;
}

/** Does it say that state.db or the audit was put back? */
export function isRestoreRecord(record: object): record is RestoreRecord {
  if (!('event' in record) || !('reference' in record) || typeof record.reference !== 'string') return false;
  return record.event === 'state.restored' || record.event === 'audit.restored';
}
