import { isDeepStrictEqual } from 'node:util';
import { roleCovers } from '#main-agent/administrator.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { isExpired, type EffectiveUser, type Mount } from './effective-user.ts';
import type { FileWrites } from './file-writes.ts';
import { usersOfGroupAdminMax } from './limits.ts';
import { userRelative, type FileId } from './user-file.ts';
import { groupPlaceholder, usernamePlaceholder } from './user-schema.ts';
import type { NewUser, UserDirectory, YamlUserDirectory } from './user-writes.ts';
import { foldUsername } from './username.ts';
import type { YamlUsers } from './yaml-users.ts';
import { listChanges, type YamlChange } from './yaml-edit.ts';

/**
 * The users of one group administrator (D-123): whoever holds this sees and changes them and nobody else, and all that
 * is not theirs answers as what is not there. What the administrator may is read anew at each question, and inside the
 * turn of each write, so that a role that was taken away or a user who was moved meanwhile counts.
 */
export interface AdministeredUsers extends Pick<UserDirectory, 'find' | 'list' | 'create' | 'change'> {
  /** Rejects `not-found`. */
  require(username: string): EffectiveUser;
  /** Does something about one of them that is not written in a user file; the files stand still meanwhile. */
  hold<T>(username: string, work: () => Promise<T>): Promise<T>;
}

interface AdministeredUsersParts {
  readonly users: Pick<YamlUsers, 'find' | 'list' | 'files' | 'tryUser' | 'underName' | 'ofGroup'>;
  readonly writes: Pick<FileWrites, 'inForce'>;
  readonly directory: Pick<YamlUserDirectory, 'create' | 'change'>;
  /** Something is stored that was left by somebody of this name. */
  readonly isRemembered: (username: string) => boolean;
  /** A folder of that name is there already, whatever is in it. */
  readonly isOccupied: (folder: Folder) => Promise<boolean>;
  readonly clock: Pick<Clock, 'now'>;
}

type Folder = Pick<Mount, 'storage' | 'root'>;

/** What of a user is the person's and gives them nothing: all that a group administrator may write. */
const personalKeys = ['display_name', 'email', 'phone', 'password', 'ssh_keys', '+ssh_keys', 'status'];
const groupKeys = ['groups', '+groups'];

/** Whose users somebody's are, as everything is at this moment. */
class Reach {
  readonly administrator: EffectiveUser;
  /** Those that they administer. */
  readonly groups: readonly string[];
  readonly #users: AdministeredUsersParts['users'];
  /** With the groups that come with them. */
  readonly #within: ReadonlySet<string>;

  constructor(users: AdministeredUsersParts['users'], administrator: EffectiveUser) {
    this.#users = users;
    this.administrator = administrator;
    this.groups = administrator.administers ?? [];
    this.#within = new Set(
      this.groups.flatMap((group) => users.ofGroup(group, administrator.username)?.groups ?? []),
    );
  }

  /**
   * In a group of theirs and in none besides, without any admin role, and with no mount that the administrator has not:
   * who gives somebody a password can be that person.
   */
  covers(user: EffectiveUser): boolean {
    const { groups, adminRole } = user;
    // So not the administrator either.
    if (adminRole !== undefined) return false;
    if (!groups.some((group) => this.groups.includes(group))) return false;
    if (!groups.every((group) => this.#within.has(group))) return false;
    return this.#asAdministrator(user)?.mounts.every((mount) => this.#has(mount)) === true;
  }

  /** The user under the administrator's name, so that a home stands for a home. */
  #asAdministrator({ groups, username }: EffectiveUser): EffectiveUser | undefined {
    const { administrator } = this;
    return (
      this.#users.underName(username, administrator.username) ??
      this.#users.ofGroup(groups.at(-1) ?? '', administrator.username)
    );
  }

  #has(mount: Mount): boolean {
    return this.administrator.mounts.some(
      (own) => isInside(mount, own) && [...mount.allow].every((verb) => own.allow.has(verb)),
    );
  }
}

export class UsersOfGroupAdmin implements AdministeredUsers {
  readonly #parts: AdministeredUsersParts;
  readonly #name: string;

  constructor(parts: AdministeredUsersParts, administrator: string) {
    this.#parts = parts;
    this.#name = administrator;
  }

  find(username: string): EffectiveUser | undefined {
    const user = this.#parts.users.find(username);
    return user !== undefined && this.#reach()?.covers(user) === true ? user : undefined;
  }

