/** A file service over a real folder, sessions to ask it with, and streams without a lane. */
import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Audit, AuditRecord } from '#main-agent/state/audit-record.ts';
import type { FileService } from '#main-agent/files/file-service.ts';
import { buildFileService } from '#main-agent/files/service.ts';
import { BookedStorage } from '#main-agent/files/storage/book/booked-storage.ts';
import type { Storage } from '#main-agent/files/storage/storage.ts';
import type { FileVerb, NodeLink } from '#main-agent/link/handlers.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import type { Allow, EffectiveUser, Mount } from '#main-agent/users/effective-user.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError } from '#shared/error.ts';
import type { OpenMode } from '#shared/file-service/attributes.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import type { Protocol } from '#shared/login.ts';
import { FakeStream } from './fake-stream.ts';
import { LocalMedium, type TestMedium } from './media.ts';

export const allVerbs: readonly Allow[] = ['list', 'read', 'write', 'overwrite', 'delete', 'rename', 'mkdir'];

function buildLink(processGone: AbortSignal): NodeLink {
  return {
    node: 'dmz1',
    worker: 0,
    epoch: 1,
    exporter: '',
    processGone,
    validatedLogins: true,
    isOpen: true,
    send: () => undefined,
    close: () => undefined,
  };
}

export function mountOf(path: string[], root: string[], allow = allVerbs, more: Partial<Mount> = {}): Mount {
  return { path, storage: 'local', root, allow: new Set(allow), uploads: 'atomic', ...more };
}

export function userOf(
  username: string,
  mounts?: readonly Mount[],
  more: Partial<EffectiveUser> = {},
): EffectiveUser {
  return {
    username,
    displayName: username,
    email: undefined,
    phone: undefined,
    groups: [],
    passwordHash: undefined,
    sshKeys: [],
    twoFactor: {
      requiredOn: [],
      registration: false,
      forceSetup: false,
      requiredFrom: undefined,
      deliveredTtlMs: undefined,
      sftpPasswordWithCode: false,
    },
    protocols: ['https', 'sftp'],
    status: 'active',
    expires: undefined,
    allowFrom: undefined,
    hours: undefined,
    mounts: mounts ?? [mountOf([], [username])],
    quotaBytes: undefined,
    limits: { sessions: undefined, uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined },
    version: '1',
    ...more,
  };
}

/** Parameters of a verb without what the rig fills in. */
type Asked<V extends FileVerb> = Omit<Params<V>, 'session' | 'op'>;

export const newFile: OpenMode = {
  read: false,
  write: true,
  create: 'if-missing',
  truncate: true,
  append: false,
};
export const resume: OpenMode = { ...newFile, truncate: false };
export const exclusive: OpenMode = { ...newFile, create: 'exclusive' };
export const reading: OpenMode = {
  read: true,
  write: false,
  create: 'never',
  truncate: false,
  append: false,
};

let sessions = 0;

export class Client {
  readonly session: FullSession;
  user: EffectiveUser;
  /** What it asks through; another process of the node is another link. */
  link: NodeLink;
  #process = new AbortController();
  readonly #ended = new AbortController();
  readonly #service: () => FileService;
  #operations = 0;

