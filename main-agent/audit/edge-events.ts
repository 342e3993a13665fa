import type { KeyObject } from 'node:crypto';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { isEdgeEventOf, type EdgeEvent } from '#shared/link/edge-event.ts';
import type { Log } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import {
  edgeEventsPerCommit,
  edgeEventsPerNodeMax,
  edgeRecordRate,
  edgeRoomEveryMs,
  problemToldForMs,
  retryMs,
} from './limits.ts';
import {
  type AuditEvent,
  type AuditRecord,
  buildRecord,
  type EdgeCount,
} from '#main-agent/state/audit-record.ts';

/**
 * What DMZ nodes tell of their edge, into the audit (D-43): each event once, in the node's own order, with the node's
 * signature; a number that is missing gets a record of its own. A node is told what it need not keep any more.
 *
 * A node that sends faster than its rate waits: what it is not told to be taken an honest one keeps, counts and tells
 * itself, so nothing is lost silently, and one that was broken into neither fills the disk nor has main verify
 * signatures all day.
 *
 * Trust: events are the node's word; what strangers chose in them is text.
 */

interface EdgeEventsOptions {
  readonly state: Pick<StateStore, 'commit' | 'read'>;
  /** Two while keys are rotated; none of a node that is not trusted. */
  readonly publicKeysOf: (node: string) => readonly KeyObject[];
  readonly acknowledge: (node: string, count: EdgeCount) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** What waits from one worker of a node. */
interface Inbox {
  readonly node: string;
  readonly worker: number;
  readonly events: EdgeEvent[];
  /** The last one that is audited; `unknown` until the state was asked. */
  position: EdgeCount | undefined | 'unknown';
  running: boolean;
  /** Did more come than is kept waiting? */
  overflowed: boolean;
  /** The boot whose wrong signatures are told already. */
  forgedBoot: string | undefined;
}

interface Problem {
  readonly text: string;
  readonly atMs: number;
}

export class EdgeEvents {
  readonly #options: EdgeEventsOptions;
  /** By node and worker: pinned names, and a number that the hello's schema bounds. */
  readonly #inboxes = new Map<string, Inbox>();
  readonly #rates = new Map<string, Rate>();
  readonly #problems = new Map<string, Problem>();
  #closed = false;

  constructor(options: EdgeEventsOptions) {
    this.#options = options;
  }

