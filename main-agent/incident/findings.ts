/**
 * What the audit has of what came through a node in a window, gathered in one pass; and in a second what others did
 * since to the files it is about. Both read record by record and keep what is listed, and no more of it than fits.
 */
import { readHistory, type HistoryGap, type HistorySource } from '#main-agent/audit/history.ts';
import { reasonOf } from '#main-agent/audit/refusal-reasons.ts';
import { type FileDeed, type Since, takenBackFrom } from '#main-agent/files/taking-back.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { isUsername } from '#main-agent/users/username.ts';
import { kindOf } from './kinds.ts';
import { comparedMax, comparedMs, listedMax } from './limits.ts';
import type { IncidentReport } from './report.ts';

export interface Window {
  readonly node: string;
  readonly fromMs: number;
  /** Not any more. */
  readonly toMs: number;
}

export interface Numbered {
  readonly sequence: number;
  readonly record: AuditRecord;
}

interface Person {
  /** Not gone meanwhile. */
  readonly isUser: boolean;
  signedIn: number;
  readonly factors: Set<string>;
  readonly refused: Map<string, number>;
  isPasswordSeen: boolean;
  /** Whether they are new. */
  readonly addresses: Map<string, boolean>;
  readonly agents: Map<string, boolean>;
  readonly first: string;
  last: string;
}

type IsUser = (name: string) => boolean;

type Session = IncidentReport['sessions'][number];

export interface Findings {
  readonly records: number;
  readonly gaps: readonly HistoryGap[];
  readonly people: ReadonlyMap<string, Person>;
  readonly sessions: ReadonlyMap<string, Session>;
  /** Of accounts. */
  readonly changes: readonly Numbered[];
  readonly files: readonly Numbered[];
  readonly other: readonly Numbered[];
  readonly counts: Readonly<Record<string, number>>;
  readonly isCut: boolean;
  /** By the number of the record whose deed was undone before: the place as the bin of what was taken back has it. */
  readonly undone: ReadonlyMap<number, string>;
  /** From which time the newest of each list is listed. Undefined: from the beginning of the window. */
  readonly listedFromMs: number | undefined;
}

/** Rejects when the audit files can't be read. */
export async function findAll(source: HistorySource, window: Window, isUser: IsUser): Promise<Findings> {
  const gathering = new Gathering(window, isUser);
  for await (const one of readHistory(source, window.fromMs - comparedMs)) {
    if ('record' in one) gathering.take(one);
    else gathering.miss(one);
  }
  return gathering.done();
}

class Gathering {
  readonly #window: Window;
  readonly #before = new Set<string>();
  readonly #people = new Map<string, Person>();
  readonly #sessions = new Map<string, Session>();
  readonly #lists = { changes: new Newest(), files: new Newest(), other: new Newest() };
  readonly #gaps: HistoryGap[] = [];
  readonly #undone = new Map<number, string>();
  readonly #isUser: IsUser;
  #records = 0;
  #sessionCount = 0;
  /** Refused under a name that is no user's: any stranger may make as many as they like. */
  #strangers = 0;
  /** Addresses and agents of all. */
  #seen = 0;
  #isCut = false;

  constructor(window: Window, isUser: IsUser) {
    this.#window = window;
    this.#isUser = isUser;
  }

  miss(gap: HistoryGap): void {
    const { fromMs, toMs } = this.#window;
    if ((gap.toMs ?? Infinity) >= fromMs && (gap.fromMs ?? -Infinity) < toMs) this.#addGap(gap);
  }

  #addGap(gap: HistoryGap): void {
    if (this.#gaps.length < listedMax) this.#gaps.push(gap);
    else this.#isCut = true;
  }

