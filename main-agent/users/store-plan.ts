import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { configError } from '#shared/config/problem.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { FileWrites } from './file-writes.ts';
import { requireAdminLeft } from './last-admin.ts';
import { isSection } from './origins.ts';
import type { ShownText } from './shown-text.ts';
import { identifyFile } from './user-file.ts';
import type { TextChange } from './user-files.ts';
import type { YamlUsers } from './yaml-users.ts';

/**
 * A whole user store as code: what would change if the folder held exactly these files, and the change itself, all or
 * nothing. Enrolments lie elsewhere and are never touched: whose file goes and comes back is judged by `departures.ts`.
 */

/** The whole user store as code. */
export interface UserStorePlans {
  plan(files: StoreFiles): Promise<StorePlan>;
  /** All or nothing; rejects `precondition-failed` when the store is not the one of `etag`. */
  apply(files: StoreFiles, etag: string): Promise<StorePlan>;
}

export interface StorePlan {
  /** Of the store as it is; `apply` refuses when it is another one by then. */
  readonly etag: string;
  readonly files: readonly PlannedFile[];
  readonly unchanged: number;
}

interface PlannedFile {
  /** `alice.yaml`, `groups/partners.yaml`, `_default.yaml`. */
  readonly file: string;
  readonly action: 'add' | 'change' | 'remove';
  /** Empty: only comments or formatting. Of a removed file nothing is listed. */
  readonly keys: readonly PlannedKey[];
}

/** A value that is not there is undefined; `[secret]` for a password hash. */
interface PlannedKey {
  readonly key: string;
  readonly old: unknown;
  readonly new: unknown;
}

/** Files by relative name, `groups/` included. */
export type StoreFiles = Readonly<Record<string, string>>;

interface Worked {
  readonly plan: StorePlan;
  readonly changes: readonly TextChange[];
}

export class StorePlans {
  readonly #users: YamlUsers;
  readonly #writes: FileWrites;
  readonly #clock: Pick<Clock, 'now'>;

  constructor(users: YamlUsers, writes: FileWrites, clock: Pick<Clock, 'now'>) {
    this.#users = users;
    this.#writes = writes;
    this.#clock = clock;
  }

  /** Rejects `config` with all that is wrong in these files, `not-allowed` when no admin would be left. */
  async plan(wanted: StoreFiles): Promise<StorePlan> {
    return (await this.#work(wanted)).plan;
  }

  /** In force when it resolves with what was done. Rejects as `plan` does, and `precondition-failed`. */
  apply(wanted: StoreFiles, etag: string): Promise<StorePlan> {
    return this.#writes.inTurn(async () => {
      const { plan, changes } = await this.#work(wanted);
      if (plan.etag !== etag) {
        throw new SallyportError('precondition-failed', 'The users were changed meanwhile', {
          detail: `etag ${plan.etag}, asked for ${etag}`,
          hint: 'plan again',
        });
      }
      if (changes.length > 0) {
        await this.#users.changeTogether(changes);
      }
      return plan;
    });
  }

  async #work(wanted: StoreFiles): Promise<Worked> {
    await this.#users.refresh();
    const texts = await this.#users.texts.show(Object.values(wanted));
    const given = new Map<string, ShownText>();
    for (const [index, name] of Object.keys(wanted).entries()) {
      const text = texts[index];
      if (text !== undefined) given.set(name, text);
    }
    await this.#requireGood(given);
    const files: PlannedFile[] = [];
    const changes: TextChange[] = [];
    const live = new Map([...this.#users.files()].map((file) => [file.id.relative, file]));
    for (const relative of [...new Set([...given.keys(), ...live.keys()])].toSorted()) {
      const present = live.get(relative);
      const next = given.get(relative);
      if (next !== undefined && present?.hash === next.hash) continue;
      const before = present === undefined ? undefined : await this.#users.read(present.id);
      files.push({
        file: relative,
        action: next === undefined ? 'remove' : present === undefined ? 'add' : 'change',
        keys: next === undefined ? [] : compareKeys(before?.text, next.text),
      });
      changes.push({ relative, text: next?.text, oldHash: present?.hash });
    }
    const etag = hashStore([...live.values()].map(({ id, hash }) => [id.relative, hash]));
    return { plan: { etag, files, unchanged: given.size - files.filter(isWritten).length }, changes };
  }

  async #requireGood(wanted: ReadonlyMap<string, ShownText>): Promise<void> {
    for (const name of wanted.keys()) {
      if (typeof identifyFile(name) === 'object') continue;
      throw new SallyportError('config', 'That is no file of a user store', {
        detail: JSON.stringify(name),
        hint: 'it holds <name>.yaml, groups/<name>.yaml and _default.yaml',
      });
    }
    const trial = await this.#users.tryOut(wanted);
    const problems = trial.problems();
    if (problems.length > 0) throw configError(problems);
    requireAdminLeft(this.#users.list(), trial.list(), this.#clock.now());
  }
}

function isWritten({ action }: PlannedFile): boolean {
  return action !== 'remove';
}

function hashStore(files: readonly (readonly [string, string])[]): string {
  const lines = files.map(([relative, hash]) => `${relative}\0${hash}\n`).toSorted();
  return createHash('sha256').update(lines.join('')).digest('base64url');
}

function compareKeys(before: string | undefined, after: string | undefined): readonly PlannedKey[] {
  const old = flatten(before);
  const next = flatten(after);
  return [...new Set([...old.keys(), ...next.keys()])]
    .filter((key) => !isDeepStrictEqual(old.get(key), next.get(key)))
    .map((key) => ({ key, old: shown(key, old.get(key)), new: shown(key, next.get(key)) }));
}

/** Dotted keys, as in origins: sections key by key, everything else whole. */
function flatten(text: string | undefined): ReadonlyMap<string, unknown> {
  const flat = new Map<string, unknown>();
  const visit = (value: unknown, prefix: string): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, child] of Object.entries(value)) {
      const key = `${prefix}${name}`;
      if (isSection(key) && child !== null) visit(child, `${key}.`);
      else flat.set(key, child);
    }
  };
  if (text !== undefined) visit(parseYaml(text, '').value, '');
  return flat;
}

function shown(key: string, value: unknown): unknown {
  return key === 'password' && typeof value === 'string' ? '[secret]' : value;
}
