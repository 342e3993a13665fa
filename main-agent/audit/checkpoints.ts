import type { KeyObject } from 'node:crypto';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';
import { appendCheckpoint, checkpointFileOf } from './checkpoint-file.ts';
import { signCheckpoint, type Checkpoint } from './checkpoint.ts';
import { checkpointCloseMs, checkpointIntervalMs } from './limits.ts';

/**
 * Once a minute, when the chain moved: the head is noted in state.db, signed into the checkpoint file, told to the DMZ
 * nodes, and sent where the configuration says. A target that fails gets the next one: a newer head says more.
 */

interface CheckpointsOptions {
  readonly main: string;
  readonly auditFile: string;
  readonly privateKey: KeyObject;
  /** http(s) addresses and absolute paths. */
  readonly targets: readonly string[];
  /** A head that a crash can't take from the files any more. */
  readonly durableHead: () => Promise<ChainHead>;
  readonly state: Pick<StateStore, 'commit' | 'read'>;
  readonly outbound: OutboundClient;
  readonly tellNodes: (head: ChainHead) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #problems = new Map<string, string>();
  #noted = 0;
  #running: Promise<void> = Promise.resolve();
  #interval: NodeJS.Timeout | undefined;
  readonly #givingUp = new AbortController();

  constructor(options: CheckpointsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { head } = await this.#options.state.read('audit-extent');
    this.#noted = head?.sequence ?? 0;
    this.#interval = setInterval(() => void this.take(), checkpointIntervalMs);
    this.#interval.unref();
  }

  /** What can't be written or sent to, each with its reason. */
  problems(): readonly string[] {
    return [...this.#problems].map(
      ([target, reason]) => `audit checkpoints don’t reach ${target}: ${reason}`,
    );
  }

  /** Never rejects; one after the other. */
  take(): Promise<void> {
    this.#running = this.#running.then(() => this.#take());
    return this.#running;
  }

  /** Takes a last one. A target that hangs does not hold the stop up: the file has what it was not told. */
  async close(): Promise<void> {
    clearInterval(this.#interval);
    const patience = setTimeout(() => this.#givingUp.abort(), checkpointCloseMs);
    await this.take();
    clearTimeout(patience);
  }

  async #take(): Promise<void> {
    const { clock, main, privateKey, state, auditFile, targets, tellNodes, durableHead } = this.#options;
    // Noted before it is durable, a power cut would make the files look as if they had been put back.
    const head = await durableHead().catch(() => undefined);
    if (head === undefined || head.sequence === 0 || head.sequence === this.#noted) return;
    const time = new Date(clock.now()).toISOString();
    const checkpoint = signCheckpoint(head, { main, time, privateKey });
    await this.#try('state.db', async () => void (await state.commit([{ kind: 'note-audit-head', head }])));
    await this.#try('the checkpoint file', () => appendCheckpoint(checkpointFileOf(auditFile), checkpoint));
    this.#noted = head.sequence;
    tellNodes(head);
    await Promise.all(targets.map((target) => this.#try(target, () => this.#deliver(target, checkpoint))));
  }

  async #deliver(target: string, checkpoint: Checkpoint): Promise<void> {
    if (!/^https?:/.test(target)) return appendCheckpoint(target, checkpoint);
    const { status } = await this.#options.outbound.send({
      url: new URL(target),
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(checkpoint),
      signal: this.#givingUp.signal,
    });
    if (status < 200 || status > 299) throw new Error(`status ${status}`);
  }

  /** A failure is a health problem until the next success; told in the log once. */
  async #try(target: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.#problems.delete(target);
    } catch (error) {
      if (!this.#problems.has(target))
        this.#options.log.error({ err: error, target }, 'checkpoint not taken');
      this.#problems.set(target, error instanceof Error ? error.message : String(error));
    }
  }
}
