import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { SallyportError } from '#shared/error.ts';
import type { EffectiveUser } from './effective-user.ts';
import { fileNotFound, requireText, type FileWrites, type NewFile, type WriteJudge } from './file-writes.ts';
import { stripNames } from './hash-book.ts';
import { findOrigins, type ValueOrigin } from './origins.ts';
import { userRelative, type FileId } from './user-file.ts';
import { readOne } from './user-files.ts';
import type { SourceProblem } from './user-source.ts';
import { usernamePlaceholder } from './user-schema.ts';
import { foldUsername, isUsername, usernameExpectation } from './username.ts';
import { listChanges, type YamlChange } from './yaml-edit.ts';
import type { YamlUsers } from './yaml-users.ts';

export interface NewUser {
  readonly username: string;
  /** Keys as people write them in the file. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** A user whose file it begins as, but for what is that person's own. */
  readonly template?: string | undefined;
}

/** The user store with its writes. */
export interface UserDirectory {
  find(username: string): EffectiveUser | undefined;
  list(): Iterable<EffectiveUser>;
  problems(): readonly SourceProblem[];
  /** Hash of the user's own file; undefined: there is none. */
  etag(username: string): Promise<string | undefined>;
  /** Every effective value with the file and line it came from. */
  origins(username: string): Promise<readonly ValueOrigin[]>;
  /** As a `NewUser`. Resolves with the new etag, when the user is in force. */
  create(username: string, fields: NewUser['fields'], template?: string): Promise<string>;
  /**
   * All that can be, and of each why it was not, in their order; they are in force when it resolves. `isDryRun` only
   * looks.
   */
  createAll(users: readonly NewUser[], isDryRun: boolean): Promise<readonly (string | undefined)[]>;
  /** Keeps comments and order. Resolves with the new etag, when the change is in force. */
  change(username: string, changes: readonly YamlChange[], ifMatch: string | undefined): Promise<string>;
  remove(username: string, ifMatch: string | undefined): Promise<void>;
}

/** Users as the admin API and the command line see them: found, listed, and their own files changed. */
export class YamlUserDirectory {
  readonly #users: YamlUsers;
  readonly #writes: FileWrites;

  constructor(users: YamlUsers, writes: FileWrites) {
    this.#users = users;
    this.#writes = writes;
  }

  find(username: string): EffectiveUser | undefined {
    return this.#users.find(username);
  }

  list(): Iterable<EffectiveUser> {
    return this.#users.list();
  }

  problems(): readonly SourceProblem[] {
    return this.#users.problems();
  }