  take({ sequence, record }: Numbered): void {
    const { node, fromMs, toMs } = this.#window;
    const atMs = Date.parse(record.time);
    if (record.event === 'incident.undone' && record.node === node) this.#noteUndone(record);
    if (record.event === 'file.restore' && record.user === takenBackFrom(node)) this.#notePutBack(record);
    if (atMs < fromMs) this.#compare(record);
    if (atMs < fromMs || atMs >= toMs) return;
    this.#records += 1;
    const { listed, what } = kindOf(record.event);
    if (listed === 'unknown' && (record.node === undefined || record.node === node))
      this.#addGap({
        fromMs: atMs,
        toMs: atMs,
        why: `${what}${record.detail === undefined ? '' : `: ${record.detail}`}`,
      });
    if (record.node !== node) return;
    if (record.sessionKey !== undefined && listed !== 'inside') this.#noteSession(record);
    switch (listed) {
      case 'sign-in':
      case 'try':
        this.#notePerson(record, listed);
        break;
      case 'change':
        this.#notePerson(record, listed);
        this.#lists.changes.add({ sequence, record });
        break;
      case 'file':
        this.#lists.files.add({ sequence, record });
        break;
      case 'other':
        this.#lists.other.add({ sequence, record });
        break;
      case 'session':
      case 'unknown':
      case 'inside':
    }
  }

  #noteUndone(record: AuditRecord): void {
    const number = Number(/^record (\d+)$/.exec(record.rule ?? '')?.[1]);
    if (record.outcome !== 'ok' || this.#undone.size >= comparedMax) return;
    this.#undone.set(number, `/${record.user}${record.toPath ?? record.path}`);
  }

  /** An admin had it back from the bin: whatever was undone there is to be looked at again. */
  #notePutBack({ path }: AuditRecord): void {
    for (const [number, place] of this.#undone) if (place === path) this.#undone.delete(number);
  }

  /** What users came from and with before the window. */
  #compare({ event, user, clientIp, agent }: AuditRecord): void {
    if (event !== 'login.admitted' || user === undefined || this.#before.size >= comparedMax) return;
    this.#before.add(`${user} ip ${clientIp}`).add(`${user} agent ${agent}`);
  }

  #notePerson(record: AuditRecord, listed: 'sign-in' | 'try' | 'change'): void {
    const { user, time, clientIp, agent, outcome } = record;
    if (user === undefined) return;
    const known = this.#people.get(user);
    const isUser = known?.isUser ?? this.#isUser(user);
    if (known === undefined && !isUser && listed === 'try') {
      this.#strangers += 1;
      return;
    }
    const person: Person = known ?? {
      isUser,
      signedIn: 0,
      factors: new Set(),
      refused: new Map(),
      isPasswordSeen: false,
      addresses: new Map(),
      agents: new Map(),
      first: time,
      last: time,
    };
    this.#people.delete(user);
    this.#people.set(user, person);
    person.last = time;
    if (clientIp !== undefined) this.#noteSeen(person.addresses, `${user} ip`, clientIp);
    if (agent !== undefined) this.#noteSeen(person.agents, `${user} agent`, agent);
    const first = firstFactorOf(record);
    if (listed === 'sign-in') {
      person.signedIn += 1;
      if (record.event === 'login.admitted')
        person.factors.add(`${first ?? 'unknown'} ${record.method ?? 'none'}`);
    }
    const reason = outcome === 'ok' ? undefined : reasonOf(record);
    if (reason !== undefined) person.refused.set(reason, (person.refused.get(reason) ?? 0) + 1);
    // Who changes an account, or sets a password by a mailed link, types it.
    person.isPasswordSeen ||= listed === 'sign-in' ? first !== 'key' : reason !== 'wrong-key';
  }

  #noteSeen(all: Map<string, boolean>, of: string, value: string): void {
    if (all.has(value)) return;
    this.#seen += 1;
    if (all.size < seenMax && this.#seen <= comparedMax) all.set(value, !this.#before.has(`${of} ${value}`));
    else this.#isCut = true;
  }

  #noteSession({ sessionKey = '', event, user = '', protocol, clientIp, time }: AuditRecord): void {
    const known = this.#sessions.get(sessionKey);
    if (known === undefined) this.#sessionCount += 1;
    this.#sessions.delete(sessionKey);
    const [oldest] = this.#sessions.keys();
    if (oldest !== undefined && this.#sessions.size >= listedMax) {
      this.#sessions.delete(oldest);
      this.#isCut = true;
    }
    this.#sessions.set(sessionKey, {
      ...(known ?? { session: sessionKey, user, protocol, client_ip: clientIp }),
      ...(event === 'login.admitted' && { at: time }),
      ...(event === 'session.ended' && { ended: time }),
    });
  }

  /** Users before those who are gone, whoever signed in before who only tried, and the newest of each. */
  #listPeople(): ReadonlyMap<string, Person> {
    const rank = ({ isUser, signedIn }: Person): number => (isUser ? 0 : 2) + (signedIn > 0 ? 0 : 1);
    const all = [...this.#people].toReversed().toSorted(([, one], [, other]) => rank(one) - rank(other));
    return new Map(all.slice(0, listedMax));
  }

  done(): Findings {
    const { changes, files, other } = this.#lists;
    const cut = [changes, files, other].filter((one) => one.count > listedMax);
    return {
      records: this.#records,
      gaps: this.#gaps,
      people: this.#listPeople(),
      sessions: this.#sessions,
      changes: changes.list(),
      files: files.list(),
      other: other.list(),
      counts: {
        people: this.#people.size,
        strangers: this.#strangers,
        sessions: this.#sessionCount,
        changes: changes.count,
        files: files.count,
        other: other.count,
      },
      isCut: this.#isCut || cut.length > 0 || this.#people.size > listedMax,
      listedFromMs:
        cut.length === 0
          ? undefined
          : Math.max(
              ...cut.flatMap((one) => one.list().slice(0, 1)).map(({ record }) => Date.parse(record.time)),
            ),
      undone: this.#undone,
    };
  }
}

