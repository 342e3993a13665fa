/** Everything that outlives main: disks, people, nodes, wires; and who is told what happens. */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { SessionRegistry } from '#main-agent/sessions/session.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Enrolment } from '#main-agent/users/user-source.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { isSallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryEnrolments } from '#test/harness/memory-enrolments.ts';
import { mountOf } from '#test/main-agent/files/rig.ts';
import { MemoryMedium } from '#test/main-agent/files/media.ts';
import { playedBook } from '#test/harness/played-vault.ts';
import { buildUser, cheapHash, playSshKey, withFactor } from '#test/main-agent/login/rig.ts';
import { watchOwnDisk, type StorageLies } from './disks.ts';
import { DmzNode } from './dmz-node.ts';
import { Process, type Machine } from './machine.ts';
import { MainNode } from './main-node.ts';
import { Oracle, type Held, type Kind, type Person } from './oracle.ts';
import { StateDisk, type DiskLies } from './state-disk.ts';
import type { Wire } from './wires.ts';

/** How a test has a part lie, to see that it is noticed. */
export interface Lies {
  readonly disk?: DiskLies;
  readonly storage?: StorageLies;
  readonly sessions?: (sessions: SessionRegistry) => SessionRegistry;
  /** A revocation that leaves links and sessions as they are. */
  readonly revokesNothing?: boolean;
}

const kinds: readonly Kind[] = ['plain', 'plain', 'totp', 'totp', 'totp', 'keyed', 'keyed', 'mail', 'mail'];

export class World {
  readonly machine: Machine;
  readonly lies: Lies;
  readonly folder: string;
  readonly log: Log;
  readonly disk: StateDisk;
  readonly medium = new MemoryMedium();
  readonly enrolments = buildMemoryEnrolments(new Map<string, Enrolment>(), new Map<string, Enrolment>());
  readonly users = new Map<string, EffectiveUser>();
  readonly people: Person[];
  readonly mailbox = new Map<string, readonly string[]>();
  readonly nodes: readonly DmzNode[];
  readonly configured;
  readonly wires = new Map<DmzNode, Wire[]>();
  readonly breaches: string[] = [];
  readonly held: Held[] = [];
  /** Since when, on the steady clock. */
  readonly revoked = new Map<string, number>();
  /** Neither revoked nor not: main died before it said. */
  readonly unsure = new Set<string>();
  /** Users whose names nobody has at the moment. */
  readonly gone = new Map<string, EffectiveUser>();
  readonly counts = new Map<string, number>();
  readonly oracle: Oracle;
  epochs = 0;
  contents = 0;
  main: MainNode | undefined;
  /** What people and admins are about, and what they wait for. */
  readonly scripts = new Set<{ readonly name: string }>();
  #mainWall: Process['wall'] | undefined;
  readonly #unreachable = new Set<DmzNode>();

