import { namedFiles, type MainAgentConfig } from '#main-agent/config.ts';
import { Serial } from '#main-agent/turns.ts';
import { newestOf, type PathContext } from '#shared/config/file-path.ts';
import { describeReload, frozenKeys, isBelow, isFrozen, type Reread } from '#shared/config/reload.ts';
import type { Log } from '#shared/log.ts';

interface ReloadSurroundings extends Omit<PathContext, 'folder'> {
  readonly configFile?: string;
  readonly reread: () => Promise<Reread<MainAgentConfig>>;
  readonly log: Log;
}

/** Puts in force what was prepared. */
type Take = () => Promise<void> | void;

/**
 * Makes of the next configuration whatever can fail, and changes nothing yet: rejects `config`, and then nothing of the
 * reload is taken, by nobody.
 */
type Prepare = (next: MainAgentConfig) => Promise<Take> | Take;

/**
 * What main takes without a restart (D-177). Whoever is started says beside it which keys it takes and how, as it says
 * how it is closed; a key that nobody names takes a restart.
 */
export class Reloads {
  readonly #parts: { readonly keys: readonly string[]; readonly prepare: Prepare }[] = [];
  readonly #looks: { readonly at: string; readonly isAnother: () => Promise<boolean> }[] = [];
  readonly #unread: { readonly key: string; readonly isSame: () => Promise<boolean> }[] = [];
  readonly #turns = new Serial();
  readonly #config: MainAgentConfig;
  readonly #around: ReloadSurroundings;
  #isClosed = false;

  /** Replaces the sections of `config` that are taken. */
  constructor(config: MainAgentConfig, around: ReloadSurroundings) {
    this.#config = config;
    this.#around = around;
  }

  /** `keys`: keys or sections of main-agent.yaml. Asked when one of them changed. */
  on(keys: readonly string[], prepare: Prepare): void {
    this.#parts.push({ keys, prepare });
  }

  /** What lies beside the configuration, and is looked at with each reload. Tells whether it is another now. */
  alsoLookAt(at: string, isAnother: () => Promise<boolean>): void {
    this.#looks.push({ at, isAnother });
  }

  /** A file that main does not read: it sees that it was written, and who reads it whether it says something else. */
  unless(key: string, isSame: () => Promise<boolean>): void {
    this.#unread.push({ key, isSame });
  }

  /** One after the other. Rejects when it was refused; nothing is another then. */
  run(): Promise<void> {
    return this.#turns.run(async () => {
      if (!this.#isClosed) await this.#reload();
    });
  }

  /** Resolves when what one of them starts has been started; none begins any more. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#turns.settled();
  }

  async #reload(): Promise<void> {
    const { log, configFile, credentials, reread } = this.#around;
    const { config: written, changed: seen, choose, take } = await reread();
    const changed = await this.#withoutSame(seen);
    const sections = this.#parts.flatMap(({ keys }) => keys);
    const next = choose(sections);
    const takes: Take[] = [];
    for (const { keys, prepare } of this.#parts)
      if (next.keys.some((key) => isBelow(key, keys))) takes.push(await prepare(next.config));
    Object.assign(this.#config, next.config);
    for (const one of takes) await one();
    take(next.keys);
    const others: string[] = [];
    for (const { at, isAnother } of this.#looks) if (await isAnother()) others.push(at);
    const told = {
      changed: [...others, ...next.keys],
      restart: changed.filter((key) => !next.keys.includes(key)),
      frozen: [
        ...(configFile !== undefined && isFrozen(newestOf(configFile, this.#around), credentials)
          ? ['main-agent.yaml']
          : []),
        ...frozenKeys(namedFiles(written), sections, credentials),
      ],
    };
    log.info(told, describeReload(told));
  }

  async #withoutSame(seen: readonly string[]): Promise<readonly string[]> {
    const same = new Set<string>();
    for (const { key, isSame } of this.#unread) if (seen.includes(key) && (await isSame())) same.add(key);
    return seen.filter((key) => !same.has(key));
  }
}
