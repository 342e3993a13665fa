import { parseYaml } from '#shared/config/yaml-text.ts';
import { SallyportError } from '#shared/error.ts';
import { fileNotFound, requireText, type FileWrites } from './file-writes.ts';
import { defaultRelative, groupRelative, listedGroups, type FileFields, type FileId } from './user-file.ts';
import { isUsername, usernameExpectation } from './username.ts';
import { listChanges, type YamlChange } from './yaml-edit.ts';
import type { YamlUsers } from './yaml-users.ts';

/** Groups, and `_default` as the one that everybody is in: the templates that users inherit from. */

/** Groups, `_default` among them. Comments, order and etags as with users. */
export interface GroupDirectory {
  list(): readonly GroupSummary[];
  show(name: string): Promise<GroupView>;
  create(name: string, fields: Readonly<Record<string, unknown>>): Promise<string>;
  change(name: string, changes: readonly YamlChange[], ifMatch: string | undefined): Promise<string>;
  /** Rejects `conflict` while anybody is in it. */
  remove(name: string, ifMatch: string | undefined): Promise<void>;
}

interface GroupSummary {
  readonly name: string;
  /** The groups it lists itself. */
  readonly groups: readonly string[];
  readonly users: number;
  /** Its file is broken, or gone while users still name it; its last good version is in force if there is one. */
  readonly isBroken: boolean;
}

interface GroupView {
  readonly name: string;
  /** Keys as they stand in the file. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly users: readonly string[];
  readonly etag: string;
}

/** Named in a refusal before "and … more". */
const namedMax = 20;
const defaultName = '_default';

export class YamlGroups {
  readonly #users: YamlUsers;
  readonly #writes: FileWrites;

  constructor(users: YamlUsers, writes: FileWrites) {
    this.#users = users;
    this.#writes = writes;
  }

  list(): readonly GroupSummary[] {
    const counts = new Map<string, number>();
    for (const { groups } of this.#users.list()) {
      for (const name of [defaultName, ...groups]) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...this.#users.files()]
      .filter(({ id }) => id.kind !== 'user')
      .map(({ id: { name }, fields }) => ({
        name,
        groups: listedGroups(fields),
        users: counts.get(name) ?? 0,
        isBroken: fields === undefined,
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Rejects `not-found`. */
  async show(name: string): Promise<GroupView> {
    const id = requireId(name);
    const shown = await this.#writes.read(id);
    if (shown === undefined) throw fileNotFound(id);
    const { value } = parseYaml(requireText(shown, id.relative), id.relative);
    const fields = typeof value === 'object' && value !== null ? { ...value } : {};
    return { name, fields, users: this.#usersOf(name), etag: shown.hash };
  }

  /** Resolves with the etag when the group is in force. Rejects `exists`, `config`. */
  async create(name: string, fields: Readonly<Record<string, unknown>>): Promise<string> {
    const id = idOf(name);
    if (id === undefined) {
      throw new SallyportError('config', 'That is no group name', {
        detail: `${JSON.stringify(name)}; expected ${usernameExpectation}`,
      });
    }
    const changes = listChanges(fields);
    // A file without a key would count as half written.
    return this.#writes.create(id, changes.length === 0 ? '{}\n' : '', changes);
  }

  /** Rejects `not-found`, `precondition-failed`, `conflict`, `config`. */
  async change(name: string, changes: readonly YamlChange[], ifMatch: string | undefined): Promise<string> {
    return this.#writes.change(requireId(name), changes, ifMatch);
  }

  /** Rejects `not-found`, `precondition-failed`, and `conflict` while anybody is in it, naming them. */
  async remove(name: string, ifMatch: string | undefined): Promise<void> {
    return this.#writes.remove(requireId(name), ifMatch, () => this.#requireUnused(name));
  }

  #requireUnused(name: string): void {
    const files = [...this.#users.files()]
      .filter(({ fields, id }) => id.name !== name && namedGroups(fields).includes(name))
      .map(({ id }) => (id.kind === 'user' ? id.name : id.relative));
    const users = name === defaultName ? ['everybody'] : [...new Set([...this.#usersOf(name), ...files])];
    if (users.length === 0) return;
    const more = users.length - namedMax;
    throw new SallyportError('conflict', 'The group is in use', {
      detail: `${name}: ${users.slice(0, namedMax).join(', ')}${more > 0 ? ` and ${more} more` : ''}`,
      hint: 'take it out of their `groups` and `administers` first',
    });
  }

  #usersOf(name: string): readonly string[] {
    return [...this.#users.list()]
      .filter(({ groups }) => name === defaultName || groups.includes(name))
      .map(({ username }) => username)
      .toSorted();
  }
}

/** In it, or administering it: whoever makes a new group of that name must not find that it has an administrator. */
function namedGroups(fields: FileFields | undefined): readonly string[] {
  return [...listedGroups(fields), ...(fields?.administers ?? []), ...(fields?.['+administers'] ?? [])];
}

function idOf(name: string): FileId | undefined {
  if (name === defaultName) return { kind: 'default', name, relative: defaultRelative };
  return isUsername(name) ? { kind: 'group', name, relative: groupRelative(name) } : undefined;
}

function requireId(name: string): FileId {
  const id = idOf(name);
  if (id !== undefined) return id;
  throw new SallyportError('not-found', 'There is no such group', { detail: JSON.stringify(name) });
}
