import { type AuditEvent, buildRecord } from '#main-agent/state/audit-record.ts';
import { Serial } from '#main-agent/turns.ts';
import { inParts } from '#main-agent/state/in-parts.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { returnGraceMs } from './limits.ts';
import type { EnrolmentSource, UserSource } from './user-source.ts';

/**
 * Names whose user is gone, and may be given to somebody else (D-56): second factor and tokens hang at the name, and
 * must not pass from one person to the next (S-16). A user who vanishes is noted, durably and with the time. A name
 * that comes back soon was never given away; one that comes back later opens nothing until an admin says whose it is.
 *
 * What counts is the note and not that its return was noticed: whoever asks is refused from the moment the grace is
 * over, however soon after the user's return it is.
 */

interface DeparturesOptions {
  readonly state: Pick<StateStore, 'commit' | 'read'>;
  readonly users: Pick<UserSource, 'isGiven' | 'isLoaded' | 'onChange'>;
  readonly enrolments: Pick<EnrolmentSource, 'list'>;
  /** Names that something else hangs at, which the next holder is not to get; of these nothing waits for a decision. */
  readonly alsoRemembered?: () => Iterable<string>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A name with a second factor or a token, whose user is gone or came back too late to be taken for the same. */
export interface OrphanedName {
  readonly username: string;
  readonly goneAtMs: number;
  /** Undefined: nobody has the name. */
  readonly returnedAtMs: number | undefined;
}

interface Note {
  readonly goneAtMs: number;
  /** The steady clock's time when it was noted, or read after a start: a clock set back stretches no grace. */
  readonly sinceMs: number;
  readonly returnedAtMs?: number;
  /** Undefined: not looked up yet. */
  readonly isHeld?: boolean;
}

export class Departures {
  readonly #options: DeparturesOptions;
  /** Names that were users and under which something is stored (S-09): an entry each, as in state.db. */
  readonly #notes = new Map<string, Note>();
  /** Those that changed hands; state.db forgets them in time, this at the next start. */
  readonly #former = new Map<string, number>();
  /** The store was compared with the users once; before, changes are not looked at one by one. */
  #isCompared = false;
  /** Everything that is written is written in the order it happened. */
  readonly #turns = new Serial();
  #unsubscribe: (() => void) | undefined;

  constructor(options: DeparturesOptions) {
    this.#options = options;
  }

  /** Nobody may sign in before it resolves. */
  async start(): Promise<void> {
    const { clock, state, users } = this.#options;
    for (const { username, goneAtMs, returnedAtMs, formerUntilMs } of await state.read('departures')) {
      if (formerUntilMs !== undefined) this.#former.set(username, formerUntilMs);
      if (goneAtMs === undefined) continue;
      const times = { goneAtMs, sinceMs: clock.monotonic() };
      this.#notes.set(username, returnedAtMs === undefined ? times : { ...times, returnedAtMs });
    }
    this.#unsubscribe = users.onChange((names) => this.#look(names));
    await this.#turns.run(() => this.#compare());
  }

