import type { CodeDelivery, CodeMessage, Transport } from '#main-agent/two-factor/code-delivery.ts';
import { toSallyportError } from '#shared/error.ts';

/** How it went: the last try of each transport, and how many went well or not since main started. */

export interface LastDelivery {
  readonly transport: Transport;
  readonly atMs: number;
  /** Why it failed, for admins; undefined: it was taken. */
  readonly problem: string | undefined;
}

interface DeliveryCount {
  readonly transport: Transport;
  readonly result: 'ok' | 'failed';
  readonly count: number;
}

export class Deliveries implements CodeDelivery {
  readonly #delivery: CodeDelivery;
  readonly #now: () => number;
  /** By transport, of which there are two. */
  readonly #last = new Map<Transport, LastDelivery>();
  readonly #counts = new Map<string, DeliveryCount>();

  constructor(delivery: CodeDelivery, now: () => number) {
    this.#delivery = delivery;
    this.#now = now;
  }

  async deliver(message: CodeMessage): Promise<void> {
    try {
      await this.#delivery.deliver(message);
      this.#note(message.transport, undefined);
    } catch (error) {
      const { detail, publicMessage } = toSallyportError(error);
      this.#note(message.transport, detail ?? publicMessage);
      throw error;
    }
  }

  last(transport: Transport): LastDelivery | undefined {
    return this.#last.get(transport);
  }

  /** How the last ones went says nothing of another relay or gateway. */
  forgetLast(): void {
    this.#last.clear();
  }

  counts(): Iterable<DeliveryCount> {
    return this.#counts.values();
  }

  #note(transport: Transport, problem: string | undefined): void {
    this.#last.set(transport, { transport, atMs: this.#now(), problem });
    const result = problem === undefined ? 'ok' : 'failed';
    const key = `${transport} ${result}`;
    this.#counts.set(key, { transport, result, count: (this.#counts.get(key)?.count ?? 0) + 1 });
  }
}

/** For `explain login`; undefined: nothing is known against it. */
export function describeDeliveryProblem(last: LastDelivery | undefined): string | undefined {
  if (last?.problem === undefined) return undefined;
  return `the last one failed, ${new Date(last.atMs).toISOString()}: ${last.problem}`;
}
