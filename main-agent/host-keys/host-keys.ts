import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { AdminReason } from '#main-agent/administrator.ts';
import { buildRecord, type AuditEvent } from '#main-agent/state/audit-record.ts';
import type { StoredHostKey } from '#main-agent/state/kept-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { Serial } from '#main-agent/turns.ts';
import type { OwnSealer } from '#main-agent/vault/calls.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { hostKeysMax } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { formatPublicKeyLine, parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import { retiredForMs } from './limits.ts';
import { publicKeyOf, readPrivateKey, writePrivateKey } from './private-keys.ts';

/**
 * SSH host keys of the nodes that have none themselves (D-150): made here, sealed into the state, rotated so that no
 * client has to be told. Each node has a key that signs and one that is only announced, to take its turn at the next
 * rotation, when clients that looked already know it.
 */

interface HostKeysOptions {
  readonly state: Pick<StateStore, 'read' | 'commit'>;
  readonly sealer: OwnSealer;
  /** What a node's clients are shown is another now. */
  readonly onChange: (node: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

type HostKeyEvent = Extract<AuditEvent, `hostkeys.${string}`>;

interface HeldKey {
  readonly stored: StoredHostKey;
  readonly publicKey: SshPublicKey;
  readonly privateKey: KeyObject;
}

/** A key without its private half. */
export interface HostKeyView {
  readonly publicKey: SshPublicKey;
  readonly standing: StoredHostKey['standing'];
  readonly sinceMs: number;
  readonly nodes: readonly string[];
  /** When a retired one goes. */
  readonly untilMs?: number;
}

/** Whose host keys are where. */
interface NodeHostKeys {
  readonly name: string;
  readonly hostKey: 'main' | 'local';
}

const order: readonly StoredHostKey['standing'][] = ['signs', 'next', 'retired'];

export class HostKeys {
  readonly #options: HostKeysOptions;
  #nodes: readonly NodeHostKeys[];
  #keys: readonly HeldKey[] = [];
  /**
   * What the vault does not open. It stands in its place, so that clients are not shown another key by themselves, until
   * somebody says so.
   */
  #lost: readonly StoredHostKey[] = [];
  /** One change at a time: each begins from what the one before left. */
  readonly #changes = new Serial();

  constructor(nodes: readonly NodeHostKeys[], options: HostKeysOptions) {
    this.#nodes = nodes;
    this.#options = options;
  }

  /**
   * Takes what is stored, and makes what is missing. What this vault key does not open is told (`problems`), and holds up
   * nothing else. Rejects `busy` while the vault is away.
   */
  async start(): Promise<void> {
    const { clock, log, state } = this.#options;
    const stored = await state.read('kept-host-key');
    const opened = await Promise.all(stored.map((one) => this.#open(one)));
    this.#keys = opened.filter((one) => one !== undefined);
    this.#lost = stored.filter((one, index) => opened[index] === undefined && !isGone(one, clock.now()));
    for (const problem of this.problems())
      log.error({ alarm: 'host-key-lost', problem }, 'a host key is not used');
    await this.prepare(this.#nodes);
  }

  async #open(stored: StoredHostKey): Promise<HeldKey | undefined> {
    try {
      const file = await this.#options.sealer.open(sealedAs(stored.id), stored.sealed);
      const publicKey = parsePublicKeyLine(stored.publicLine);
      return { stored, publicKey, privateKey: createPrivateKey(file.expose()) };
    } catch (error) {
      if (isSallyportError(error, 'busy')) throw error;
      this.#options.log.error({ err: error, key: stored.id }, 'a host key can not be opened');
      return undefined;
    }
  }

  /** Keys that the vault does not open, for people. */
  problems(): readonly string[] {
    const what = {
      signs: 'the host key that signs',
      next: 'the announced host key',
      retired: 'a retired host key',
    };
    return this.#lost.map(
      ({ id, nodes, standing }) =>
        `${nodes.join(', ')}: ${what[standing]} (${id}) can not be opened with this vault key, and is not used`,
    );
  }

  /**
   * Makes what nodes of another configuration are missing; whose keys are where stays as it is until what it resolves with
   * is called, which can not fail. What was made is there for the next time when it never is. Rejects `busy` while the vault
   * is away.
   */
  async prepare(nodes: readonly NodeHostKeys[]): Promise<() => void> {
    for (const { name, hostKey } of nodes)
      if (hostKey === 'main') await this.#changes.run(() => this.#fill(name));
    return () => {
      this.#nodes = nodes;
    };
  }

  /** Whether main signs for this node. */
  isOfMain(node: string): boolean {
    return this.#nodes.some(({ name, hostKey }) => name === node && hostKey === 'main');
  }

  /** Those that sign first. */
  list(node: string): readonly HostKeyView[] {
    return this.#of(node).map(({ stored: { standing, sinceMs, nodes }, publicKey }) => ({
      publicKey,
      standing,
      sinceMs,
      nodes,
      ...(standing === 'retired' && { untilMs: sinceMs + retiredForMs }),
    }));
  }

