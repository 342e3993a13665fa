import type { Change } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import { problemToldForMs, refusalRate, summedEveryMs } from './limits.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';

/**
 * What a node's word alone may write into the audit (D-91). A refusal costs its sender nothing, so a node that was
 * broken into could fill main's disk with them: beyond the node's budget they are counted, and the counts are one
 * record a minute, with an alarm. Stands where every record passes on its way to the state, so no new refusal can
 * forget it.
 *
 * Never dropped is what took more than a word: logins, changes, endings, transfers. Each needs evidence or a session of
 * a user who really signed in, and hashing, disk and the requests a node may have at work bound how many there can be.
 * Events of the edge have their own bound, kept where their order is (edge-events.ts).
 */

interface NodeBudgetOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Durable when it resolves. */
  readonly write: (record: AuditRecord) => Promise<void>;
}

interface Spending {
  readonly rate: Rate;
  summed: Summed | undefined;
  /** Of all minutes, for `status`. */
  problem: { readonly sinceMs: number; lastMs: number; count: number } | undefined;
}

/** What one minute counted instead of writing. */
interface Summed {
  readonly counts: Map<string, number>;
  readonly first: AuditRecord;
  last: AuditRecord;
  readonly timer: NodeJS.Timeout;
}

const summaryEvent = 'audit.summed';

export class NodeBudget {
  readonly #options: NodeBudgetOptions;
  /** By node: names of pinned nodes, which nobody outside chooses. */
  readonly #nodes = new Map<string, Spending>();

  constructor(options: NodeBudgetOptions) {
    this.#options = options;
  }

  /** Those of `changes` that are to be made: all but refusals beyond the budget of their node. */
  admit(changes: readonly Change[]): readonly Change[] {
    return changes.filter((change) => change.kind !== 'audit' || this.#mayWrite(change.record));
  }

  /** Nodes that went over it within the last day. */
  problems(): readonly string[] {
    const now = this.#options.clock.now();
    return [...this.#nodes].flatMap(([node, { problem }]) => {
      if (problem === undefined || now - problem.lastMs >= problemToldForMs) return [];
      const since = new Date(problem.sinceMs).toISOString();
      return [
        `${node} had more refused than is written down: ${problem.count} refusals only counted since ${since}; see \`sallyport audit tail --event ${summaryEvent} --node ${node}\``,
      ];
    });
  }

  /** Writes down what is only counted so far. */
  async close(): Promise<void> {
    await Promise.all([...this.#nodes].map(([node, spending]) => this.#writeSummary(node, spending)));
  }

  #mayWrite(record: AuditRecord): boolean {
    const { node } = record;
    if (node === undefined || !isWordAlone(record)) return true;
    const now = this.#options.clock.monotonic();
    const spending = this.#nodes.get(node) ?? {
      rate: new Rate(refusalRate, now),
      summed: undefined,
      problem: undefined,
    };
    this.#nodes.set(node, spending);
    if (spending.rate.take(now)) return true;
    this.#count(node, spending, record);
    return false;
  }

  #count(node: string, spending: Spending, record: AuditRecord): void {
    const nowMs = this.#options.clock.now();
    const { problem } = spending;
    if (problem === undefined || nowMs - problem.lastMs >= problemToldForMs)
      spending.problem = { sinceMs: nowMs, lastMs: nowMs, count: 1 };
    else {
      problem.lastMs = nowMs;
      problem.count += 1;
    }
    spending.summed ??= this.#beginSummary(node, spending, record);
    const { counts } = spending.summed;
    counts.set(record.event, (counts.get(record.event) ?? 0) + 1);
    spending.summed.last = record;
  }

  #beginSummary(node: string, spending: Spending, first: AuditRecord): Summed {
    const { log } = this.#options;
    log.error({ alarm: 'node-audit-budget', node }, 'more refusals of a node than are written down: counted');
    const timer = setTimeout(() => void this.#writeSummary(node, spending), summedEveryMs);
    timer.unref();
    return { counts: new Map(), first, last: first, timer };
  }

  /** Never rejects: what the disk does not take is counted on. */
  async #writeSummary(node: string, spending: Spending): Promise<void> {
    const { clock, log, write } = this.#options;
    const { summed } = spending;
    if (summed === undefined) return;
    clearTimeout(summed.timer);
    spending.summed = undefined;
    const counts = [...summed.counts].toSorted(([, one], [, other]) => other - one);
    try {
      await write({
        time: new Date(clock.now()).toISOString(),
        event: summaryEvent,
        outcome: 'refused',
        node,
        rule: 'refusals a node may have written down',
        summed: Object.fromEntries(counts),
        detail: `only counted: ${counts.map(([event, count]) => `${count} × ${event}`).join(', ')}; the first: ${describe(summed.first)}; the last: ${describe(summed.last)}`,
      });
    } catch (error) {
      log.error({ err: error, node, counts: Object.fromEntries(counts) }, 'counted refusals not audited');
    }
  }
}

/** Not refusals, and yet all that a node needs for them are words. */
const wordEvents: ReadonlySet<string> = new Set(['login.refused', 'audit.contradicted', 'fault']);

function isWordAlone({ event, outcome }: AuditRecord): boolean {
  if (event === summaryEvent || event.startsWith('edge.')) return false;
  return outcome === 'refused' || wordEvents.has(event);
}

function describe({ time, event, user, protocol, clientIp, rule, path }: AuditRecord): string {
  const facts = [time, event, user, protocol, clientIp, path, rule].filter((fact) => fact !== undefined);
  return facts.join(' ').slice(0, 512);
}
