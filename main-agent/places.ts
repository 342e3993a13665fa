import { stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { MainAgentConfig } from '#main-agent/config.ts';

/** Where main keeps what must not run out of room. */

export interface PlaceRoom {
  /** `state`, `audit`, or a storage's name after `storage `. */
  readonly place: string;
  /** Bytes; what root keeps for itself does not count as free. */
  readonly free: number;
  readonly size: number;
}

/** A place that can't be asked is left out: whoever uses it says what is wrong with it. */
export async function measureRoom({
  state,
  audit,
  storages,
}: Pick<MainAgentConfig, 'state' | 'audit' | 'storages'>): Promise<readonly PlaceRoom[]> {
  const places = [
    ['state', path.dirname(state.file)],
    ['audit', path.dirname(audit.file)],
    ...Object.entries(storages).map(([name, { base }]) => [`storage ${name}`, base]),
  ] as const;
  const measured = await Promise.all(
    places.map(async ([place, folder]) => {
      const found = await statfs(folder ?? '').catch(() => undefined);
      if (found === undefined) return [];
      return [{ place: place ?? '', free: found.bavail * found.bsize, size: found.blocks * found.bsize }];
    }),
  );
  return measured.flat();
}

/** state.db and its journal, in bytes. */
export async function measureState({ state }: Pick<MainAgentConfig, 'state'>): Promise<number> {
  const sizes = await Promise.all(
    [state.file, `${state.file}-wal`].map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
