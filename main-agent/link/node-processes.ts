/**
 * The processes of one node, by worker and the boot in their hello (D-92): a process lives over as many links as it
 * takes, and is gone when another one answers in its place, when the node has no such worker any more, or when it was
 * away too long. What it had open ends then, instead of with its users' sessions.
 *
 * Trust: a boot is the node's word; with a false one it ends what it had open itself.
 */
import { processAwayMaxMs } from './limits.ts';

interface WorkerProcess {
  readonly boot: string;
  readonly gone: AbortController;
  /** While its link is down: when it is given up. */
  away: NodeJS.Timeout | undefined;
}

export class NodeProcesses {
  /** By worker; the hello's schema bounds how many there are. */
  readonly #processes = new Map<number, WorkerProcess>();

  /** A worker's link is up. `gone` aborts with the process; `replaced`: another one was there before. */
  join(worker: number, boot: string): { readonly gone: AbortSignal; readonly replaced: boolean } {
    const before = this.#processes.get(worker);
    clearTimeout(before?.away);
    if (before?.boot === boot && !before.gone.signal.aborted) {
      before.away = undefined;
      return { gone: before.gone.signal, replaced: false };
    }
    const gone = new AbortController();
    this.#processes.set(worker, { boot, gone, away: undefined });
    before?.gone.abort();
    return { gone: gone.signal, replaced: before !== undefined && before.boot !== boot };
  }

  /** Its link is down. It may come back. */
  lose(worker: number): void {
    const known = this.#processes.get(worker);
    if (known !== undefined) known.away ??= setTimeout(() => known.gone.abort(), processAwayMaxMs).unref();
  }

  /** The node has no such worker any more. */
  drop(worker: number): void {
    const known = this.#processes.get(worker);
    clearTimeout(known?.away);
    this.#processes.delete(worker);
    known?.gone.abort();
  }

  /** Main lets go of the node: what is open goes with its session, or waits for the next main. */
  close(): void {
    for (const { away } of this.#processes.values()) clearTimeout(away);
  }
}
