import type { EventBody } from '#shared/link/messages.ts';

/** What nodes say is wrong with them: each worker's last word, for as long as it is connected. */

type Said = EventBody<'node.health'>['findings'][number];

interface NodeFinding extends Said {
  readonly node: string;
}

export class NodeHealth {
  readonly #isUp: (node: string, worker: number) => boolean;
  /** By node and worker: pinned names, and a number that the hello's schema bounds. */
  readonly #said = new Map<
    string,
    { readonly node: string; readonly worker: number; readonly said: readonly Said[] }
  >();

  /** `isUp`: what a node said that is gone is told by its link that is down. */
  constructor(isUp: (node: string, worker: number) => boolean) {
    this.#isUp = isUp;
  }

  take(node: string, worker: number, { findings }: EventBody<'node.health'>): void {
    this.#said.set(`${node} ${worker}`, { node, worker, said: findings });
  }

  /** What all workers of a node say is said once. */
  list(): readonly NodeFinding[] {
    const all = new Map<string, NodeFinding>();
    for (const { node, worker, said } of this.#said.values()) {
      if (!this.#isUp(node, worker)) continue;
      for (const one of said) all.set(JSON.stringify([node, one.check, one.detail]), { ...one, node });
    }
    return [...all.values()];
  }
}
