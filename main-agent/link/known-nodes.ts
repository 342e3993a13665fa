import { type AuditEvent, buildRecord } from '#main-agent/state/audit-record.ts';
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { StoredRevocation, StoredRotation } from '#main-agent/state/kept-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { SigningKey } from '#shared/assertion/verify.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import type { RotationLine } from '#shared/pairing/rotation-line.ts';
import type { DmzNode } from './links.ts';

/**
 * Which nodes main trusts now, by which keys (D-40): those of the configuration, less the revoked, with the keys that
 * were rotated since. Durable: a restart does not forget a revocation. Both are bound to the key the configuration
 * names, so that a node paired anew starts afresh.
 */

interface ConfiguredNode extends DmzNode {
  /** Ed25519 public key, base64url. */
  readonly signingKey: string;
}

interface Why {
  readonly actor: string;
  readonly reason: string;
}

interface Keys {
  readonly identity: string;
  readonly signingKey: string;
}

export class KnownNodes {
  readonly #state: Pick<StateStore, 'commit' | 'read'>;
  readonly #clock: Clock;
  #configured: ReadonlyMap<string, ConfiguredNode>;
  /** As they are stored, by node, whatever the configuration says of it. */
  readonly #revocations = new Map<string, StoredRevocation>();
  readonly #rotations = new Map<string, StoredRotation>();
  /** Of those, what holds for the keys that are configured. */
  #revoked: ReadonlyMap<string, StoredRevocation> = new Map();
  #rotated: ReadonlyMap<string, StoredRotation> = new Map();

  constructor(dependencies: {
    readonly configured: readonly ConfiguredNode[];
    readonly state: Pick<StateStore, 'commit' | 'read'>;
    readonly clock: Clock;
  }) {
    this.#state = dependencies.state;
    this.#clock = dependencies.clock;
    this.#configured = new Map(dependencies.configured.map((node) => [node.name, node]));
  }

