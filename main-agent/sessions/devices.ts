import { createHash } from 'node:crypto';
import type { StoredDevice } from '#main-agent/state/session-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { randomId, type RandomBytes } from '#shared/random-id.ts';
import { deviceOverlapMs, devicesPerUserMax } from './limits.ts';

/**
 * Remembered browsers: a cookie that stands for the code at login, and only there. Its value is stored hashed and
 * replaced at each use, so a copy shows itself: whoever comes second with an old value gives the theft away.
 *
 * The value is id and secret, 256 bit each, as 86 characters of base64url. Who holds an id holds a cookie of it: an
 * id with any value but the present one is a copy.
 */

const idCharacters = 43;

interface DeviceFacts {
  readonly username: string;
  readonly node: string;
  readonly credential: string;
}

/** A browser that asks to be remembered. */
interface NewDevice extends DeviceFacts {
  /** What it calls itself. */
  readonly agent: string;
}

type DeviceVerdict =
  | { readonly kind: 'known'; readonly device: StoredDevice; readonly valueHash: string }
  /** A replaced value: there are two holders. */
  | { readonly kind: 'copied'; readonly device: StoredDevice }
  | { readonly kind: 'unknown' };

export class Devices {
  readonly #lifeMs: number | undefined;
  readonly #state: StateStore;
  readonly #clock: Clock;
  readonly #random: RandomBytes;

  constructor(dependencies: {
    /** Undefined: off. */
    readonly lifeMs: number | undefined;
    readonly state: StateStore;
    readonly clock: Clock;
    readonly random: RandomBytes;
  }) {
    this.#lifeMs = dependencies.lifeMs;
    this.#state = dependencies.state;
    this.#clock = dependencies.clock;
    this.#random = dependencies.random;
  }

  async find(value: string, facts: DeviceFacts): Promise<DeviceVerdict> {
    if (this.#lifeMs === undefined) return { kind: 'unknown' };
    const id = value.slice(0, idCharacters);
    const device = (await this.#state.read('devices', { user: facts.username })).find((one) => one.id === id);
    const nowMs = this.#clock.now();
    if (device === undefined || device.expiresAtMs <= nowMs) return { kind: 'unknown' };
    if (device.node !== facts.node || device.credential !== facts.credential) return { kind: 'unknown' };
    const valueHash = hashOf(value);
    if (valueHash === device.valueHash) return { kind: 'known', device, valueHash };
    // A parallel tab still shows the value before; it is told nothing new and asked for the code.
    if (valueHash === device.previousHash && nowMs - device.rotatedAtMs < deviceOverlapMs)
      return { kind: 'unknown' };
    return { kind: 'copied', device };
  }

  /** Replaces the value: the change of the login's commit and the cookie to set. */
  rotate(device: { readonly id: string; readonly valueHash: string }): {
    readonly changes: readonly Change[];
    readonly cookie: { value: string; maxAgeMs: number };
  } {
    const nowMs = this.#clock.now();
    const value = this.#makeValue(device.id);
    return {
      changes: [
        {
          kind: 'rotate-device',
          id: device.id,
          oldHash: device.valueHash,
          newHash: hashOf(value),
          nowMs,
        },
      ],
      cookie: { value, maxAgeMs: this.#lifeMs ?? 0 },
    };
  }

  /** Remembers this browser. Undefined: switched off. */
  async remember(
    facts: NewDevice,
  ): Promise<
    { readonly changes: readonly Change[]; readonly cookie: { value: string; maxAgeMs: number } } | undefined
  > {
    const lifeMs = this.#lifeMs;
    if (lifeMs === undefined) return undefined;
    const nowMs = this.#clock.now();
    const id = randomId();
    const value = this.#makeValue(id);
    const device: StoredDevice = {
      ...facts,
      id,
      valueHash: hashOf(value),
      rotatedAtMs: nowMs,
      openedAtMs: nowMs,
      expiresAtMs: nowMs + lifeMs,
    };
    const present = [...(await this.#state.read('devices', { user: facts.username }))].toSorted(
      (one, other) => one.openedAtMs - other.openedAtMs,
    );
    const tooMany = present.slice(0, Math.max(0, present.length + 1 - devicesPerUserMax));
    return {
      changes: [...tooMany.map((one) => endDevice(one.id)), { kind: 'open-device', device }],
      cookie: { value, maxAgeMs: lifeMs },
    };
  }

  #makeValue(id: string): string {
    return id + this.#random(32).toString('base64url');
  }
}

/** In a commit of somebody else's. */
export function endDevice(id: string): Change {
  return { kind: 'end-device', id };
}

function hashOf(value: string): string {
  return createHash('sha256').update(value).digest('base64url');
}