  *list(): Iterable<EffectiveUser> {
    const reach = this.#reach();
    if (reach === undefined) return;
    for (const user of this.#parts.users.list()) if (reach.covers(user)) yield user;
  }

  require(username: string): EffectiveUser {
    const user = this.find(username);
    if (user !== undefined) return user;
    throw new SallyportError('not-found', 'There is no such user among those you administer', {
      hint: 'sallyport users list',
    });
  }

  hold<T>(username: string, work: () => Promise<T>): Promise<T> {
    return this.#parts.writes.inForce(async () => {
      this.require(username);
      return work();
    });
  }

  /**
   * Rejects `not-allowed` (a key, or more than one of the groups gives), `exists` for every name that is not free
   * whyever, `config`, `too-many`, `not-found` (the template).
   */
  async create(username: string, fields: NewUser['fields'], template?: string): Promise<string> {
    requireKeys(listChanges(fields), [...personalKeys, ...groupKeys]);
    if (template !== undefined) this.require(template);
    const { groups, '+groups': appended, ...rest } = fields;
    const listed = appended ?? groups;
    if (template === undefined || listed !== undefined) this.#requireOwnGroups(listed);
    // Appended: what `_default` lists, now or later, is not theirs to take away.
    const own = listed === undefined ? rest : { ...rest, '+groups': listed };
    try {
      return await this.#parts.directory.create(username, own, template, {
        before: () => {
          this.#requireReach();
          if (template !== undefined) this.require(template);
        },
        after: (text) => this.#requireMayAdd(username, text),
      });
    } catch (error) {
      if (isSallyportError(error, 'exists')) throw nameTaken(error.detail ?? error.publicMessage);
      throw error;
    }
  }

  /** Rejects `not-allowed` (a key), and as `FileWrites.change` does. */
  async change(
    username: string,
    changes: readonly YamlChange[],
    ifMatch: string | undefined,
  ): Promise<string> {
    this.require(username);
    requireKeys(changes, personalKeys);
    let present: EffectiveUser | undefined;
    return this.#parts.directory.change(username, changes, ifMatch, {
      before: () => {
        present = this.require(username);
      },
      after: (text) => {
        const changed = this.#parts.users.tryUser(text, idOf(username));
        // Also where the change mends a broken file, of which the last good version was in force.
        if (present === undefined || changed === undefined || !isWithin(changed, present))
          throw moreThanGiven(`${username} would have other rights than now`);
      },
    });
  }

  #reach(): Reach | undefined {
    const { clock, users } = this.#parts;
    const administrator = users.find(this.#name);
    if (administrator?.adminRole === undefined || !roleCovers(administrator.adminRole, 'group-admin')) return;
    if (administrator.status !== 'active' || isExpired(administrator.expires, clock.now())) return;
    return new Reach(users, administrator);
  }

  #requireReach(): Reach {
    const reach = this.#reach();
    if (reach !== undefined) return reach;
    throw new SallyportError('not-allowed', 'You are no group administrator any more');
  }

  /** Before anything is looked up: a group that is not theirs answers as one that is not there. */
  #requireOwnGroups(listed: unknown): void {
    const { groups } = this.#requireReach();
    if (Array.isArray(listed) && listed.length > 0 && listed.every((one) => groups.includes(one))) return;
    throw moreThanGiven(`groups: ${JSON.stringify(listed)?.slice(0, 200)}; theirs are ${groups.join(', ')}`);
  }

  async #requireMayAdd(username: string, text: string): Promise<void> {
    const reach = this.#requireReach();
    const { users } = this.#parts;
    const form = foldUsername(username);
    // A group's name as well: its folder is often called so, now or one day.
    for (const { id } of users.files())
      if (foldUsername(id.name) === form) throw nameTaken(`${id.relative} is there`);
    const user = users.tryUser(text, idOf(username));
    const given = reach.groups
      .map((group) => users.ofGroup(group, username))
      .find((one) => one !== undefined && user !== undefined && isWithin(user, one));
    if (user === undefined || given === undefined)
      throw moreThanGiven(`${username} would not be exactly what one of ${reach.groups.join(', ')} gives`);
    if (!reach.covers(user)) {
      throw new SallyportError('not-allowed', 'This group gives more than you have yourself', {
        detail: `${this.#name} lacks a mount of ${user.groups.join(', ')}, or it has an admin_role`,
        hint: 'an admin puts you into the group you administer: sallyport users set <you> +groups=[<group>]',
      });
    }
    await this.#requireNewGround(user, reach);
    const isOfGroup = ({ groups }: EffectiveUser) => groups.some((group) => reach.groups.includes(group));
    if (Iterator.from(users.list()).filter(isOfGroup).toArray().length >= usersOfGroupAdminMax) {
      throw new SallyportError('too-many', 'You administer as many users as one may', {
        detail: `${usersOfGroupAdminMax} at most`,
      });
    }
  }

  /**
   * Folders that are called after the user must be nobody's: a user named as a folder of others, or as one that somebody
   * left, would open it.
   */
  async #requireNewGround(user: EffectiveUser, reach: Reach): Promise<void> {
    const { isOccupied, isRemembered, users } = this.#parts;
    if (isRemembered(user.username)) throw nameTaken('something is stored of an earlier user of that name');
    const elsewhere = users.ofGroup(user.groups.at(-1) ?? '', reach.administrator.username)?.mounts ?? [];
    const named = user.mounts.filter((mount, index) => {
      const other = elsewhere[index];
      return other === undefined || !isDeepStrictEqual(mount.root, other.root);
    });
    const others = [
      ...Iterator.from(users.list())
        .filter(({ username }) => username !== user.username)
        .flatMap(({ mounts }) => mounts),
      ...this.#templateFolders(),
    ];
    for (const mount of named) {
      const other = others.find((one) => isInside(folded(one), folded(mount)));
      if (other !== undefined) throw nameTaken(`${other.root.join('/')} is a folder of others`);
      if (await isOccupied(mount)) throw nameTaken(`${mount.root.join('/')} is there already`);
    }
  }

  /** Folders that groups name, though nobody be in them: up to where a user's name begins. */
  #templateFolders(): Folder[] {
    return [...this.#parts.users.files()]
      .filter(({ id }) => id.kind !== 'user')
      .flatMap(({ fields, id }) =>
        [...(fields?.files ?? []), ...(fields?.['+files'] ?? [])].map(({ root, storage = 'local' }) => {
          const parts = root
            .replaceAll(groupPlaceholder, id.name)
            .split('/')
            .filter((part) => part !== '' && part !== '.');
          const named = parts.findIndex((part) => part.includes(usernamePlaceholder));
          return { storage, root: named === -1 ? parts : parts.slice(0, named) };
        }),
      )
      .filter(({ root }) => root.length > 0);
  }
}

