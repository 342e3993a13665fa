import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import type { StoredStart } from '#main-agent/state/kept-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { EventBody } from '#shared/link/messages.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';
import { startsKept } from './limits.ts';

/**
 * Every process of main numbers itself in state.db before it serves, and signs with that number each head of the audit
 * that it tells a node. A node says in its hello what it was told last: a number that this state never gave, to a
 * process it does not know, or for records that were written after that process had ended here, means that the state is
 * older than what the node has seen. A node can neither make such a word up nor move it to another time: without main's
 * key it can only repeat what main signed, and what an honest state signed fits it for ever.
 */

export type SignedHead = EventBody<'audit.head'>;

export type Judgement =
  | { readonly kind: 'fits' }
  /** Not signed by main: the node made it up. */
  | { readonly kind: 'forged' }
  | { readonly kind: 'contradicts'; readonly detail: string };

export class Starts {
  readonly #state: Pick<StateStore, 'commit' | 'read'>;
  readonly #boot: string;
  readonly #clock: Clock;
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  /** Oldest first. */
  #known: readonly StoredStart[] = [];
  #settledBefore = 0;
  #number = 0;

  /** `boot` names this process; `privateKey` is main's link key. */
  constructor(state: Pick<StateStore, 'commit' | 'read'>, boot: string, privateKey: KeyObject, clock: Clock) {
    this.#clock = clock;
    this.#state = state;
    this.#boot = boot;
    this.#privateKey = privateKey;
    this.#publicKey = createPublicKey(privateKey);
  }

  /**
   * What makes this process known; it must be durable before anything is signed. `above`: a restore is accepted with it,
   * and its number is higher than this one, and than any that a process signed which the state does not know.
   */
  async prepare(above?: number): Promise<readonly Change[]> {
    const before = (await this.#state.read('kept-start')).toSorted((one, other) => one.number - other.number);
    const { last } = await this.#state.read('audit-extent');
    const newest = before.at(-1)?.number ?? 0;
    // Starts are further apart than a millisecond, so no branch of the state counts faster than the clock.
    this.#number = above === undefined ? newest + 1 : Math.max(newest + 1, above + 1, this.#clock.now());
    const own: StoredStart = {
      id: this.#boot,
      number: this.#number,
      firstSequence: last + 1,
      ...(above !== undefined && { settles: true }),
    };
    const over = before.slice(0, Math.max(0, before.length + 1 - startsKept));
    this.#known = [...before.slice(over.length), own];
    this.#settledBefore = Math.max(
      this.#known[0]?.number ?? 0,
      ...this.#known.map((start) => (start.settles === true ? start.number : 0)),
    );
    return [
      { kind: 'keep-record', list: 'start', record: own },
      ...over.map(({ id }): Change => ({ kind: 'drop-record', list: 'start', id })),
    ];
  }

  async begin(): Promise<void> {
    await this.#state.commit(await this.prepare());
  }

  sign(head: ChainHead): SignedHead {
    const unsigned = { start: this.#number, boot: this.#boot, sequence: head.sequence, hash: head.hash };
    return { ...unsigned, signature: sign(null, octetsOf(unsigned), this.#privateKey).toString('base64url') };
  }

  judge(head: SignedHead): Judgement {
    const { start, boot, sequence, signature } = head;
    if (!verify(null, octetsOf(head), this.#publicKey, Buffer.from(signature, 'base64url')))
      return { kind: 'forged' };
    // Settled, or from before all that is known: it says nothing.
    if (start < this.#settledBefore) return { kind: 'fits' };
    const index = this.#known.findIndex((one) => one.number === start && one.id === boot);
    if (index === -1)
      return { kind: 'contradicts', detail: `a start (${start}) that state.db knows nothing of` };
    const next = this.#known[index + 1];
    if (next !== undefined && sequence >= next.firstSequence)
      return {
        kind: 'contradicts',
        detail: `audit record ${sequence} of start ${start}, which ended at ${next.firstSequence - 1} here`,
      };
    return { kind: 'fits' };
  }
}

/** The first line keeps this signature from meaning anything else this key signs. */
function octetsOf({ start, boot, sequence, hash }: Omit<SignedHead, 'signature'>): Buffer {
  return Buffer.from(['sallyport audit head 1', start, boot, sequence, hash].join('\n'), 'utf8');
}
