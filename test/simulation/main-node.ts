/**
 * Main, put together as main-agent/system/ does it, over disks that outlive it and wires that it dials. What is not the
 * product's own here: sockets, threads, and the YAML of users' files.
 */
import { join } from 'node:path';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed, type AuditFeed } from '#main-agent/audit/feed.ts';
import { NodeBudget } from '#main-agent/audit/node-budget.ts';
import { buildLogin, type Login } from '#main-agent/build-login.ts';
import { buildFileService } from '#main-agent/files/service.ts';
import type { FileService } from '#main-agent/files/file-service.ts';
import { BookedStorage } from '#main-agent/files/storage/book/booked-storage.ts';
import { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { laneDialRate, nodeRequestsMax, nodeRequestsPerSessionMax } from '#main-agent/link/limits.ts';
import { NodeConnection } from '#main-agent/link/node-connection.ts';
import { NodeProcesses } from '#main-agent/link/node-processes.ts';
import { OperationLog } from '#main-agent/link/operations.ts';
import type { SessionRegistry } from '#main-agent/sessions/session.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { Departures } from '#main-agent/users/departures.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import { requireRoom } from '#main-agent/users/own-credentials.ts';
import { SallyportError } from '#shared/error.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import type { EventBody } from '#shared/link/messages.ts';
import { RequestCounts } from '#shared/link/requests.ts';
import { Rate } from '#shared/rate.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryUsers, type MemoryUsers } from '#test/harness/memory-users.ts';
import { buildConfig } from '#test/main-agent/login/rig.ts';
import { closeFilesOf, gateEnrolments, gateMedium } from './disks.ts';
import type { DmzNode } from './dmz-node.ts';
import { Line, type Process } from './machine.ts';
import { openState } from './state-disk.ts';
import { VaultBox } from './vault-box.ts';
import { buildByteWire, buildMessageWire, type Wire } from './wires.ts';
import type { World } from './world.ts';

/** After a lost link; the real one begins at a second and doubles. */
const redialMs = 300;

/** What main keeps of a node over its links. */
interface Registered {
  readonly operations: OperationLog;
  readonly atWork: RequestCounts;
  readonly processes: NodeProcesses;
  readonly laneDials: Rate;
  readonly missed: Map<number, EventBody<'session.ended'>[]>;
}

export class MainNode {
  readonly process: Process;
  readonly users: MemoryUsers;
  readonly state: StateStore;
  readonly departures: Departures;
  readonly known: KnownNodes;
  readonly vault: VaultBox;
  login: Login | undefined;
  files: FileService | undefined;
  feed: AuditFeed | undefined;
  isServing = false;
  readonly #world: World;
  readonly #nodes = new Map<string, Registered>();
  readonly connections = new Map<DmzNode, NodeConnection>();
  readonly #pool = new FramePool();
  readonly #boot = randomId();
  readonly #budget: NodeBudget;

  private constructor(world: World, process: Process) {
    this.#world = world;
    this.process = process;
    const { clock } = process;
    this.users = buildMemoryUsers(world.users);
    this.#budget = new NodeBudget({
      clock,
      log: world.log,
      write: (record) => buildAudit(this.state).append(record),
    });
    this.state = openState(world.disk, process, (changes) => this.#budget.admit(changes));
    this.departures = new Departures({
      state: this.state,
      users: this.users,
      enrolments: this.#enrolments(),
      clock,
      log: world.log,
    });
    this.vault = new VaultBox(process, new Secret(Buffer.alloc(32, 9)));
    this.known = new KnownNodes({ configured: world.configured, state: this.state, clock });
  }

  /** Resolves when it serves; rejects where a disk keeps it from starting. */
  static begin(world: World, process: Process): { readonly main: MainNode; readonly started: Promise<void> } {
    return process.run(() => {
      const main = new MainNode(world, process);
      return { main, started: main.#start() };
    });
  }

  #enrolments() {
    const { enrolments, met } = this.#world;
    return gateEnrolments(enrolments, this.process, met);
  }

  async #start(): Promise<void> {
    const { log, folder, medium, lies, met } = this.#world;
    const { clock } = this.process;
    const { state, users, departures } = this;
    this.feed = await startAuditFeed({
      state,
      file: join(folder, 'audit.jsonl'),
      rotateBytes: 64 * 1024,
      keepMs: 365 * 86_400_000,
      clock,
      log,
    });
    const uploads = { keepPartialMs: 24 * 3_600_000, keepFinishingMs: 10 * 60_000 };
    const blobs = gateMedium(await medium.open(), this.process, lies.storage ?? {}, met);
    const storage = await BookedStorage.open(blobs, {
      name: 'local',
      keepPartialMs: uploads.keepPartialMs,
      keepReplaced: false,
      formerUntilMs: (username) => departures.formerUntilMs(username),
      clock,
      log,
    });
    const files = buildFileService({
      storages: new Map([['local', storage]]),
      uploads,
      audit: buildAudit(state),
      retention: {
        users: () => users.list(),
        usersProblem: () => undefined,
        file: join(folder, 'retention.list'),
      },
      findUser: (username) => users.find(username),
      clock,
      log,
    });
    this.files = files;
    await this.vault.begin();
    await departures.start();
    await this.known.start();
    const login = buildLogin({
      config: {
        ...buildConfig({ twoFactor: { lease: 'off', enrolment: { qr_ttl: '2m', recovery_codes: 4 } } }),
        publicUrl: 'https://files.example.com',
      },
      users,
      departures,
      enrolments: this.#enrolments(),
      credentials: this.#credentials(),
      state,
      vault: this.vault,
      delivery: { deliver: (message) => this.#deliver(message.address, message.code.expose()) },
      findSigningKey: (kid) => this.known.findSigningKey(kid),
      sendToNode: (node, event, body) => this.#tell(node, event, body),
      usedBytes: (username) => files.usedBytes(username),
      clock,
      log,
    });
    this.login = login;
    await login.start();
    for (const { name } of this.known.list())
      if (this.known.revocationOf(name) !== undefined) await login.admin.endNode(name, 'the node is revoked');
    this.isServing = true;
    for (const node of this.#world.nodes) this.#dial(node);
  }

  /** A relay that takes its time, loses nothing it took, and is a world of its own. */
  async #deliver(to: string, code: string): Promise<void> {
    await this.process.machine.gate(this.process, 'mail', () => {
      this.#world.mailbox.set(to, [...(this.#world.mailbox.get(to) ?? []), code]);
      this.#world.met('a code was mailed');
    });
  }

  #credentials(): OwnCredentials {
    const { users } = this.#world;
    const keysOf = (name: string) => users.get(name)?.sshKeys ?? [];
    const change = (name: string, edit: () => Partial<NonNullable<ReturnType<typeof users.get>>>) =>
      this.process.machine.gate(this.process, 'user file', () => {
        const error = this.process.diskFault('users');
        if (error !== undefined) {
          this.#world.met(`users: ${error.code ?? ''}`);
          throw error;
        }
        const user = users.get(name);
        if (user !== undefined) this.users.put({ ...user, ...edit(), version: randomId() });
      });
    return {
      etag: async (name) => users.get(name)?.version,
      setPassword: async (name, hash, ifMatch) => {
        if (ifMatch !== undefined && users.get(name)?.version !== ifMatch)
          throw new SallyportError('precondition-failed', 'The user was changed meanwhile');
        await change(name, () => ({ passwordHash: hash }));
      },
      renewPassword: async (name, old, next) => {
        if (users.get(name)?.passwordHash?.expose() !== old.expose()) return false;
        await change(name, () => ({ passwordHash: next }));
        return true;
      },
      ownKeys: async (name) => new Set(keysOf(name).map((key) => key.fingerprint)),
      addKey: async (name, key) => {
        requireRoom(keysOf(name), key);
        await change(name, () => ({ sshKeys: [...keysOf(name), key] }));
      },
      removeKey: async (name, fingerprint) => {
        const kept = keysOf(name).filter((key) => key.fingerprint !== fingerprint);
        const found = kept.length < keysOf(name).length;
        await change(name, () => ({ sshKeys: kept }));
        return found;
      },
    };
  }

  #register(name: string): Registered {
    const { clock } = this.process;
    const registered = this.#nodes.get(name) ?? {
      operations: new OperationLog(clock),
      atWork: new RequestCounts({ inAllMax: nodeRequestsMax, perSessionMax: nodeRequestsPerSessionMax }),
      processes: new NodeProcesses(),
      // A world loses lanes faster than its clock goes.
      laneDials: new Rate({ ...laneDialRate, burst: 10_000 }, clock.monotonic()),
      missed: new Map(),
    };
    this.#nodes.set(name, registered);
    return registered;
  }

  #tell: Parameters<typeof buildLogin>[0]['sendToNode'] = (name, event, body) => {
    for (const node of this.#world.nodes) {
      if (node.name !== name) continue;
      const connection = this.connections.get(node);
      if (connection?.isOpen === true) connection.send(event, body);
      else if ('sessionKey' in body) {
        const { missed } = this.#register(name);
        missed.set(node.worker, [...(missed.get(node.worker) ?? []), body]);
      }
    }
  };

  /** Revocation: as `node-admin.ts` does it. */
  async revoke(name: string): Promise<void> {
    const { login } = this;
    if (login === undefined) throw new Error('main is not up');
    await this.known.revoke(name, { actor: 'simulation', reason: 'broken into' });
    for (const [node, connection] of this.connections) if (node.name === name) connection.close('revoked');
    this.#nodes.get(name)?.processes.close();
    this.#nodes.delete(name);
    await login.admin.endNode(name, 'the node is revoked');
  }

  async unrevoke(name: string): Promise<void> {
    await this.known.unrevoke(name, { actor: 'simulation', reason: 'paired anew' });
    for (const node of this.#world.nodes) if (node.name === name) this.#dial(node);
  }

  #redial(node: DmzNode): void {
    setTimeout(() => this.#dial(node), redialMs);
  }

  #dial(node: DmzNode): void {
    const isTrusted = this.known.trusted().some(({ name }) => name === node.name);
    if (!isTrusted || this.connections.has(node)) return;
    const peer = node.process;
    if (!peer.isAlive || this.#world.isUnreachable(node)) {
      this.#redial(node);
      return;
    }
    this.process.machine.post(this.process, new Line(), 'dialled', () => this.#connect(node, peer));
  }

  #connect(node: DmzNode, peer: Process): void {
    if (this.connections.has(node)) return;
    if (!peer.isAlive) {
      this.#redial(node);
      return;
    }
    const { login, files } = this;
    if (login === undefined || files === undefined) return;
    const { clock } = this.process;
    const { log, tap, lies } = this.#world;
    const registered = this.#register(node.name);
    const wires: Wire[] = (this.#world.wires.get(node) ?? []).filter((wire) => wire.isOpen);
    const ends = [this.process, peer] as const;
    const [mainEnd, nodeEnd, control] = buildMessageWire(ends, tap);
    wires.push(control);
    const exporter = randomId();
    const epoch = (this.#world.epochs += 1);
    const sessions: SessionRegistry = lies.sessions?.(login.sessions) ?? login.sessions;
    const connection = new NodeConnection({
      node: node.name,
      worker: node.worker,
      epoch,
      exporter,
      transport: mainEnd,
      mainName: 'main1',
      boot: this.#boot,
      validatedLogins: true,
      handlers: {
        hostKeys: noHostKeys,
        login: login.loginHandlers,
        session: login.sessionHandlers,
        account: login.accountHandlers,
        files: files.handlers,
        onStream: files.onStream,
        sessions,
      },
      operations: registered.operations,
      atWork: registered.atWork,
      laneDials: registered.laneDials,
      pool: this.#pool,
      policy: () => ({ validatedLogins: true, branding: { name: 'Sallyport' }, neverBan: [], bans: [] }),
      missedEndings: () => {
        const endings = registered.missed.get(node.worker) ?? [];
        registered.missed.delete(node.worker);
        return endings;
      },
      dialLane: async () => {
        const [mainLane, nodeLane, wire] = buildByteWire(ends, tap);
        wires.push(wire);
        peer.run(() => node.client.acceptLane(nodeLane));
        return mainLane;
      },
      onOpen: (hello) => {
        const { gone, replaced } = registered.processes.join(node.worker, hello.boot);
        if (replaced) void login.admin.endConnectionsOf(node.name, node.worker).catch(() => undefined);
        return gone;
      },
      onEdgeEvent: () => undefined,
      onClose: (reason, breach) => {
        if (breach) this.#world.breaches.push(`${node.label}: ${reason}`);
        this.connections.delete(node);
        registered.processes.lose(node.worker);
        this.#redial(node);
      },
      clock,
      log,
    });
    this.connections.set(node, connection);
    this.#world.wires.set(node, wires);
    peer.run(() => node.client.acceptControl(nodeEnd, exporter, '192.0.2.1'));
    connection.start();
  }

  /** `kill -9`, and what is left of it. */
  async die(): Promise<void> {
    this.isServing = false;
    this.process.die();
    await closeFilesOf(this.process);
  }
}

/** Its nodes have host keys of their own. */
const refuseHostKeys = async (): Promise<never> => {
  throw new SallyportError('not-allowed', 'Main has no host keys for this node');
};
const noHostKeys = { 'hostkey.sign': refuseHostKeys, 'hostkey.prove': refuseHostKeys };
