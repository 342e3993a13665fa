import type { Change } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import type { Method } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { Devices } from '#main-agent/sessions/devices.ts';
import type { Challenge, WaiverUse, Challenges } from './challenges.ts';
import { type CodeCheck, type RightCode, type TryAgain } from './code-check.ts';
import { buildRefusal } from './refusal.ts';

/** How a login came past the second factor, and what its commit must hold for that. */
export interface Passage {
  readonly method: Method;
  readonly state: 'signed-in' | 'setup-required';
  readonly evidence: readonly Change[];
  readonly spent: () => void;
  readonly reEnrol: boolean;
  readonly lease: string | undefined;
  readonly device: { value: string; maxAgeMs: number } | undefined;
  /** `factor not asked: …`, or the code that was right. */
  readonly rule: string;
}

interface Parts {
  readonly challenges: Challenges;
  readonly leases: Leases;
  readonly devices: Devices;
}

export class Passages {
  readonly #parts: Parts;
  readonly #codes: CodeCheck;

  constructor(parts: Parts, codes: CodeCheck) {
    this.#parts = parts;
    this.#codes = codes;
  }

  async find(record: Challenge, code: Secret | undefined): Promise<Passage | TryAgain> {
    const { next } = record;
    switch (next.kind) {
      case 'admit':
        return next.waiver === undefined ? noFactorDue('signed-in') : this.#waived(record, next.waiver);
      case 'setup':
        return noFactorDue('setup-required');
      case 'instruct':
        throw buildRefusal('set-up is forced and not done').error;
      case 'sealed':
        throw buildRefusal('still sealed').error;
      case 'code': {
        const answer = record.enclosedCode ?? code;
        if (answer === undefined) throw buildRefusal('no code').error;
        const right = await this.#codes.check(record, next, answer);
        if (right.outcome === 'right') return rightCode(right, next.leadsTo);
        if (right.outcome === 'carried') return this.ride(record, right.lease);
        if (record.enclosedCode === undefined) return right;
        // The password can't be typed again in the same login: one try.
        this.#parts.challenges.end(record.id);
        throw buildRefusal(`the code inside the password: ${right.reason}`).error;
      }
    }
  }

  #waived(record: Challenge, waiver: WaiverUse): Passage {
    const base = {
      state: 'signed-in' as const,
      reEnrol: false,
      lease: undefined,
      device: undefined,
      spent: () => undefined,
    };
    if (waiver.kind === 'trusted-network') {
      const rule = `factor not asked: trusted network ${waiver.cidr}`;
      return { ...base, method: 'trusted-network', evidence: [], rule };
    }
    if (waiver.kind === 'device') {
      const { changes, cookie } = this.#parts.devices.rotate({
        id: waiver.device,
        valueHash: waiver.valueHash,
      });
      return {
        ...base,
        method: 'device',
        evidence: changes,
        device: cookie,
        rule: 'factor not asked: device',
      };
    }
    return this.ride(record, waiver.lease);
  }

  ride(record: Challenge, lease: string): Passage {
    const ride = this.#parts.leases.ride(record, lease);
    if (ride === undefined) throw endGone(this.#parts, record, 'the lease is over or full');
    return {
      method: 'lease',
      state: 'signed-in',
      evidence: ride.changes,
      spent: ride.keep,
      reEnrol: false,
      lease,
      device: undefined,
      rule:
        record.next.kind === 'code'
          ? 'factor not asked: lease (the code was used by another connection)'
          : 'factor not asked: lease',
    };
  }
}

function noFactorDue(state: Passage['state']): Passage {
  return {
    method: 'none',
    state,
    evidence: [],
    spent: () => undefined,
    reEnrol: false,
    lease: undefined,
    device: undefined,
    rule: state === 'signed-in' ? 'no factor is required' : 'confined to set-up',
  };
}

function rightCode(right: RightCode, leadsTo: 'admit' | 'setup'): Passage {
  return {
    method: right.method,
    state: leadsTo === 'admit' ? 'signed-in' : 'setup-required',
    evidence: right.evidence,
    spent: right.spent,
    reEnrol: right.reEnrol,
    lease: undefined,
    device: undefined,
    rule: `code: ${right.method}`,
  };
}

/** Ends a login that what happened meanwhile made pointless; the client starts again. */
export function endGone(parts: Pick<Parts, 'challenges'>, record: Challenge, detail: string): SallyportError {
  parts.challenges.end(record.id);
  return new SallyportError('challenge-gone', 'This sign-in is over; start again', { detail });
}