  constructor(service: () => FileService, user: EffectiveUser, protocol: Protocol, key?: string) {
    this.#service = service;
    this.user = user;
    this.link = buildLink(this.#process.signal);
    sessions += 1;
    this.session = {
      state: 'signed-in',
      key: key ?? `session-${sessions}`,
      username: user.username,
      node: 'dmz1',
      worker: 0,
      protocol,
      method: 'none',
      clientIp: '192.0.2.1',
      openedAtMs: 0,
      ended: this.#ended.signal,
      user: () => this.user,
    };
  }

  ask<V extends FileVerb>(verb: V, params: Asked<V>): Promise<Result<V>> {
    this.#operations += 1;
    return this.askAs(verb, params, this.#operations);
  }

  /** With an operation number of one's own, as a re-sent request has. */
  askAs<V extends FileVerb>(verb: V, params: Asked<V>, op: number): Promise<Result<V>> {
    const handler: (params: Params<V>, session: FullSession, link: NodeLink) => Promise<Result<V>> =
      this.#service().handlers[verb];
    return handler({ session: '', op, ...params } as unknown as Params<V>, this.session, this.link);
  }

  stream(header: {
    kind: 'read' | 'write';
    handle: number;
    offset?: number;
    lengthBytes?: number;
  }): FakeStream {
    const stream = new FakeStream();
    this.#service().onStream({ session: '', offset: 0, ...header }, stream, this.session, this.link);
    return stream;
  }

  /** From now on it asks through another process of the node; ends the one before, or says how to. */
  changeProcess(): () => void {
    const before = this.#process;
    this.#process = new AbortController();
    this.link = buildLink(this.#process.signal);
    return () => before.abort();
  }

  async open(path: string[], mode: OpenMode): Promise<number> {
    return (await this.ask('fs.open', { path, mode })).handle;
  }

  async write(handle: number, bytes: Buffer | string, offset = 0): Promise<void> {
    await this.stream({ kind: 'write', handle, offset }).sendAll(Buffer.from(bytes));
  }

  async put(path: string[], bytes: Buffer | string, mode = newFile): Promise<Result<'fs.commit'>> {
    const handle = await this.open(path, mode);
    await this.write(handle, bytes);
    return this.ask('fs.commit', { handle });
  }

  async read(handle: number, range: { offset?: number; lengthBytes?: number } = {}): Promise<Buffer> {
    return this.stream({ kind: 'read', handle, ...range }).received();
  }

  async get(path: string[]): Promise<Buffer> {
    const handle = await this.open(path, reading);
    const bytes = await this.read(handle);
    await this.ask('fs.release', { handle, keepPartial: false });
    return bytes;
  }

  async names(path: string[] = []): Promise<string[]> {
    const { handle } = await this.ask('fs.open-folder', { path });
    const names: string[] = [];
    for (let number = 0; ; number += 1) {
      const page = await this.ask('fs.read-folder', { handle, page: number });
      names.push(...page.entries.map((entry) => entry.name));
      if (page.end) break;
    }
    await this.ask('fs.release', { handle, keepPartial: false });
    return names.sort();
  }

  end(): void {
    this.#ended.abort();
  }
}

const keepPartialMs = 24 * 3_600_000;

export interface RigOptions {
  readonly clock?: Clock;
  readonly keepReplaced?: boolean;
  /** Instead of `records`. */
  readonly audit?: Audit;
  /** A second storage. */
  readonly second?: TestMedium;
}

export class StorageRig {
  readonly medium: TestMedium;
  readonly records: AuditRecord[] = [];
  /** No record becomes durable: the disk is full, or the process is about to be killed. */
  losesRecords = false;
  #onLost: () => void = () => undefined;
  readonly #told = new Map<string, number>();
  readonly users = new Map<string, EffectiveUser>();
  usersProblem: string | undefined;
  readonly retentionFile = join(tmpdir(), `retention-${randomBytes(9).toString('hex')}`);
  readonly formerUntilMs = new Map<string, number>();
  readonly #options: RigOptions;
  readonly clock: Clock;
  readonly #log = buildLog('silent', {});
  #service: FileService | undefined;

  constructor(medium: TestMedium, options: RigOptions = {}) {
    this.medium = medium;
    this.#options = options;
    this.clock = options.clock ?? new DistinctClock();
  }

  /** One that no service uses; whoever opens it closes it. */
  async openStorage(name = 'local', medium = this.medium): Promise<Storage> {
    const [clock, log] = [this.clock, this.#log];
    return BookedStorage.open(await medium.open({ name, clock, log }), {
      name,
      keepPartialMs,
      keepReplaced: this.#options.keepReplaced ?? true,
      formerUntilMs: (username) => this.formerUntilMs.get(username),
      clock,
      log,
    });
  }

  get service(): FileService {
    if (this.#service === undefined) throw new Error('not started');
    return this.#service;
  }

  async start(): Promise<void> {
    const { second, audit } = this.#options;
    const storages = new Map([['local', await this.openStorage()]]);
    if (second !== undefined) storages.set('second', await this.openStorage('second', second));
    this.#service = buildFileService({
      storages,
      uploads: { keepPartialMs, keepFinishingMs: 10 * 60_000 },
      audit: audit ?? {
        append: async (record, once) => {
          if (this.losesRecords) {
            this.#onLost();
            throw new Error('the disk is full');
          }
          if (once !== undefined) {
            if ((this.#told.get(once.of) ?? Infinity) < once.sinceMs) return;
            this.#told.set(once.of, Date.parse(record.time));
          }
          this.records.push(record);
        },
      },
      retention: {
        users: () => this.users.values(),
        usersProblem: () => this.usersProblem,
        file: this.retentionFile,
      },
      findUser: (username) => this.users.get(username),
      clock: this.clock,
      log: this.#log,
    });
  }

  /** As after a kill: nothing is told anybody, the next process finds what is on the disk. */
  async restart(): Promise<void> {
    await this.close();
    await this.start();
  }

  async close(): Promise<void> {
    await this.#service?.close();
    this.#service = undefined;
  }

  /** Done, and its record is lost: what is left of it when its process is killed before the record is durable. */
  async doneUntold(act: () => Promise<unknown>): Promise<void> {
    const { promise: lost, resolve } = Promise.withResolvers<void>();
    this.#onLost = resolve;
    // Nobody is there any more to hear its answer.
    await Promise.race([lost, act().catch(() => undefined)]);
  }

  client(user: EffectiveUser | string = 'alice', protocol: Protocol = 'sftp', key?: string): Client {
    const found = typeof user === 'string' ? userOf(user) : user;
    this.users.set(found.username, found);
    return new Client(() => this.service, found, protocol, key);
  }

  /** What lies in the staging folder, without the journal. */
  async staged(): Promise<string[]> {
    const names = await this.medium.readdir('.sallyport-staging');
    return names.filter((name) => name !== 'operations.journal').sort();
  }

  event(name: string): AuditRecord | undefined {
    return this.records.findLast((record) => record.event === name);
  }
}

/** Of a storage that is a folder of this host. */
export class Rig extends StorageRig {
  readonly base: string;

  constructor(medium: LocalMedium, options: RigOptions = {}) {
    super(medium, options);
    this.base = medium.base;
  }

  path(...names: readonly string[]): string {
    return join(this.base, ...names);
  }
}

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const medium = await LocalMedium.make();
  return startOn(medium, new Rig(medium, options));
}

export async function startOn<R extends StorageRig>(medium: TestMedium, rig: R): Promise<R> {
  await rig.start();
  onTestFinished(async () => {
    await rig.close();
    await rm(rig.retentionFile, { force: true });
    await medium.dispose();
  }, 60_000);
  return rig;
}

/** Codes of what was refused; `Error` for what is no SallyportError. */
export function codesOf(settled: readonly PromiseSettledResult<unknown>[]): string[] {
  return settled.flatMap((one) =>
    one.status === 'rejected' ? [isSallyportError(one.reason) ? one.reason.code : String(one.reason)] : [],
  );
}

export function valuesOf<T>(settled: readonly PromiseSettledResult<T>[]): T[] {
  return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function randomContent(bytes: number): Buffer {
  return randomBytes(bytes);
}

/** No moment comes twice: in memory many things are done within a millisecond, and some tests ask what came first. */
class DistinctClock implements Clock {
  #lastMs = 0;
  now(): number {
    return (this.#lastMs = Math.max(Date.now(), this.#lastMs + 0.001));
  }
  monotonic(): number {
    return performance.now();
  }
}

export class SettableClock implements Clock {
  aheadMs = 0;
  now(): number {
    return Date.now() + this.aheadMs;
  }
  monotonic(): number {
    return performance.now() + this.aheadMs;
  }
}
