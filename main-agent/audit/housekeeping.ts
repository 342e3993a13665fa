import { open, rm } from 'node:fs/promises';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';
import { listRotated, type RotatedFile } from './audit-files.ts';
import { hashLine, parseLine } from './chain.ts';
import { readLastLine, readLines } from './file-lines.ts';
import { auditInStateMs, pruneStep } from './limits.ts';
import { isRestoreRecord } from './verify.ts';

/**
 * What leaves: full files past their retention, each after a record that says where the chain begins from now on, and
 * records in state.db that are old and durable in a full file.
 */

interface HousekeepingOptions {
  readonly state: Pick<StateStore, 'commit' | 'read'>;
  readonly file: string;
  readonly keepMs: number;
  readonly clock: Clock;
}

interface EndedFile extends RotatedFile {
  readonly last: ChainHead;
  readonly endedAtMs: number;
}

export class Housekeeping {
  readonly #options: HousekeepingOptions;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const nowMs = this.#options.clock.now();
    const ended: EndedFile[] = [];
    for (const one of await listRotated(this.#options.file)) {
      const file = await readEnd(one);
      // A file whose end can't be read is evidence of something; nothing from it on is touched.
      if (file === undefined) break;
      ended.push(file);
    }
    // The newest stays: the chain is found in it when the active file is lost.
    const older = ended.slice(0, -1);
    for (const file of older) {
      if (nowMs - file.endedAtMs <= this.#options.keepMs) break;
      await this.#retire(file);
    }
    const safe = ended.findLast(({ endedAtMs }) => nowMs - endedAtMs > auditInStateMs);
    // The last record of a file stays in the state: it is how the file is known to belong to it.
    if (safe !== undefined) await this.#prune(safe.last.sequence);
  }

  /**
   * The record is durable before the file goes, so that a chain that begins late is explained by itself. What was said
   * in it of restores is said anew: no retention takes that away.
   */
  async #retire({ path, last }: EndedFile): Promise<void> {
    const { state, clock } = this.#options;
    const time = new Date(clock.now()).toISOString();
    const restores: Change[] = [];
    for await (const { text } of readLines(path)) {
      const record = parseLine(text)?.record;
      if (record !== undefined && isRestoreRecord(record))
        restores.push({ kind: 'audit', record: { ...record, time, outcome: 'ok', actor: 'system' } });
    }
    await state.commit([
      {
        kind: 'audit',
        record: {
          time,
          event: 'audit.retired',
          outcome: 'ok',
          actor: 'system',
          rule: 'audit.keep',
          path,
          detail: `${last.sequence}:${last.hash}`,
        },
      },
      ...restores,
    ]);
    await rm(path, { force: true });
  }

  async #prune(before: number): Promise<void> {
    const { state } = this.#options;
    let { first } = await state.read('audit-extent');
    while (first > 0 && first < before) {
      first = Math.min(first + pruneStep, before);
      await state.commit([{ kind: 'prune-audit', before: first }]);
    }
  }
}

async function readEnd(file: RotatedFile): Promise<EndedFile | undefined> {
  const handle = await open(file.path, 'r');
  try {
    const { text } = await readLastLine(handle);
    const line = parseLine(text ?? '');
    if (text === undefined || line === undefined) return undefined;
    const time = 'time' in line.record ? Date.parse(String(line.record.time)) : Number.NaN;
    if (Number.isNaN(time)) return undefined;
    return { ...file, last: { sequence: line.sequence, hash: hashLine(text) }, endedAtMs: time };
  } finally {
    await handle.close();
  }
}
