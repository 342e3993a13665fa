/**
 * What lies on the storages and is not served, for `status` and `doctor`. Main reads all names once a day, in the
 * background and slowly; nobody's request waits for it. A report says how much was looked at: what was not is not well,
 * it is unknown.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { UnservedPlace } from '#main-agent/files/storage/unserved.ts';
import {
  surveyEntriesMax,
  surveyFreshMs,
  surveyPatienceMs,
  surveyPieceEntries,
  surveyPlacesMax,
  surveyPlacesOfOneMax,
  surveyRestShare,
} from './limits.ts';
import type { Storage } from './storage/storage.ts';

export interface StorageSurvey {
  readonly storage: string;
  /** Names looked at. */
  readonly looked: number;
  /** Whether these are all there are. */
  readonly isComplete: boolean;
  /** Entries that are not served. */
  readonly unserved: number;
  /** Some of them. */
  readonly places: readonly UnservedPlace[];
  /** When it ended; undefined: it goes on. */
  readonly endedAtMs: number | undefined;
}

/** Looks for names that are not served, on all storages. */
export interface Surveys {
  /** Each storage as far as it was looked at. */
  report(): readonly StorageSurvey[];
  /** Looks anew, in vain for no longer than a person waits; what is not done by then goes on. */
  refresh(): Promise<readonly StorageSurvey[]>;
}

class Walk implements StorageSurvey {
  readonly storage: string;
  looked = 0;
  isComplete = false;
  unserved = 0;
  readonly places: UnservedPlace[] = [];
  endedAtMs: number | undefined;
  /** Nobody waits for it, so it rests. */
  isPatient: boolean;
  done: Promise<void> = Promise.resolve();
  readonly #placesByTop = new Map<string, number>();

  constructor(storage: string, isPatient: boolean) {
    this.storage = storage;
    this.isPatient = isPatient;
  }

  unlooked = 0;

  note(path: readonly string[], kind: UnservedPlace['kind']): void {
    if (kind === 'unlooked') this.unlooked += 1;
    else this.unserved += 1;
    const [top = ''] = path;
    const ofTop = this.#placesByTop.get(top) ?? 0;
    if (this.places.length >= surveyPlacesMax || ofTop >= surveyPlacesOfOneMax) return;
    this.#placesByTop.set(top, ofTop + 1);
    this.places.push({ path: path.join('/'), kind });
  }
}

export class Survey implements Surveys {
  readonly #storages: readonly Storage[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #closing = new AbortController();
  readonly #walks = new Map<string, Walk>();
  /** The last that ended, while another is under way. */
  readonly #ended = new Map<string, StorageSurvey>();

  constructor(storages: Iterable<Storage>, clock: Clock, log: Log) {
    this.#storages = [...storages];
    this.#clock = clock;
    this.#log = log;
  }

  keepFresh(): void {
    const sinceMs = this.#clock.now() - surveyFreshMs;
    for (const storage of this.#storages) {
      const endedAtMs = this.#ended.get(storage.name)?.endedAtMs;
      if (endedAtMs === undefined || endedAtMs < sinceMs) this.#begin(storage, true);
    }
  }

  report(): readonly StorageSurvey[] {
    return this.#storages.map(({ name }) => {
      const { storage, looked, isComplete, unserved, places, endedAtMs } =
        this.#ended.get(name) ?? this.#walks.get(name) ?? new Walk(name, true);
      return { storage, looked, isComplete, unserved, places: [...places], endedAtMs };
    });
  }

  async refresh(): Promise<readonly StorageSurvey[]> {
    const walks = this.#storages.map((storage) => this.#begin(storage, false));
    const over = new AbortController();
    const patience = wait(surveyPatienceMs, undefined, { ref: false, signal: over.signal }).catch(
      () => undefined,
    );
    await Promise.race([Promise.all(walks.map(({ done }) => done)), patience]);
    over.abort();
    for (const walk of walks) walk.isPatient = true;
    return this.report();
  }

  /** One at a time of each storage; who waits makes it hurry. */
  #begin(storage: Storage, isPatient: boolean): Walk {
    const running = this.#walks.get(storage.name);
    if (running !== undefined) {
      running.isPatient &&= isPatient;
      return running;
    }
    const walk = new Walk(storage.name, isPatient);
    if (this.#closing.signal.aborted) return walk;
    this.#walks.set(storage.name, walk);
    walk.done = this.#run(storage, walk).finally(() => this.#walks.delete(storage.name));
    return walk;
  }

  async #run(storage: Storage, walk: Walk): Promise<void> {
    const { signal } = this.#closing;
    const bound = new AbortController();
    let sinceMs = this.#clock.monotonic();
    try {
      await storage.survey({
        signal: AbortSignal.any([signal, bound.signal]),
        onLooked: async (entries) => {
          walk.looked += entries;
          if (walk.looked >= surveyEntriesMax) bound.abort();
          if (walk.isPatient && entries === surveyPieceEntries) {
            const tookMs = this.#clock.monotonic() - sinceMs;
            await wait(tookMs * surveyRestShare, undefined, { ref: false, signal });
          }
          sinceMs = this.#clock.monotonic();
        },
        onUnserved: (path, kind) => walk.note(path, kind),
        onUnlooked: (path) => walk.note(path, 'unlooked'),
      });
      walk.isComplete = walk.unlooked === 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!bound.signal.aborted)
        this.#log.warn({ err: error, storage: storage.name }, 'looking through a storage failed');
    }
    walk.endedAtMs = this.#clock.now();
    this.#ended.set(storage.name, walk);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#walks.values()].map(({ done }) => done));
  }
}