  /** Undefined: not of this node, or long retired. */
  find(node: string, blob: Buffer): HeldKey | undefined {
    return this.#of(node).find(({ publicKey }) => publicKey.blob.equals(blob));
  }

  /**
   * The announced key takes its turn, and another one is announced. The one before signs for open connections only. Keys
   * that can't be opened are dropped; when the announced one is among them another is announced, and signs only if none does.
   */
  rotate(node: string, why: AdminReason): Promise<void> {
    return this.#changes.run(async () => {
      const own = this.#of(node);
      const lost = this.#lostOf(node);
      const next = own.find(({ stored }) => stored.standing === 'next');
      if (next === undefined && lost.length === 0) throw noKeys(node);
      const signing = own.filter(({ stored }) => stored.standing === 'signs');
      const gone = signing.filter(({ publicKey }) => publicKey.type === next?.publicKey.type);
      const nodes = this.#group(node);
      const isNone = next === undefined && signing.length === 0;
      const signs = next === undefined ? [] : [this.#as(next, 'signs')];
      const first = isNone ? await this.#make(nodes, 'signs') : undefined;
      if (first !== undefined) signs.push(first);
      await this.#keep(
        [...signs, ...gone.map((key) => this.#as(key, 'retired')), await this.#make(nodes)],
        this.#audit('hostkeys.rotated', node, why, [
          ...signs.map(({ stored }) => `signs: ${stored.id}`),
          ...gone.map(({ stored }) => `retired: ${stored.id}`),
          ...lost.map(({ id }) => `dropped: ${id}`),
        ]),
        lost,
      );
    });
  }

  /** Keys that a node has now, or had: they sign in place of those of their kind. Rejects `bad-request`, `conflict`. */
  import(node: string, files: readonly Secret[], why: AdminReason): Promise<void> {
    return this.#changes.run(async () => {
      this.#require(node);
      const read = files.map((file) => readPrivateKey(file));
      const keys = await Promise.all(read.map((key) => this.#seal(key, this.#group(node), 'signs')));
      const types = new Set(keys.map(({ publicKey }) => publicKey.type));
      if (types.size < keys.length) throw new SallyportError('bad-request', 'Two keys of one kind');
      for (const { stored } of keys) {
        const other = this.#keys.find(({ stored: { id } }) => id === stored.id);
        if (other !== undefined && !other.stored.nodes.includes(node))
          throw new SallyportError('conflict', 'Another node has this key', {
            detail: `${stored.id} is of ${other.stored.nodes.join(', ')}`,
            hint: 'sallyport hostkeys share',
          });
      }
      const gone = this.#of(node).filter(
        ({ stored, publicKey }) =>
          stored.standing === 'signs' &&
          types.has(publicKey.type) &&
          !keys.some((key) => isSame(key, { stored })),
      );
      await this.#keep(
        [...keys, ...gone.map((key) => this.#as(key, 'retired'))],
        this.#audit(
          'hostkeys.imported',
          node,
          why,
          keys.map(({ stored }) => stored.id),
        ),
        this.#lostOf(node).filter(({ publicLine }) =>
          [...types].some((type) => publicLine.startsWith(`${type} `)),
        ),
      );
      await this.#fill(node);
    });
  }

  /** The private keys that sign for it, as files that a node reads. */
  async export(node: string, why: AdminReason): Promise<readonly Secret[]> {
    const own = this.#of(node).filter(({ stored }) => stored.standing === 'signs');
    if (own.length === 0) throw noKeys(node);
    const ids = own.map(({ stored }) => stored.id);
    await this.#options.state.commit([this.#audit('hostkeys.exported', node, why, ids)]);
    return own.map(({ privateKey }) => writePrivateKey(privateKey, node));
  }

  /** From now on a node has the keys of another one: to clients the two are one server. Its own go. */
  share(node: string, other: string, why: AdminReason): Promise<void> {
    return this.#changes.run(async () => {
      this.#require(node);
      const taken = this.#of(other);
      if (taken.length === 0) throw noKeys(other);
      if (node === other || taken.every(({ stored }) => stored.nodes.includes(node)))
        throw new SallyportError('conflict', 'They have the same keys already');
      const left = this.#of(node).map((key) =>
        this.#for(
          key,
          key.stored.nodes.filter((name) => name !== node),
        ),
      );
      await this.#keep(
        [...left, ...taken.map((key) => this.#for(key, [...key.stored.nodes, node]))],
        this.#audit('hostkeys.shared', node, why, [`with ${other}`]),
      );
    });
  }

  #of(node: string): readonly HeldKey[] {
    const now = this.#options.clock.now();
    return this.#keys
      .filter(({ stored }) => stored.nodes.includes(node) && !isGone(stored, now))
      .toSorted(
        (one, another) => order.indexOf(one.stored.standing) - order.indexOf(another.stored.standing),
      );
  }

  /** The nodes that have this one's keys with it. */
  #group(node: string): readonly string[] {
    return (this.#of(node)[0]?.stored ?? this.#lostOf(node)[0])?.nodes ?? [node];
  }

  #lostOf(node: string): readonly StoredHostKey[] {
    return this.#lost.filter(({ nodes }) => nodes.includes(node));
  }

  #require(node: string): void {
    if (!this.#nodes.some(({ name }) => name === node))
      throw new SallyportError('not-found', 'There is no such node', {
        detail: node,
        hint: 'sallyport nodes list',
      });
  }

  async #fill(node: string): Promise<void> {
    const own = this.#of(node);
    const missing = (['signs', 'next'] as const).filter(
      (standing) =>
        ![...own.map(({ stored }) => stored), ...this.#lostOf(node)].some((one) => one.standing === standing),
    );
    if (missing.length === 0) return;
    const nodes = this.#group(node);
    const made = await Promise.all(missing.map((standing) => this.#make(nodes, standing)));
    const why = { actor: 'system', reason: 'there was none' };
    await this.#keep(
      made,
      this.#audit(
        'hostkeys.made',
        node,
        why,
        made.map(({ stored }) => stored.id),
      ),
    );
  }

  #make(nodes: readonly string[], standing: 'signs' | 'next' = 'next'): Promise<HeldKey> {
    return this.#seal(generateKeyPairSync('ed25519').privateKey, nodes, standing);
  }

  async #seal(
    privateKey: KeyObject,
    nodes: readonly string[],
    standing: StoredHostKey['standing'],
  ): Promise<HeldKey> {
    const publicKey = publicKeyOf(privateKey);
    const id = publicKey.fingerprint;
    const plain = new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const sealed = await this.#options.sealer.seal(sealedAs(id), plain);
    const publicLine = formatPublicKeyLine(publicKey);
    const sinceMs = this.#options.clock.now();
    return { stored: { id, nodes, publicLine, standing, sinceMs, sealed }, publicKey, privateKey };
  }

  #as(key: HeldKey, standing: StoredHostKey['standing']): HeldKey {
    return { ...key, stored: { ...key.stored, standing, sinceMs: this.#options.clock.now() } };
  }

  #for(key: HeldKey, nodes: readonly string[]): HeldKey {
    return { ...key, stored: { ...key.stored, nodes } };
  }

  /** In place of those of the same ids. What is nobody's, long retired or too much goes with it, and what is `lost`. */
  async #keep(
    changed: readonly HeldKey[],
    audit: Change,
    lost: readonly StoredHostKey[] = [],
  ): Promise<void> {
    const { clock, state, onChange } = this.#options;
    const all = [...this.#keys.filter((one) => !changed.some((key) => isSame(key, one))), ...changed];
    const retired = all
      .filter(({ stored }) => stored.standing === 'retired')
      .toSorted((one, another) => another.stored.sinceMs - one.stored.sinceMs);
    const isTooMuch = (key: HeldKey): boolean =>
      key.stored.standing === 'retired' &&
      key.stored.nodes.some((node) => {
        const others = all.filter(
          ({ stored }) => stored.standing !== 'retired' && stored.nodes.includes(node),
        ).length;
        const rank = retired.filter(({ stored }) => stored.nodes.includes(node)).indexOf(key);
        return others + rank >= hostKeysMax;
      });
    const kept = all.filter(
      (key) => key.stored.nodes.length > 0 && !isGone(key.stored, clock.now()) && !isTooMuch(key),
    );
    const isStored = (key: HeldKey): boolean => this.#keys.some((one) => isSame(key, one));
    await state.commit([
      ...kept
        .filter((key) => changed.includes(key))
        .map(({ stored }) => ({ kind: 'keep-record', list: 'host-key', record: stored }) as const),
      ...all
        .filter((key) => !kept.includes(key) && isStored(key))
        .map(({ stored }) => ({ kind: 'drop-record', list: 'host-key', id: stored.id }) as const),
      ...lost
        .filter(({ id }) => !kept.some(({ stored }) => stored.id === id))
        .map(({ id }) => ({ kind: 'drop-record', list: 'host-key', id }) as const),
      audit,
    ]);
    this.#keys = kept;
    this.#lost = this.#lost.filter((one) => !lost.includes(one));
    for (const node of new Set(changed.flatMap(({ stored }) => stored.nodes))) onChange(node);
  }

  #audit(event: HostKeyEvent, node: string, { actor, reason }: AdminReason, what: readonly string[]): Change {
    const detail = `${what.join(', ')}: ${reason}`;
    return { kind: 'audit', record: buildRecord(this.#options, event, 'ok', { node, actor, detail }) };
  }
}

function sealedAs(id: string): string {
  return `host-key ${id}`;
}

function isSame(one: Pick<HeldKey, 'stored'>, another: Pick<HeldKey, 'stored'>): boolean {
  return one.stored.id === another.stored.id;
}

function isGone({ standing, sinceMs }: StoredHostKey, nowMs: number): boolean {
  return standing === 'retired' && nowMs - sinceMs >= retiredForMs;
}

function noKeys(node: string): SallyportError {
  return new SallyportError('not-found', 'Main has no host keys of this node', {
    detail: node,
    hint: 'host_key: main in dmz_nodes of main-agent.yaml; sallyport hostkeys list',
  });
}
