import type { HealthCheck } from './check.ts';

/** Room on the disks where a node writes. */

interface PlaceRoom {
  readonly place: string;
  /** Bytes. */
  readonly free: number;
  readonly size: number;
}

/** Of the disk: there is time to make room, and there is none. */
const warnBelow = 0.1;
const alarmBelow = 0.02;

export function buildRoomCheck<Facts>(
  roomOf: (facts: Facts) => Promise<readonly PlaceRoom[]>,
): HealthCheck<Facts> {
  const cure = 'make room, or put it on a larger disk; below 2 % uploads and then sign-ins fail';
  return {
    id: 'disk-room',
    looksAt: 'room where state, audit and storages lie: a warning below 10 %, an alarm below 2 %',
    cure,
    affects: 'health',
    look: async (facts) => {
      const places = await roomOf(facts);
      const tight = places.filter(({ free, size }) => size > 0 && free / size < warnBelow);
      if (tight.length === 0)
        return [{ state: 'good', detail: `${places.map(({ place }) => place).join(', ')} have room` }];
      return tight.map(({ place, free, size }) => ({
        state: free / size < alarmBelow ? 'bad' : 'warning',
        // Whole per cent: the sentence stays the same while somebody looks at it.
        detail: `${place}: ${Math.floor((100 * free) / size)} % of the disk is free`,
        hint: cure,
      }));
    },
  };
}