/** Addresses and agents of one user. */
const seenMax = 1000;

/** The newest of many. */
class Newest {
  #all: Numbered[] = [];
  count = 0;

  add(one: Numbered): void {
    this.count += 1;
    this.#all.push(one);
    if (this.#all.length >= 2 * listedMax) this.#all = this.#all.slice(-listedMax);
  }

  /** Oldest first. */
  list(): readonly Numbered[] {
    return this.#all.slice(-listedMax);
  }
}

/** Which first factor the node says it saw; main compared it with what it had verified. */
function firstFactorOf({ assertion }: AuditRecord): string | undefined {
  const [, payload] = assertion?.split('.') ?? [];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null || !('amr' in claims) || !Array.isArray(claims.amr))
      return undefined;
    return String(claims.amr[0]);
  } catch {
    return undefined;
  }
}

/**
 * All deeds of the window that are not undone yet, in pages of bounded length, the newest page first; within a page the
 * oldest is the first. Pages end by the number of a record: what has the same time is in one of them, and once.
 */
export async function* readDeeds(
  source: HistorySource,
  { node, fromMs, toMs }: Window,
  undone: Findings['undone'],
): AsyncGenerator<readonly Numbered[]> {
  for (let before = Infinity; ;) {
    const newest = new Newest();
    for await (const one of readHistory(source, fromMs)) {
      if (!('record' in one) || one.record.node !== node || undone.has(one.sequence)) continue;
      if (one.sequence >= before) break;
      const atMs = Date.parse(one.record.time);
      if (atMs >= fromMs && atMs < toMs && deedOf(one) !== undefined) newest.add(one);
    }
    const page = newest.list();
    if (page.length > 0) yield page;
    if (newest.count <= page.length) return;
    before = page[0]?.sequence ?? 0;
  }
}

/** Undefined: what cannot be undone. */
export function deedOf({ sequence, record }: Numbered): FileDeed | undefined {
  const { event, outcome, user, path, sha256, sessionKey, time } = record;
  if (user === undefined || path === undefined || sessionKey === undefined) return undefined;
  // A file whose folder could not be synced is there all the same.
  const isDone = outcome === 'ok' || sha256 !== undefined;
  const deed = isDone ? tellings[event]?.(record) : event === 'file.upload' ? unfinished(record) : undefined;
  if (deed === undefined) return undefined;
  return {
    record: sequence,
    user,
    session: sessionKey,
    path,
    atMs: Date.parse(time),
    replaced: false,
    ...deed,
  };
}

type Told = Pick<FileDeed, 'kind'> & Partial<FileDeed>;

/** By what was done; `detail` is written by main-agent/files. */
const tellings: Readonly<Partial<Record<string, (record: AuditRecord) => Told | undefined>>> = {
  'file.upload': ({ bytes, sha256, detail }) => ({
    kind: 'written',
    bytes,
    sha256,
    replaced: hasReplaced(detail),
  }),
  'file.copy': ({ toPath, bytes, detail }) =>
    toPath === undefined ? undefined : { kind: 'copied', path: toPath, bytes, replaced: hasReplaced(detail) },
  'file.restore': ({ path = '', toPath = path, bytes }) => ({ kind: 'restored', path: toPath, bytes }),
  'file.delete': () => ({ kind: 'deleted' }),
  'file.rename': ({ toPath, bytes, detail = '' }) => ({
    kind: 'renamed',
    toPath,
    bytes,
    replaced: detail.includes('replaced what was there'),
  }),
  'file.mkdir': () => ({ kind: 'folder-made' }),
};

