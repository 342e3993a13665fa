/**
 * What the run before said would be deleted, and what is being deleted: two small files beside the state. Losing the
 * first costs a day; the second is why a file that went when main was killed has its record all the same.
 *
 * Trust: only main writes them; they are checked all the same, since they outlive the process that wrote them.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { isErrno, removeDurably, writeDurably } from '#main-agent/durable-file.ts';
import type { Log } from '#shared/log.ts';

/** Times from when a file is on the list, by its key. */
export interface RetentionList {
  /** When the last run began; undefined: there was none. */
  readonly ranAtMs: number | undefined;
  readonly listedAtMs: ReadonlyMap<string, number>;
}

const nothing: RetentionList = { ranAtMs: undefined, listedAtMs: new Map() };

/** A file about to go, with all that its record says. */
const goingSchema = z.object({
  key: z.string(),
  storage: z.string(),
  path: z.array(z.string()),
  virtualPath: z.array(z.string()),
  user: z.string().optional(),
  bytes: z.number(),
  detail: z.string(),
});
export type Going = z.output<typeof goingSchema>;

export class RetentionFiles {
  readonly #list: string;
  readonly #going: string;
  readonly #log: Log;

  /** `file`: its path; the other one is beside it. */
  constructor(file: string, log: Log) {
    this.#list = file;
    this.#going = `${file}.going`;
    this.#log = log;
  }

  async readList(): Promise<RetentionList> {
    const [head = '', ...lines] = (await read(this.#list))?.split('\n') ?? [];
    if (head === '') return nothing;
    const listedAtMs = new Map<string, number>();
    for (const line of lines) {
      const [, key, time] = /^([A-Za-z0-9_-]{22}) (\d{1,16})$/.exec(line) ?? [];
      if (key !== undefined) listedAtMs.set(key, Number(time));
    }
    return { ranAtMs: /^\d{1,16}$/.test(head) ? Number(head) : undefined, listedAtMs };
  }

  async writeList({ ranAtMs, listedAtMs }: RetentionList): Promise<void> {
    const lines = Array.from(listedAtMs, ([key, atMs]) => `${key} ${Math.floor(atMs)}`);
    const head = ranAtMs === undefined ? '-' : String(Math.floor(ranAtMs));
    await writeDurably(this.#list, `${[head, ...lines].join('\n')}\n`, { mode: 0o600 });
  }

  async readGoing(): Promise<readonly Going[]> {
    const text = await read(this.#going);
    if (text === undefined) return [];
    try {
      return z.array(goingSchema).parse(JSON.parse(text));
    } catch (error) {
      this.#log.warn({ err: error, file: this.#going }, 'what was being deleted can not be read');
      return [];
    }
  }

  async writeGoing(going: readonly Going[]): Promise<void> {
    await writeDurably(this.#going, JSON.stringify(going), { mode: 0o600 });
  }

  async forgetGoing(): Promise<void> {
    await removeDurably(this.#going);
  }
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