  /** Why nothing that is stored under this name may be used now, for the admin. */
  findProblem(username: string): string | undefined {
    const note = this.#notes.get(username);
    if (note === undefined || !this.#isLate(note)) return undefined;
    const since = new Date(note.goneAtMs).toISOString();
    return `the name was given again after its user had gone (${since}): \`sallyport two-factor keep ${username}\` for the same person, \`reset\` for a new one`;
  }

  /**
   * What was made until then, this time included, is not of the person who has the name now, or it is not decided that it
   * is.
   */
  formerUntilMs(username: string): number | undefined {
    const note = this.#notes.get(username);
    const undecidedMs = note !== undefined && this.#isLate(note) ? note.goneAtMs : undefined;
    const formerMs = this.#former.get(username);
    return formerMs === undefined || undecidedMs === undefined
      ? (formerMs ?? undecidedMs)
      : Math.max(formerMs, undecidedMs);
  }

  list(): readonly OrphanedName[] {
    return [...this.#notes]
      .filter(([, { isHeld, returnedAtMs }]) => isHeld === true || returnedAtMs !== undefined)
      .map(([username, { goneAtMs, returnedAtMs }]) => ({ username, goneAtMs, returnedAtMs }))
      .toSorted((one, other) => (one.username < other.username ? -1 : 1));
  }

  /** An admin is adding a user of this name: that is somebody new and no folder that was swapped, however soon it is. */
  endGrace(username: string): void {
    const note = this.#notes.get(username);
    if (note !== undefined) this.#notes.set(username, { ...note, sinceMs: -Infinity });
  }

  /** The same person came back. False: the name waits for no decision. */
  keep(username: string, alongside: readonly Change[]): Promise<boolean> {
    return this.#turns.run(async () => {
      const note = this.#notes.get(username);
      // Also where its return could not be written down.
      if (note === undefined || !this.#isLate(note) || !this.#options.users.isGiven(username)) return false;
      await this.#options.state.commit([settle(username, undefined), ...alongside]);
      // Gone again while that was written: it is another note by now, and stands.
      if (this.#notes.get(username) === note) this.#notes.delete(username);
      return true;
    });
  }

  /** Whoever has the name next, or now, is another person: `commit` takes everything away, these changes with it. */
  end(username: string, commit: (changes: readonly Change[]) => Promise<void>): Promise<void> {
    return this.#turns.run(async () => {
      const nowMs = this.#options.clock.now();
      await commit([settle(username, nowMs), { kind: 'forget-user', user: username }]);
      this.#notes.delete(username);
      this.#former.set(username, nowMs);
    });
  }

  /** Its user is gone, or is back and it is not decided who that is. */
  isNoted(username: string): boolean {
    return this.#notes.has(username);
  }

  /** When all that was noticed is durable. */
  async settled(): Promise<void> {
    await this.#turns.settled();
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    await this.#turns.settled();
  }

  /** At once, before anybody can ask: what the source says now. */
  #look(names: readonly string[]): void {
    if (!this.#isCompared) {
      this.#inBackground(() => this.#compare());
      return;
    }
    const { clock, users } = this.#options;
    const gone: string[] = [];
    const back: string[] = [];
    const late: string[] = [];
    for (const name of names) {
      const note = this.#notes.get(name);
      if (!users.isGiven(name)) {
        // One that came back too late and goes again stays as late as it was.
        if (note === undefined) this.#notes.set(name, { goneAtMs: clock.now(), sinceMs: clock.monotonic() });
        else if (note.returnedAtMs !== undefined) this.#notes.set(name, withoutReturn(note));
        else continue;
        gone.push(name);
      } else if (note !== undefined && note.returnedAtMs === undefined) {
        (this.#takeBack(name, note) ? back : late).push(name);
      }
    }
    if (gone.length + back.length + late.length === 0) return;
    this.#inBackground(() => this.#write(gone, back, late));
  }

  /** False: it is too late for that. */
  #takeBack(name: string, note: Note): boolean {
    return !this.#isLate(note) && this.#notes.delete(name);
  }

  /** Once, when the source can be read: who went or came while nobody looked. */
  async #compare(): Promise<void> {
    const { clock, users } = this.#options;
    if (this.#isCompared || !users.isLoaded()) return;
    const remembered = await this.#remembered();
    this.#isCompared = true;
    const gone = [...remembered.keys()].filter((name) => !users.isGiven(name) && !this.#notes.has(name));
    for (const name of gone) this.#notes.set(name, { goneAtMs: clock.now(), sinceMs: clock.monotonic() });
    const unknown: string[] = [];
    const back: string[] = [];
    const late: string[] = [];
    for (const [name, note] of this.#notes) {
      const isHeld = remembered.get(name);
      if (users.isGiven(name)) {
        if (note.returnedAtMs !== undefined) continue;
        (this.#takeBack(name, note) ? back : late).push(name);
      } else if (isHeld === undefined) {
        this.#notes.delete(name);
        unknown.push(name);
      } else this.#notes.set(name, { ...withoutReturn(note), isHeld });
    }
    await this.#commitEach(unknown, (name) => [settle(name, undefined)]);
    await this.#write(gone, back, late);
  }

  async #write(gone: readonly string[], back: readonly string[], late: readonly string[]): Promise<void> {
    const remembered = await this.#remembered();
    await this.#noteGone(gone, remembered);
    await this.#commitEach(back, (name) => [
      settle(name, undefined),
      ...(remembered.get(name) === true
        ? [this.#record('two-factor.orphan-back', name, 'the user is there again within the grace')]
        : []),
    ]);
    await this.#noteLate(late, remembered);
  }

