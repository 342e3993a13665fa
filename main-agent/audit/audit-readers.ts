import type { AuditReader } from './audit-reader.ts';

type Reader<S> = Pick<
  AuditReader<S>,
  'start' | 'use' | 'end' | 'close' | 'label' | 'problem' | 'position' | 'isGathering'
>;

interface Kind<C, S> {
  /** Those that a configuration names, each by what its place in the audit goes by. Rejects `config`. */
  readonly read: (config: C) => readonly Wanted<S>[] | Promise<readonly Wanted<S>[]>;
  readonly build: (address: string, settings: S) => Reader<S>;
}

interface Wanted<S> {
  readonly address: string;
  readonly settings: S;
}

/**
 * The readers of one kind, as the configuration names them. Another configuration leaves those alone that stay, also in
 * the middle of a delivery: what is on its way arrives once, and goes on where it was.
 */
export class AuditReaders<C, S> {
  readonly #kind: Kind<C, S>;
  readonly #running = new Map<string, Reader<S>>();
  /** Not named any more, and with something on its way: named again, it goes on, so that nobody else sends that too. */
  readonly #ending = new Map<string, Reader<S>>();

  constructor(kind: Kind<C, S>) {
    this.#kind = kind;
  }

  /** Rejects `config`. What it resolves to starts, changes and ends them. */
  async prepare(config: C): Promise<() => Promise<void>> {
    const wanted = await this.#kind.read(config);
    return () => this.#use(wanted);
  }

  async #use(wanted: readonly Wanted<S>[]): Promise<void> {
    const named = new Map<string, S>();
    // Of two with one address each has a place of its own.
    for (const { address, settings } of wanted) named.set(unusedOf(address, named), settings);
    for (const [address, reader] of this.#running) if (!named.has(address)) this.#end(address, reader);
    for (const [address, settings] of named) {
      const known = this.#running.get(address) ?? this.#ending.get(address);
      const reader = known ?? this.#kind.build(address, settings);
      this.#ending.delete(address);
      this.#running.set(address, reader);
      if (known === undefined) await reader.start();
      else known.use(settings);
    }
  }

  #end(address: string, reader: Reader<S>): void {
    this.#running.delete(address);
    this.#ending.set(address, reader);
    void reader.end().finally(() => {
      if (this.#ending.get(address) === reader) this.#ending.delete(address);
    });
  }

  list(): readonly Reader<S>[] {
    return [...this.#running.values()];
  }

  async close(): Promise<void> {
    await Promise.all([...this.list(), ...this.#ending.values()].map((reader) => reader.close()));
  }
}

function unusedOf(address: string, taken: ReadonlyMap<string, unknown>): string {
  let free = address;
  for (let count = 2; taken.has(free); count += 1) free = `${address} (${count})`;
  return free;
}