  /** Hash of the user's own file; undefined: there is none. */
  async etag(username: string): Promise<string | undefined> {
    return isUsername(username) ? (await this.#writes.read(idOf(username)))?.hash : undefined;
  }

  /** The user's own file as it is now. Rejects `config` where it can't be shown. */
  async readOwn(username: string): Promise<{ readonly text: string; readonly etag: string } | undefined> {
    const id = idOf(username);
    const shown = isUsername(username) ? await this.#writes.read(id) : undefined;
    return shown === undefined ? undefined : { text: requireText(shown, id.relative), etag: shown.hash };
  }

  /** Every value that counts, with the file and line it came from. Rejects `not-found`. */
  async origins(username: string): Promise<readonly ValueOrigin[]> {
    const files = this.#users.filesInForce(username);
    if (files === undefined) throw fileNotFound(idOf(username));
    const layers = await Promise.all(
      files.map(async (file) => ({ file, text: (await readOne(this.#users.texts, file))?.text ?? '' })),
    );
    return findOrigins(layers);
  }

  /** Resolves with the etag when the user is in force. Rejects `exists`, `config`, `not-found` (the template). */
  async create(
    username: string,
    given: NewUser['fields'],
    template?: string,
    judge?: WriteJudge,
  ): Promise<string> {
    if (!isUsername(username)) {
      throw new SallyportError('config', 'That is no user name', {
        detail: `${JSON.stringify(username)}; expected ${usernameExpectation}`,
      });
    }
    const twin = this.#spellings().get(foldUsername(username)) ?? username;
    if (twin !== username) {
      throw new SallyportError('exists', 'Another user has that name but for case', {
        detail: `${twin} is there`,
        hint: 'names that differ only in case would be one person at the sign-in; choose another',
      });
    }
    const { id, text, fields } = await this.#draft({ username, fields: given, template });
    return this.#writes.create(id, text, fields, judge);
  }

  /** Rejects `not-found` (a template). */
  async createAll(users: readonly NewUser[], isDryRun: boolean): Promise<readonly (string | undefined)[]> {
    const spellings = this.#spellings();
    const drafts: NewFile[] = [];
    const problems = [];
    for (const user of users) {
      const { username } = user;
      const taken = spellings.get(foldUsername(username));
      const problem = isUsername(username)
        ? taken !== undefined && `the name is taken${taken === username ? '' : ` by ${taken}`}`
        : `expected ${usernameExpectation}`;
      problems.push(problem === false ? undefined : problem);
      if (problem !== false) continue;
      spellings.set(foldUsername(username), username);
      drafts.push(await this.#draft(user));
    }
    const results = (await this.#writes.createUsers(drafts, isDryRun)).values();
    return problems.map((problem) => problem ?? results.next().value);
  }

  /** One of each form under which names are looked for. */
  #spellings(): Map<string, string> {
    return new Map(
      Iterator.from(this.#users.files())
        .filter(({ id }) => id.kind === 'user')
        .map(({ id }) => [foldUsername(id.name), id.name]),
    );
  }

  async #draft({ username, fields, template }: NewUser): Promise<NewFile> {
    const changes = listChanges(fields).filter(({ path: [key] }) => key !== 'username');
    const id = idOf(username);
    if (template === undefined)
      return { id, text: `username: ${JSON.stringify(username)}\n`, fields: changes };
    const own = await this.readOwn(template);
    if (own === undefined) throw fileNotFound(idOf(template));
    // One person's hashes, in comments too, are not another's.
    const text = stripNames(own.text);
    return { id, text, fields: [...impersonal(text, template, username), ...changes] };
  }

  /** Rejects as `FileWrites.change` does. */
  async change(
    username: string,
    changes: readonly YamlChange[],
    ifMatch: string | undefined,
    judge?: WriteJudge,
  ): Promise<string> {
    const id = requireId(username);
    if (changes.some(({ path }) => path.length === 0 || path[0] === 'username')) {
      throw new SallyportError('config', 'A user is not renamed so', {
        hint: `sallyport users rename ${username} <name> --reason …`,
      });
    }
    return this.#writes.change(id, changes, ifMatch, judge);
  }

  /** The user is gone when it resolves. Rejects `not-found`, `precondition-failed`, `not-allowed` (the last admin). */
  async remove(username: string, ifMatch: string | undefined): Promise<void> {
    return this.#writes.remove(requireId(username), ifMatch);
  }
}

/** What is one person's and not of those who work like them (D-118): it goes, and folders of their name become the new one's. */
const personal = [
  'password',
  'display_name',
  'email',
  'phone',
  'ssh_keys',
  '+ssh_keys',
  'admin_role',
  'administers',
  '+administers',
  'status',
];

function impersonal(text: string, template: string, username: string): YamlChange[] {
  const fields: unknown = parse(text);
  const own = (value: unknown): unknown =>
    typeof value === 'string'
      ? value
          .split('/')
          .map((part) => (part === template ? usernamePlaceholder : part))
          .join('/')
      : value;
  return [
    { path: ['username'], value: username },
    ...personal.map((key) => ({ path: [key], value: undefined })),
    ...['files', '+files'].flatMap((key) => {
      const mounts: unknown = isRecord(fields) ? fields[key] : undefined;
      if (!Array.isArray(mounts)) return [];
      const value = mounts.map((mount: unknown) =>
        isRecord(mount) && 'root' in mount ? { ...mount, root: own(mount['root']) } : mount,
      );
      return isDeepStrictEqual(value, mounts) ? [] : [{ path: [key], value }];
    }),
  ];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function idOf(username: string): FileId {
  return { kind: 'user', name: username, relative: userRelative(username) };
}

function requireId(username: string): FileId {
  const id = idOf(username);
  if (!isUsername(username)) throw fileNotFound(id);
  return id;
}
