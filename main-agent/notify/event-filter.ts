import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { fitsEvent } from '#main-agent/audit/audit-query.ts';

/** What somebody outside wants to be told of. Each that is named must fit; within one, any of its values. */
export interface EventFilter {
  /** `*`, `login.*`, `file.upload`. */
  readonly events: readonly string[];
  readonly outcomes?: readonly AuditRecord['outcome'][] | undefined;
  readonly users?: readonly string[] | undefined;
  /** Groups of the record's user, as the files say now. */
  readonly groups?: readonly string[] | undefined;
  /** Folders as the user sees them: a file in or below one, or moved out of or into it. */
  readonly folders?: readonly string[] | undefined;
  /** The last part of the path: `*` for any characters, `?` for one; case makes no difference. */
  readonly names?: readonly string[] | undefined;
}

/** What of a record is looked at. */
interface Filtered {
  readonly event: string;
  readonly outcome: AuditRecord['outcome'];
  readonly user?: string | undefined;
  readonly path?: string | undefined;
  readonly toPath?: string | undefined;
}

export function buildEventFilter(
  filter: EventFilter,
  findUser: (username: string) => Pick<EffectiveUser, 'groups'> | undefined,
): (record: Filtered) => boolean {
  const folders = filter.folders?.map((folder) => (folder.endsWith('/') ? folder : `${folder}/`));
  const names = filter.names?.map((pattern) => pattern.toLowerCase());
  const { events, outcomes, users, groups } = filter;
  return (record) => {
    if (!events.some((pattern) => fitsEvent(record.event, pattern))) return false;
    if (outcomes !== undefined && !outcomes.includes(record.outcome)) return false;
    const { user } = record;
    if (users !== undefined && (user === undefined || !users.includes(user))) return false;
    if (groups !== undefined) {
      const own = user === undefined ? [] : (findUser(user)?.groups ?? []);
      if (!groups.some((group) => own.includes(group))) return false;
    }
    if (folders === undefined && names === undefined) return true;
    // As they stand there: a record whose path is none today must not stop those that come after it.
    const paths = [record.path, record.toPath].filter((path) => path !== undefined);
    return paths.some((path) => {
      const name = path.slice(path.lastIndexOf('/') + 1).toLowerCase();
      return (
        (folders === undefined || folders.some((folder) => `${path}/`.startsWith(folder))) &&
        (names === undefined || names.some((pattern) => fitsName(name, pattern)))
      );
    });
  };
}

/**
 * By the last star alone is gone back, so a name costs its length times the pattern's at most; an expression made of the
 * pattern could take for ever.
 */
function fitsName(name: string, pattern: string): boolean {
  let [at, of] = [0, 0];
  let star: { readonly of: number; at: number } | undefined;
  while (at < name.length) {
    const wanted = pattern[of];
    if (wanted === '*') {
      star = { of, at };
      of += 1;
    } else if (wanted === '?' || wanted === name[at]) {
      [at, of] = [at + 1, of + 1];
    } else if (star !== undefined) {
      star.at += 1;
      [at, of] = [star.at, star.of + 1];
    } else return false;
  }
  return /^\**$/.test(pattern.slice(of));
}
