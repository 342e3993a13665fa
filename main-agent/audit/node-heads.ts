import type { ChainHead } from '#main-agent/state/audit-record.ts';

/**
 * What the DMZ nodes remember of the audit (D-42): outside witnesses, for as long as their processes live. One that
 * knows more than the audit has says that its end was cut, or that main runs on an older state.
 *
 * Trust: a head is the node's word; a node that lies raises a false alarm that names it, nothing else.
 */
export interface NodeHead extends ChainHead {
  readonly node: string;
  readonly worker: number;
}

interface NodeHeadsOptions {
  readonly head: () => ChainHead;
  /** A node contradicts the audit; once for each head it names. */
  readonly onContradiction: (node: string, detail: string) => void;
}

export class NodeHeads {
  readonly #options: NodeHeadsOptions;
  readonly #known = new Map<string, NodeHead>();
  readonly #contradictions = new Map<string, string>();

  constructor(options: NodeHeadsOptions) {
    this.#options = options;
  }

  take(node: string, worker: number, { sequence, hash }: ChainHead): void {
    const key = `${node}/${worker}`;
    const before = this.#known.get(key);
    this.#known.set(key, { node, worker, sequence, hash });
    const head = this.#options.head();
    const contradicts =
      sequence > head.sequence || (sequence === head.sequence && sequence > 0 && hash !== head.hash);
    if (!contradicts) {
      this.#contradictions.delete(key);
      return;
    }
    const detail =
      sequence > head.sequence
        ? `${node} remembers audit record ${sequence}, the audit ends at ${head.sequence}`
        : `${node} remembers another audit record ${sequence}`;
    this.#contradictions.set(key, detail);
    if (before?.sequence !== sequence || before.hash !== hash) this.#options.onContradiction(node, detail);
  }

  list(): readonly NodeHead[] {
    return [...this.#known.values()];
  }

  problems(): readonly string[] {
    return [...this.#contradictions.values()].map(
      (detail) => `${detail}: its end was cut, or main runs on an older state (sallyport audit verify)`,
    );
  }
}
