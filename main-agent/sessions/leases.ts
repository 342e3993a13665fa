import type { StoredLease } from '#main-agent/state/session-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { CodeMethod, Protocol } from '#shared/login.ts';
import { randomId } from '#shared/random-id.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import { leasesMax } from './limits.ts';

/**
 * Leases: after a login with a code that main verified, further connections of the same client need the first factor
 * but no new code. Bound to user, credential, protocol, node, exact address and client identification; the last two
 * are the DMZ's word.
 */

export interface LeaseAdmin {
  list(): Promise<readonly StoredLease[]>;
  /** False: there was none. */
  end(id: string): Promise<boolean>;
  endAllOf(username: string, why: AdminReason): Promise<void>;
}

export interface LeaseBinding {
  readonly username: string;
  readonly credential: string;
  readonly protocol: Protocol;
  readonly node: string;
  readonly clientIp: string;
  readonly agent: string;
}

/** Never after a recovery or bypass code, a device, a trusted network or another lease. */
const methodsThatLease: ReadonlySet<string> = new Set<CodeMethod>(['totp', 'email', 'sms']);

export class Leases {
  readonly #settings: MainAgentConfig['twoFactor']['lease'];
  readonly #state: StateStore;
  readonly #clock: Clock;
  /** Sessions that ride on a lease, those being opened included. */
  readonly #countRiders: (lease: string) => number;
  readonly #byBinding = new Map<string, StoredLease>();

  constructor(dependencies: {
    readonly settings: MainAgentConfig['twoFactor']['lease'];
    readonly state: StateStore;
    readonly clock: Clock;
    readonly countRiders: (lease: string) => number;
  }) {
    this.#settings = dependencies.settings;
    this.#state = dependencies.state;
    this.#clock = dependencies.clock;
    this.#countRiders = dependencies.countRiders;
  }

  async start(): Promise<void> {
    for (const lease of await this.#state.read('leases')) {
      if (this.#settings === undefined) await this.end(lease.id);
      else this.#byBinding.set(keyOf(lease), lease);
    }
  }

  /** The lease this client may ride on now. */
  find(binding: LeaseBinding): StoredLease | undefined {
    const lease = this.#byBinding.get(keyOf(binding));
    const settings = this.#settings;
    if (lease === undefined || settings === undefined || !settings.protocols.includes(binding.protocol))
      return undefined;
    const nowMs = this.#clock.now();
    if (lease.expiresAtMs <= nowMs || lease.usedAtMs + lease.ttlMs <= nowMs || lease.opensLeft <= 0) {
      this.#byBinding.delete(keyOf(lease));
      return undefined;
    }
    return this.#countRiders(lease.id) < settings.connections ? lease : undefined;
  }

  /** A new lease for this login, if its method earns one: the changes of the login's commit, and what follows it. */
  offer(
    binding: LeaseBinding,
    method: string,
  ): { readonly id: string; readonly changes: readonly Change[]; readonly keep: () => void } | undefined {
    const settings = this.#settings;
    if (settings === undefined || !settings.protocols.includes(binding.protocol)) return undefined;
    if (!methodsThatLease.has(method)) return undefined;
    const nowMs = this.#clock.now();
    const { username, credential, protocol, node, clientIp, agent } = binding;
    const lease: StoredLease = {
      id: randomId(),
      username,
      credential,
      protocol,
      node,
      clientIp,
      agent,
      openedAtMs: nowMs,
      usedAtMs: nowMs,
      ttlMs: settings.ttlMs,
      expiresAtMs: nowMs + settings.maxMs,
      opensLeft: settings.opens,
    };
    const before = this.#byBinding.get(keyOf(binding));
    const changes: Change[] = [{ kind: 'open-lease', lease }];
    if (before !== undefined) changes.unshift({ kind: 'end-lease', id: before.id });
    return { id: lease.id, changes, keep: () => this.#keep(lease) };
  }

  /** Riding: the change of the login's commit, and what follows it. Undefined: not any more. */
  ride(
    binding: LeaseBinding,
    id: string,
  ): { readonly changes: readonly Change[]; readonly keep: () => void } | undefined {
    const lease = this.find(binding);
    if (lease?.id !== id) return undefined;
    const nowMs = this.#clock.now();
    return {
      changes: [{ kind: 'use-lease', id, nowMs }],
      keep: () => {
        const present = this.#byBinding.get(keyOf(lease));
        if (present?.id === id)
          this.#byBinding.set(keyOf(lease), {
            ...present,
            usedAtMs: nowMs,
            opensLeft: present.opensLeft - 1,
          });
      },
    };
  }

  #keep(lease: StoredLease): void {
    this.#byBinding.set(keyOf(lease), lease);
    if (this.#byBinding.size <= leasesMax) return;
    const alive = new Set(this.list().map((one) => one.id));
    for (const [key, one] of this.#byBinding) if (!alive.has(one.id)) this.#byBinding.delete(key);
    for (const key of this.#byBinding.keys()) {
      if (this.#byBinding.size <= leasesMax) break;
      this.#byBinding.delete(key);
    }
  }

  list(): readonly StoredLease[] {
    const nowMs = this.#clock.now();
    return [...this.#byBinding.values()].filter(
      (one) => one.expiresAtMs > nowMs && one.usedAtMs + one.ttlMs > nowMs,
    );
  }

  /** In one commit with `alongside`. False: there was none. */
  async end(id: string, alongside: readonly Change[] = []): Promise<boolean> {
    const lease = [...this.#byBinding.values()].find((one) => one.id === id);
    if (lease !== undefined) this.#byBinding.delete(keyOf(lease));
    await this.#state.commit([{ kind: 'end-lease', id }, ...alongside]);
    return lease !== undefined;
  }

  /** In one commit with `alongside`. */
  async endAllOf(username: string, alongside: readonly Change[] = []): Promise<void> {
    this.forget(username);
    await this.#state.commit([{ kind: 'end-leases', user: username }, ...alongside]);
  }

  /** When the change itself is part of another commit. */
  forget(username: string): void {
    for (const lease of this.#byBinding.values())
      if (lease.username === username) this.#byBinding.delete(keyOf(lease));
  }

  /** Everything from this address, or through this node. */
  async endWhere(matches: (lease: StoredLease) => boolean): Promise<void> {
    for (const lease of this.#byBinding.values()) if (matches(lease)) await this.end(lease.id);
  }
}

/**
 * Ends all that stands for this user's code, leases and remembered devices, in a commit of somebody else's: once it is
 * done the leases have to be forgotten (`forget`).
 */
export function endWaivers(user: string): readonly Change[] {
  return [
    { kind: 'end-leases', user },
    { kind: 'end-devices', user },
  ];
}

function keyOf({ username, credential, protocol, node, clientIp, agent }: LeaseBinding): string {
  return JSON.stringify([username, credential, protocol, node, clientIp, agent]);
}