  constructor(machine: Machine, lies: Lies) {
    this.machine = machine;
    this.lies = lies;
    this.oracle = new Oracle(this);
    this.folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'sallyport-simulation-'));
    this.log = pino(
      { level: 'info', base: null, timestamp: false },
      { write: (line) => this.oracle.seeText(line, 'a log') },
    );
    this.disk = new StateDisk(lies.disk ?? {}, this.met);
    watchOwnDisk(this.met);
    const keys = new Map([
      ['dmz1', keyPemOf(1)],
      ['dmz2', keyPemOf(2)],
    ]);
    this.configured = [...keys].map(([name, pem]) => {
      const publicKey = createPublicKey(createPrivateKey(pem));
      const { x = '' } = publicKey.export({ format: 'jwk' });
      return {
        name,
        address: { host: '127.0.0.1', port: 1 },
        identity: fingerprintOf(publicKey),
        signingKey: x,
      };
    });
    this.nodes = [
      new DmzNode(this, 'dmz1', 0, keys.get('dmz1') ?? ''),
      new DmzNode(this, 'dmz1', 1, keys.get('dmz1') ?? ''),
      new DmzNode(this, 'dmz2', 0, keys.get('dmz2') ?? ''),
    ];
    this.people = kinds.map((kind, at) => this.#invent(kind, `${kind}${at}`));
    const vaultKey = Buffer.alloc(32, 9);
    for (const text of [vaultKey.toString('hex'), vaultKey.toString('base64url')])
      this.oracle.canaries.add(text);
  }

  #invent(kind: Kind, name: string): Person {
    const key = playSshKey();
    const password = `right password of ${name}`;
    const person: Person = {
      name,
      kind,
      email: `${name}@example.com`,
      key,
      passwords: [password],
      authenticators: [],
      bypass: undefined,
      shutSinceMs: undefined,
      shutSinceTurn: undefined,
      given: 'held',
      givenSinceMs: 0,
      usedRequests: [],
      usedCodes: [],
      usedAtMs: -Infinity,
      mayCount: [],
      wrongAnswered: 0,
      clearing: 0,
      unclearUntilMs: 0,
      clearedAtTurn: 0,
      files: new Map(),
      limitBytes: kind === 'plain' ? 60_000 : undefined,
    };
    const requiredOn = kind === 'plain' ? [] : (['https', 'sftp'] as const);
    this.users.set(
      name,
      buildUser(name, {
        ...withFactor({ requiredOn, registration: true, forceSetup: kind === 'totp' || kind === 'keyed' }),
        passwordHash: new Secret(cheapHash(password)),
        mounts: [mountOf([], [name])],
        email: kind === 'mail' ? person.email : undefined,
        sshKeys: kind === 'keyed' ? [key.publicKey] : [],
        quotaBytes: person.limitBytes,
        version: `${name}-1`,
      }),
    );
    this.noteHash(name);
    this.oracle.canaries.add(password);
    return person;
  }

  /** A password hash is nobody's to see. */
  noteHash(name: string): void {
    const stored = this.users.get(name)?.passwordHash?.expose() ?? '';
    const hash = playedBook.find(stored)?.split('$').at(-1);
    if (hash !== undefined) this.oracle.canaries.add(hash);
  }

  readonly met = (what: string): void => {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  };

  readonly tap = (bytes: Buffer, from: Process): void => {
    if (from.name === 'main') this.oracle.seeFrame(bytes);
  };

  keyOf(sessionId: string): string {
    return createHash('sha256').update(sessionId).digest('base64url');
  }

  isUnreachable(node: DmzNode): boolean {
    return this.#unreachable.has(node);
  }

  setReachable(node: DmzNode, isReachable: boolean): void {
    if (isReachable) this.#unreachable.delete(node);
    else this.#unreachable.add(node);
  }

  mainNow(): number {
    return this.main?.process.clock.now() ?? this.machine.startMs + this.machine.steadyMs;
  }

  /** Until it serves, or a disk keeps it from that; then it is tried again, as its unit does. */
  async startMain(): Promise<boolean> {
    const process = new Process(this.machine, 'main', this.#mainWall);
    process.diskFault = this.diskFault;
    const { main, started } = MainNode.begin(this, process);
    this.main = main;
    let failed: unknown;
    started.catch((error: unknown) => (failed = error));
    await this.machine.until(() => main.isServing || failed !== undefined || !process.isAlive, 60_000);
    if (failed !== undefined) {
      const code = isSallyportError(failed) ? failed.code : 'a disk';
      this.machine.tell(`main did not start: ${code}`);
      this.met('main did not start');
      await this.killMain();
      return false;
    }
    return main.isServing;
  }

  async killMain(): Promise<void> {
    const { main } = this;
    if (main === undefined) return;
    this.#mainWall = main.process.wall;
    await main.die();
    this.main = undefined;
    this.disk.crash(this.machine.chance(1, 2));
  }

  /** What is wrong with main's disks at the moment; a cause for each. */
  readonly faults = new Map<string, { readonly code: 'EIO' | 'ENOSPC'; readonly among: number }>();
  readonly diskFault = (what: string): NodeJS.ErrnoException | undefined => {
    const fault = this.faults.get(what);
    if (fault === undefined || !this.machine.chance(1, fault.among)) return undefined;
    return Object.assign(new Error(`${fault.code}: played disk error`), { code: fault.code });
  };

  close(): void {
    for (const node of this.nodes) node.process.die();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** An Ed25519 key that is the same in every run (RFC 8410). */
function keyPemOf(number: number): string {
  const der = Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    Buffer.alloc(32, number),
  ]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
}