  async #noteGone(names: readonly string[], remembered: ReadonlyMap<string, boolean>): Promise<void> {
    const known: string[] = [];
    for (const name of names) {
      const note = this.#notes.get(name);
      const isHeld = remembered.get(name);
      if (isHeld !== undefined) known.push(name);
      // Undefined: back already, and what follows takes the note away again.
      if (note === undefined) continue;
      if (isHeld === undefined) this.#notes.delete(name);
      else this.#notes.set(name, { ...note, isHeld });
    }
    await this.#commitEach(known, (name) => [
      {
        kind: 'note-departure',
        user: name,
        atMs: this.#notes.get(name)?.goneAtMs ?? this.#options.clock.now(),
      },
      ...(remembered.get(name) === true
        ? [
            this.#record(
              'two-factor.orphaned',
              name,
              'the user is gone; second factor and tokens stay for now',
            ),
          ]
        : []),
    ]);
  }

  async #noteLate(names: readonly string[], remembered: ReadonlyMap<string, boolean>): Promise<void> {
    const atMs = this.#options.clock.now();
    const [held, free] = [
      names.filter((name) => remembered.get(name) === true),
      names.filter((name) => remembered.get(name) !== true),
    ];
    await this.#commitEach(held, (name) => [
      { kind: 'note-return', user: name, atMs },
      { kind: 'set-bypass-code', user: name, code: undefined },
      this.#record('two-factor.returned', name, this.findProblem(name) ?? ''),
    ]);
    for (const name of held) {
      const note = this.#notes.get(name);
      if (note !== undefined) this.#notes.set(name, { ...note, isHeld: true, returnedAtMs: atMs });
      this.#options.log.warn(
        { alarm: 'name-returned', user: name },
        'a name came back; nothing under it counts',
      );
    }
    // Nothing to decide: what little there is of the former holder does not count any more.
    await this.#commitEach(free, (name) => [
      settle(name, atMs),
      { kind: 'set-bypass-code', user: name, code: undefined },
    ]);
    for (const name of free) {
      this.#notes.delete(name);
      this.#former.set(name, atMs);
    }
  }

  /** Names that something is stored under, and whether it is a factor or a token. */
  async #remembered(): Promise<ReadonlyMap<string, boolean>> {
    const { alsoRemembered, clock, enrolments, state } = this.#options;
    const names = new Map<string, boolean>(
      Iterator.from(alsoRemembered?.() ?? []).map((name) => [name, false]),
    );
    for (const { username, isHeld } of await state.read('remembered-names', { nowMs: clock.now() }))
      names.set(username, isHeld);
    // A set-up whose commit was lost is taken over when it is looked at: it must be found before.
    for (const name of await enrolments.list()) names.set(name, true);
    return names;
  }

  #isLate({ goneAtMs, sinceMs, returnedAtMs }: Note): boolean {
    const { clock } = this.#options;
    if (returnedAtMs !== undefined) return true;
    // A time in the future was noted before the clock was set back: nobody knows how long ago that is.
    const goneMs = Math.abs(clock.now() - goneAtMs);
    return Math.max(goneMs, clock.monotonic() - sinceMs) > returnGraceMs;
  }

  #record(event: AuditEvent, user: string, detail: string): Change {
    const record = buildRecord(this.#options, event, 'ok', { user, actor: 'system', detail });
    return { kind: 'audit', record };
  }

  async #commitEach(names: readonly string[], changes: (name: string) => readonly Change[]): Promise<void> {
    for (const part of inParts(names.flatMap(changes))) await this.#options.state.commit(part);
  }

  /** What could not be written stands in memory: it fails closed, and after a start it is found anew. */
  #inBackground(work: () => Promise<void>): void {
    this.#turns
      .run(work)
      .catch((error: unknown) =>
        this.#options.log.error({ err: error }, 'names whose users went or came back are not noted'),
      );
  }
}

function settle(user: string, formerUntilMs: number | undefined): Change {
  return { kind: 'settle-departure', user, formerUntilMs };
}

function withoutReturn({ returnedAtMs: _returned, ...note }: Note): Note {
  return note;
}