  take(node: string, worker: number, event: EdgeEvent): void {
    const key = `${node}/${worker}`;
    const inbox = this.#inboxes.get(key) ?? {
      node,
      worker,
      events: [],
      position: 'unknown',
      running: false,
      overflowed: false,
      forgedBoot: undefined,
    };
    this.#inboxes.set(key, inbox);
    // An honest node has no more under way; it will send again what it is not told to be taken.
    if (this.#countWaiting(node) >= edgeEventsPerNodeMax) {
      if (!inbox.overflowed)
        this.#tell(
          'flood',
          node,
          `${node} sends more events than are written down; what is too much is left out`,
        );
      inbox.overflowed = true;
      return;
    }
    inbox.events.push(event);
    this.#start(inbox);
  }

  /** Events that never came, of the last day. */
  problems(): readonly string[] {
    const now = this.#options.clock.now();
    return [...this.#problems.values()]
      .filter(({ atMs }) => now - atMs < problemToldForMs)
      .map(({ text }) => text);
  }

  close(): void {
    this.#closed = true;
  }

  #start(inbox: Inbox): void {
    if (inbox.running || this.#closed) return;
    inbox.running = true;
    this.#drain(inbox)
      .catch((error: unknown) => {
        this.#options.log.error({ err: error, node: inbox.node }, 'edge events not audited; tried again');
        setTimeout(() => this.#start(inbox), retryMs).unref();
      })
      .finally(() => (inbox.running = false));
  }

  #countWaiting(node: string): number {
    let count = 0;
    for (const inbox of this.#inboxes.values()) if (inbox.node === node) count += inbox.events.length;
    return count;
  }

  /** The next of an inbox that its node's rate lets be judged now. */
  #takeBatch({ node, events }: Inbox): EdgeEvent[] {
    const now = this.#options.clock.monotonic();
    const rate = this.#rates.get(node) ?? new Rate(edgeRecordRate, now);
    this.#rates.set(node, rate);
    const batch: EdgeEvent[] = [];
    for (const event of events.slice(0, edgeEventsPerCommit)) {
      if (!rate.take(now)) break;
      batch.push(event);
    }
    return batch;
  }

  async #drain(inbox: Inbox): Promise<void> {
    const { state, acknowledge } = this.#options;
    const { node, worker, events } = inbox;
    if (inbox.position === 'unknown') inbox.position = await state.read('edge-position', { node, worker });
    while (events.length > 0 && !this.#closed) {
      const batch = this.#takeBatch(inbox);
      if (batch.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, edgeRoomEveryMs).unref());
        continue;
      }
      const changes: Change[] = [];
      let position: EdgeCount | undefined = inbox.position;
      for (const event of batch) {
        const next = this.#judge(inbox, event, position, changes);
        if (next === undefined) continue;
        position = next;
        changes.push({ kind: 'note-edge-event', node, worker, count: position });
      }
      const result = changes.length === 0 ? { ok: true } : await state.commit(changes);
      if (!result.ok) {
        // The state knows more of this worker than we thought: judged again by what it knows.
        inbox.position = await state.read('edge-position', { node, worker });
        continue;
      }
      inbox.position = position;
      events.splice(0, batch.length);
      if (position !== undefined) acknowledge(node, position);
    }
  }

  /** Puts its records into `changes`; undefined: it is one that is audited already, or none of the node's. */
  #judge(
    inbox: Inbox,
    event: EdgeEvent,
    position: EdgeCount | undefined,
    changes: Change[],
  ): EdgeCount | undefined {
    const { node, worker } = inbox;
    const { boot, sequence } = event;
    const keys = this.#options.publicKeysOf(node);
    if (!keys.some((key) => isEdgeEventOf(event, { node, worker }, key))) {
      if (inbox.forgedBoot !== boot) changes.push(this.#tellForged(inbox, event));
      return undefined;
    }
    const last = position?.boot === boot ? position.sequence : 0;
    if (sequence <= last) return undefined;
    const missing = sequence - last - 1;
    if (missing > 0) {
      const why = inbox.overflowed ? 'were left out: it sent more than are written down' : 'never came';
      inbox.overflowed = false;
      const text = `${missing} events of ${node} ${why}, from its event ${last + 1} on`;
      this.#tell('gap', node, text);
      changes.push(
        this.#record('edge.gap', 'failed', {
          node,
          rule: 'a node’s events are numbered',
          detail: text,
          edge: { worker, boot, sequence: last + 1, missing },
        }),
      );
    }
    const { kind, clientIp, protocol, detail, reference, atMs, signature } = event;
    const outcome = kind === 'listener' ? 'ok' : kind === 'fault' ? 'failed' : 'refused';
    changes.push(
      this.#record(`edge.${kind}`, outcome, {
        node,
        ...(clientIp === undefined ? {} : { clientIp }),
        ...(protocol === undefined ? {} : { protocol }),
        detail,
        ...(reference === undefined ? {} : { reference }),
        edge: { worker, boot, sequence, atMs, signature },
      }),
    );
    return { boot, sequence };
  }

  #tellForged(inbox: Inbox, { boot }: EdgeEvent): Change {
    inbox.forgedBoot = boot;
    const { node, worker } = inbox;
    const text = `${node} sends events that its signing key did not sign`;
    this.#tell('forged', node, text);
    return this.#record('edge.forged', 'refused', {
      node,
      rule: 'events are signed with the pinned signing key',
      detail: `worker ${worker}: ${text}; none is audited`,
    });
  }

  #tell(what: 'flood' | 'gap' | 'forged', node: string, text: string): void {
    const { log } = this.#options;
    log.error({ alarm: 'edge-events', node, detail: text }, 'events of a node are missing or forged');
    this.#problems.set(`${what} ${node}`, { text, atMs: this.#options.clock.now() });
  }

  #record(
    event: AuditEvent,
    outcome: AuditRecord['outcome'],
    facts: Omit<AuditRecord, 'time' | 'event' | 'outcome'>,
  ): Change {
    return { kind: 'audit', record: buildRecord(this.#options, event, outcome, facts) };
  }
}