  async start(): Promise<void> {
    for (const one of await this.#state.read('kept-node-rotation')) this.#rotations.set(one.id, one);
    for (const one of await this.#state.read('kept-revoked-node')) this.#revocations.set(one.id, one);
    this.configure(this.list());
  }

  /** Those of another configuration, with what was revoked and rotated of them. */
  configure(nodes: readonly ConfiguredNode[]): void {
    const configured = new Map(nodes.map((node) => [node.name, node]));
    const rotated = new Map<string, StoredRotation>();
    for (const one of this.#rotations.values()) {
      // The configuration may name the keys of before or, since `nodes rotate` writes them there, the new ones.
      const identity = configured.get(one.id)?.identity;
      if (identity !== undefined && lineageOf(one).includes(identity)) rotated.set(one.id, one);
    }
    const revoked = new Map<string, StoredRevocation>();
    for (const one of this.#revocations.values()) {
      const rotation = rotated.get(one.id);
      const keys = [configured.get(one.id)?.identity, ...(rotation === undefined ? [] : lineageOf(rotation))];
      if (keys.includes(one.identity)) revoked.set(one.id, one);
    }
    this.#configured = configured;
    this.#rotated = rotated;
    this.#revoked = revoked;
  }

  list(): readonly ConfiguredNode[] {
    return [...this.#configured.values()];
  }

  /** Those to dial. */
  trusted(): readonly ConfiguredNode[] {
    return this.list().filter(({ name }) => !this.#revoked.has(name));
  }

  revocationOf(name: string): StoredRevocation | undefined {
    return this.#revoked.get(name);
  }

  /** While both keys are good. */
  rotationOf(name: string): StoredRotation | undefined {
    const rotation = this.#rotated.get(name);
    return rotation !== undefined && rotation.overlapUntilMs > this.#clock.now() ? rotation : undefined;
  }

  /** The newest keys. */
  keysOf(name: string): Keys | undefined {
    return this.#rotated.get(name) ?? this.#configured.get(name);
  }

  /** Link keys that are good now; none of a revoked node. */
  identitiesOf(name: string): readonly string[] {
    const keys = this.#revoked.has(name) ? undefined : this.keysOf(name);
    if (keys === undefined) return [];
    const rotation = this.rotationOf(name);
    return rotation === undefined ? [keys.identity] : [keys.identity, rotation.oldIdentity];
  }

  /** Signing keys that are good now; none of a revoked node. */
  signingKeysOf(name: string): readonly KeyObject[] {
    return this.#signingKeys(name).flatMap(({ publicKey, status }) =>
      status === 'active' ? [publicKey] : [],
    );
  }

  /** A pinned signing key by its fingerprint, with what it is worth now. */
  findSigningKey(kid: string): SigningKey | undefined {
    for (const name of this.#configured.keys()) {
      const found = this.#signingKeys(name).find(({ publicKey }) => fingerprintOf(publicKey) === kid);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #signingKeys(node: string): readonly SigningKey[] {
    const current = this.keysOf(node)?.signingKey;
    const old = this.#rotated.get(node)?.oldSigningKey;
    return [current, old].flatMap((text) => {
      if (text === undefined) return [];
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' });
      const isGood = text === current || this.rotationOf(node) !== undefined;
      const status = this.#revoked.has(node) ? 'revoked' : isGood ? 'active' : 'retired';
      return [{ node, publicKey, status }];
    });
  }

  /** Rejects `not-found`, `conflict` (it is revoked already). Nothing of it is accepted when it resolves. */
  async revoke(name: string, why: Why): Promise<void> {
    const node = this.require(name);
    if (this.#revoked.has(name))
      throw new SallyportError('conflict', 'This node is revoked already', { detail: name });
    const record: StoredRevocation = {
      id: name,
      identity: node.identity,
      reason: why.reason,
      createdBy: why.actor,
      createdAtMs: this.#clock.now(),
    };
    await this.#state.commit([
      { kind: 'keep-record', list: 'revoked-node', record },
      this.#audit('node.revoked', name, why),
    ]);
    this.#revocations.set(name, record);
    this.configure(this.list());
  }

  /** Rejects `not-found`, `conflict` (it is not revoked). */
  async unrevoke(name: string, why: Why): Promise<ConfiguredNode> {
    const node = this.require(name);
    if (!this.#revoked.has(name))
      throw new SallyportError('conflict', 'This node is not revoked', { detail: name });
    await this.#state.commit([
      { kind: 'drop-record', list: 'revoked-node', id: name },
      this.#audit('node.unrevoked', name, why),
    ]);
    this.#revocations.delete(name);
    this.configure(this.list());
    return node;
  }

  /** New keys, by a line that the present link key signed. The old ones are good for `overlapMs` more. */
  async rotate(line: RotationLine, overlapMs: number, why: Why): Promise<StoredRotation> {
    const { name } = line;
    const node = this.require(name);
    const keys = this.keysOf(name) ?? node;
    if (line.signedBy !== keys.identity) {
      throw new SallyportError('not-allowed', 'The line is not signed by the key of this node', {
        detail: `signed by ${line.signedBy}, pinned is ${keys.identity}`,
        hint: 'make it anew on the DMZ box: sallyport node rotate',
      });
    }
    const nowMs = this.#clock.now();
    const record: StoredRotation = {
      id: name,
      configuredIdentity: node.identity,
      oldIdentity: keys.identity,
      oldSigningKey: keys.signingKey,
      identity: line.identity,
      signingKey: line.signing_key,
      createdBy: why.actor,
      createdAtMs: nowMs,
      overlapUntilMs: nowMs + overlapMs,
    };
    await this.#state.commit([
      { kind: 'keep-record', list: 'node-rotation', record },
      this.#audit('node.rotated', name, why, `${keys.identity} -> ${line.identity}`),
    ]);
    this.#rotations.set(name, record);
    this.configure(this.list());
    return record;
  }

  require(name: string): ConfiguredNode {
    const node = this.#configured.get(name);
    if (node !== undefined) return node;
    throw new SallyportError('not-found', 'There is no such node', {
      detail: name,
      hint: 'sallyport nodes list',
    });
  }

  #audit(event: AuditEvent, node: string, { actor, reason }: Why, rule?: string): Change {
    const facts = { node, actor, ...(rule !== undefined && { rule }), detail: reason };
    return { kind: 'audit', record: buildRecord({ clock: this.#clock }, event, 'ok', facts) };
  }
}

/** Link keys that were one node's, one after the other. */
function lineageOf({ configuredIdentity, oldIdentity, identity }: StoredRotation): readonly string[] {
  return [configuredIdentity, oldIdentity, identity];
}