/** `inner` is `outer` or below it. */
function isInside(inner: Folder, outer: Folder): boolean {
  return inner.storage === outer.storage && outer.root.every((part, index) => inner.root[index] === part);
}

/** On some media names that differ only in case are one. */
function folded({ storage, root }: Folder): Folder {
  return { storage, root: root.map((part) => part.toLowerCase()) };
}

/** What of a user gives no rights, or is looked at by itself (`status`), or differs with these (`version`). */
const personalFields: ReadonlySet<string> = new Set<keyof EffectiveUser>([
  'displayName',
  'email',
  'passwordHash',
  'phone',
  'sshKeys',
  'status',
  'version',
]);

/** Also of whatever keys there will be. */
function rightsOf(user: EffectiveUser): object {
  return Object.fromEntries(Object.entries(user).filter(([key]) => !personalFields.has(key)));
}

/** Exactly the rights that are given, or disabled. */
function isWithin(user: EffectiveUser, given: EffectiveUser): boolean {
  const isStatusFine = user.status === 'disabled' || given.status === 'active';
  return isStatusFine && isDeepStrictEqual(rightsOf(user), rightsOf(given));
}

/** Rejects `not-allowed`. A status that is written down outlives what the group says later, so it can only be `disabled`. */
function requireKeys(changes: readonly YamlChange[], allowed: readonly string[]): void {
  const wrong = changes.find(
    ({ path: [key = '', ...more], value }) =>
      !allowed.includes(key) || more.length > 0 || (key === 'status' && value !== 'disabled'),
  );
  if (wrong === undefined) return;
  throw new SallyportError('not-allowed', 'A group administrator may not set this', {
    detail: wrong.path.join('.'),
    hint: `rights come from the group; what may be set is ${allowed.join(', ')}, of status only disabled`,
  });
}

function nameTaken(why: string): SallyportError {
  return new SallyportError('exists', 'This name is not free', {
    detail: why,
    hint: 'choose another; a name or a folder that was somebody’s is given again by an admin',
  });
}

function moreThanGiven(why: string): SallyportError {
  return new SallyportError('not-allowed', 'That is not what a group of yours gives', {
    detail: why,
    hint: 'name one group that you administer, and nothing but personal keys: sallyport whoami',
  });
}

function idOf(username: string): FileId {
  return { kind: 'user', name: username, relative: userRelative(username) };
}