/** What was cut off says how much was written, and not how long the file is. */
function unfinished({ detail = '' }: AuditRecord): Told {
  return detail.includes('edited in place') ? { kind: 'written', replaced: true } : { kind: 'begun' };
}

/** Where no record says so, it may have. */
function hasReplaced(detail = ''): boolean {
  return !detail.startsWith('new file');
}

/** A change of files, by whomever; an upload that was cut off may have changed one in its place. */
const changing: ReadonlySet<string> = new Set([
  'file.upload',
  'file.copy',
  'file.delete',
  'file.rename',
  'file.mkdir',
  'file.attributes',
  'file.restore',
]);

type KeyOf = (user: string, path: string) => string | undefined;

/**
 * What was done since to the places that these deeds are about, or in them, or to what they are in: by users through other
 * nodes, and by admins and rules. Whatever came through this node is its own, also outside the window: else it could
 * make a deed of its own look like somebody's by another one later.
 */
export async function findSince(
  source: HistorySource,
  { node, fromMs }: Window,
  deeds: readonly Numbered[],
  keyOf: KeyOf,
): Promise<Since> {
  const ownMs = new Map(deeds.flatMap(({ record }) => keysOf(record, keyOf)).map((key) => [key, 0]));
  const above = new Set([...ownMs.keys()].flatMap(foldersOf));
  const changed = new Map<string, Foreign>();
  const changedInside = new Map<string, Foreign>();
  const isPlaceOf: ReadonlySet<string> = new Set(['file.delete', 'file.rename']);
  for await (const one of readHistory(source, fromMs)) {
    if (!('record' in one)) continue;
    const { sequence, record } = one;
    if (record.node === node) {
      if (!changing.has(record.event) && record.event !== 'incident.undone') continue;
      for (const key of keysOf(record, keyOf)) {
        const lastMs = ownMs.get(key);
        if (lastMs !== undefined) ownMs.set(key, Math.max(lastMs, Date.parse(record.time)));
      }
      continue;
    }
    if (!changing.has(record.event) || record.outcome === 'refused') continue;
    const foreign = { sequence, note: describe(record) };
    for (const key of keysOf(record, keyOf)) {
      if (ownMs.has(key) || (above.has(key) && isPlaceOf.has(record.event))) changed.set(key, foreign);
      for (const folder of foldersOf(key)) if (ownMs.has(folder)) changedInside.set(folder, foreign);
    }
  }
  return {
    lastOwnMs: (key) => ownMs.get(key) ?? 0,
    findForeign: (key, record) =>
      [changedInside.get(key), changed.get(key), ...foldersOf(key).map((folder) => changed.get(folder))].find(
        (one) => one !== undefined && one.sequence > record,
      )?.note,
  };
}

interface Foreign {
  readonly sequence: number;
  readonly note: string;
}

function keysOf({ user, path, toPath }: AuditRecord, keyOf: KeyOf): readonly string[] {
  if (user === undefined) return [];
  return [path, toPath].flatMap((one) => {
    if (one === undefined) return [];
    const [owner = '', inner = ''] = isUsername(user) ? [user, one] : splitOwner(one);
    return keyOf(owner, inner) ?? [];
  });
}

/** In the bin of what was taken back from a node, `/alice/a/b` → `alice`, `/a/b`. */
function splitOwner(path: string): readonly string[] {
  return /^\/([^/]+)(\/.*)$/s.exec(path)?.slice(1) ?? [];
}

/** `s/a/b` → `s/a`, `s` */
function foldersOf(key: string): readonly string[] {
  const parts = key.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, parts.length - 1 - index).join('/'));
}

function describe({ event, user, actor, node, time }: AuditRecord): string {
  const by = actor ?? user ?? 'somebody';
  return `since then ${kindOf(event).what} by ${by}${node === undefined ? '' : ` through ${node}`} at ${time}`;
}
