import { join } from 'node:path';
import { describeAnswer, readOwner } from './answers.ts';
import { RawSession, type Reply } from './raw-session.ts';
import { by, close, type Handle, packetType, type Path, type Place } from './requests.ts';
import type { Row, Step } from './row.ts';
import type { Lane } from './server.ts';
import { prepareTree, readTree } from './trees.ts';

/** What came of one round of a row at one server. */
export interface Telling {
  readonly answers: readonly string[];
  readonly tree: Readonly<Record<string, string>>;
}

/** Tells rows to one server, lane by lane on the same few sessions: rows are told as to a client that stays. */
export class Teller {
  readonly #lane: Lane;
  readonly #sessions = new Map<string, RawSession>();

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /** `name` is the row's folder; every round has one of its own. */
  async tell(row: Row, name: string): Promise<Telling[]> {
    const rounds: Telling[] = [];
    for (let round = 0; round < (row.rounds ?? 1); round++)
      rounds.push(await this.#tellOnce(row, `${name}-${round}`));
    return rounds;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.close();
  }

  async #tellOnce(row: Row, name: string): Promise<Telling> {
    const folder = join(this.#lane.files, name);
    await prepareTree(folder, row.tree);
    for (const [who, session] of this.#sessions) if (session.hasEnded) this.#sessions.delete(who);
    if (row.breaks === true) await this.#replace('a', RawSession.connectSilently(this.#lane.login));
    const place = new RowPlace(name, this.#lane.prefix);
    const answers: string[] = [];
    for (const step of row.steps) answers.push(...(await this.#send('type' in step ? [step] : step, place)));
    await this.#send(place.leftOpen(), place);
    if (row.breaks === true) await this.#replace('a', undefined);
    return { answers, tree: readTree(folder) };
  }

  /** Steps of one list go out together; each session's in one piece. */
  async #send(steps: readonly Step[], place: RowPlace): Promise<string[]> {
    const bySession = Map.groupBy(steps, (step) => step.session ?? 'a');
    const answers = new Map<Step, string>();
    await Promise.all(
      [...bySession].map(async ([name, own]) => {
        const session = this.#sessions.get(name) ?? (await this.#replace(name, this.#connect()));
        const packets = own.map((step) => ({ ...step, body: step.body(place) }));
        const replies = await session.send(packets);
        for (const [index, step] of own.entries()) {
          const reply = replies[index];
          place.note(step, reply);
          answers.set(step, step.bytes === undefined ? describeAnswer(step, reply, place) : 'nothing');
        }
      }),
    );
    return steps.map((step) => answers.get(step) ?? '');
  }

  #connect(): Promise<RawSession> {
    return RawSession.connect(this.#lane.login);
  }

  async #replace(name: string, next: Promise<RawSession>): Promise<RawSession>;
  async #replace(name: string, next: undefined): Promise<undefined>;
  async #replace(name: string, next: Promise<RawSession> | undefined): Promise<RawSession | undefined> {
    await this.#sessions.get(name)?.close();
    this.#sessions.delete(name);
    const session = await next;
    if (session !== undefined) this.#sessions.set(name, session);
    return session;
  }
}

/** A row's folder at one server, and the handles it opened there. */
class RowPlace implements Place {
  readonly #folder: string;
  readonly #prefix: string;
  readonly #handles = new Map<string, Buffer>();
  readonly #open = new Map<string, string | undefined>();
  toldOwner: readonly [number, number] = [0, 0];

  constructor(name: string, prefix: string) {
    this.#folder = name;
    this.#prefix = prefix;
  }

  path(path: Path): Buffer {
    if (typeof path === 'string') return Buffer.from(`${this.#folder}/${path}`);
    if (Buffer.isBuffer(path)) return Buffer.concat([Buffer.from(`${this.#folder}/`), path]);
    if ('absolute' in path) return Buffer.from(`${this.#prefix}/${this.#folder}/${path.absolute}`);
    return Buffer.from(path.exactly);
  }

  handle(handle: Handle): Buffer {
    if (typeof handle !== 'string') return handle.exactly;
    return this.#handles.get(handle) ?? Buffer.from(handle);
  }

  note(step: Step, reply: Reply): void {
    if (step.opens !== undefined && reply?.type === packetType.handle) {
      this.#handles.set(step.opens, reply.body.subarray(4));
      this.#open.set(step.opens, step.session);
    }
    if (reply?.type === packetType.attrs) this.toldOwner = readOwner(reply.body);
    if (typeof step.closes === 'string') this.#open.delete(step.closes);
  }

  leftOpen(): Step[] {
    return [...this.#open].map(([handle, session]) =>
      session === undefined ? close(handle) : by(session, close(handle)),
    );
  }

  /** A path as the server says it → the same words for every server and row. */
  shorten(path: string): string {
    if (this.#prefix !== '' && this.#prefix.startsWith(path))
      return path === this.#prefix ? '/' : '(above the files)';
    const inside = path.startsWith(this.#prefix) ? path.slice(this.#prefix.length) : path;
    return inside.replace(`/${this.#folder}`, '/here');
  }
}
