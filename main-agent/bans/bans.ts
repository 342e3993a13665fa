import { randomBytes } from 'node:crypto';
import { isInNetworks } from '#shared/networks.ts';
import type { AuditEvent, AuditRecord } from '#main-agent/state/audit-record.ts';
import type { StoredBan } from '#main-agent/state/kept-records.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { EventBody, Policy } from '#shared/link/messages.ts';
import { requireBanAddress } from './ban-address.ts';
import { bansMax, edgeBansPerNodeMax, liftedMax } from './limits.ts';

/**
 * Bans by admins: of an address or network, a user, or a user from there. Durable. Addresses are pushed to every node,
 * which refuses the connection; users are refused here, at each login. Also knows what the nodes banned by themselves,
 * as far as they told since main started, and can have that lifted. The never-ban list wins over addresses.
 */

/** A ban that a node made; source penalties live at the edge (S-13). */
export interface EdgeBan {
  readonly id: string;
  readonly node: string;
  readonly address: string;
  readonly cause: string;
  readonly createdAtMs: number;
  readonly untilMs: number;
}

interface BanWish {
  readonly address?: string;
  readonly user?: string;
  readonly reason: string;
  readonly actor: string;
  readonly forMs: number;
}

interface BansOptions {
  readonly state: Pick<StateStore, 'commit' | 'read'>;
  readonly neverBan: () => readonly string[];
  /** Tells every node the present policy. */
  readonly push: () => void;
  /** Ends what runs of those a new ban shuts out. */
  readonly endMatching: (
    matches: (username: string, clientIp: string) => boolean,
    reason: string,
  ) => Promise<void>;
  readonly clock: Clock;
}

export class Bans {
  readonly #options: BansOptions;
  readonly #bans = new Map<string, StoredBan>();
  /** By node, then by id; of each the one that was told first is first. */
  readonly #edge = new Map<string, BoundedMap<EdgeBan>>();
  #lifted: { readonly id: string; readonly address: string }[] = [];

  constructor(options: BansOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    for (const ban of await this.#options.state.read('kept-ban')) this.#bans.set(ban.id, ban);
  }

  list(): readonly StoredBan[] {
    const nowMs = this.#options.clock.now();
    return [...this.#bans.values()].filter((ban) => ban.untilMs > nowMs);
  }

  listEdge(): readonly EdgeBan[] {
    const nowMs = this.#options.clock.now();
    return this.#allEdge().filter((ban) => ban.untilMs > nowMs);
  }

  get(id: string): StoredBan | EdgeBan | undefined {
    return this.#bans.get(id) ?? this.#getEdge(id);
  }

  /** In force everywhere when it resolves. A ban of the same address and user is replaced. */
  async add(wish: BanWish): Promise<StoredBan> {
    const { clock, state } = this.#options;
    const address = wish.address === undefined ? undefined : requireBanAddress(wish.address);
    if (address !== undefined) this.#requireMayBan(address);
    await this.#forgetOver();
    const same = this.list().find((ban) => ban.address === address && ban.user === wish.user);
    if (same === undefined && this.#bans.size >= bansMax)
      throw new SallyportError('too-many', 'There are too many bans', { detail: `${bansMax} at most` });
    const nowMs = clock.now();
    const ban: StoredBan = {
      id: same?.id ?? randomBytes(6).toString('hex'),
      ...(address !== undefined && { address }),
      ...(wish.user !== undefined && { user: wish.user }),
      reason: wish.reason,
      createdBy: wish.actor,
      createdAtMs: nowMs,
      untilMs: nowMs + wish.forMs,
    };
    await state.commit([
      { kind: 'keep-record', list: 'ban', record: ban },
      { kind: 'audit', record: this.#record('ban.added', ban, wish.actor, wish.reason) },
    ]);
    this.#bans.set(ban.id, ban);
    this.#options.push();
    await this.#options.endMatching((username, clientIp) => this.#matches(ban, username, clientIp), 'banned');
    return ban;
  }

  /** One ban, of an admin or of a node; a node's is lifted on all nodes. False: there is none. */
  async remove(id: string, actor: string, reason: string): Promise<boolean> {
    const ban = this.#bans.get(id);
    if (ban === undefined) {
      const edge = this.#getEdge(id);
      if (edge === undefined) return false;
      await this.lift(edge.address, actor, reason);
      return true;
    }
    await this.#drop([ban], actor, reason);
    if (ban.address !== undefined) this.#liftAtEdge(ban.address);
    this.#options.push();
    return true;
  }

  /** All that bans exactly this address, with or without a user, here and on every node. How many were known. */
  async lift(text: string, actor: string, reason: string): Promise<number> {
    const address = requireBanAddress(text);
    const bans = [...this.#bans.values()].filter((ban) => ban.address === address);
    const record = this.#record('ban.removed', { address }, actor, reason);
    await this.#drop(bans, actor, reason, record);
    const edge = this.#liftAtEdge(address);
    this.#options.push();
    return bans.length + edge;
  }

  /** The rule that shuts this login, for the audit; undefined: none does. */
  find(username: string, clientIp: string): string | undefined {
    for (const ban of this.list())
      if (this.#matches(ban, username, clientIp)) return `banned: ${describe(ban)}`;
    return undefined;
  }

  /** What the nodes ban that address for, to explain it. */
  findEdge(clientIp: string): EdgeBan | undefined {
    return this.listEdge().find((ban) => isInNetworks(clientIp, [ban.address]));
  }

  forPolicy(): Pick<Policy, 'bans' | 'lifted'> {
    const bans = this.list().flatMap(({ address, user, untilMs, reason }) =>
      address === undefined || user !== undefined ? [] : [{ address, untilMs, reason: reason.slice(0, 128) }],
    );
    return { bans, lifted: [...this.#lifted] };
  }

  /** A node told of a ban of its own. */
  noteEdge(node: string, { ban, atMs }: Pick<EventBody<'edge.event'>, 'ban' | 'atMs'>): void {
    if (ban === undefined) return;
    const id = `edge-${node}-${ban.source}`;
    const ofNode = this.#edge.get(node) ?? new BoundedMap<EdgeBan>(edgeBansPerNodeMax);
    this.#edge.set(node, ofNode);
    ofNode.set(id, {
      id,
      node,
      address: ban.source,
      cause: ban.cause,
      createdAtMs: atMs,
      untilMs: atMs + ban.forMs,
    });
  }

  #allEdge(): readonly EdgeBan[] {
    return [...this.#edge.values()].flatMap((ofNode) => [...ofNode.values()]);
  }

  #getEdge(id: string): EdgeBan | undefined {
    for (const ofNode of this.#edge.values()) {
      const found = ofNode.get(id);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #matches(ban: StoredBan, username: string, clientIp: string): boolean {
    if (ban.user !== undefined && ban.user !== username) return false;
    if (ban.address === undefined) return true;
    return isInNetworks(clientIp, [ban.address]) && !isInNetworks(clientIp, this.#options.neverBan());
  }

  #requireMayBan(address: string): void {
    const [base = ''] = address.split('/');
    if (!isInNetworks(base, this.#options.neverBan())) return;
    throw new SallyportError('conflict', 'This address is never banned', {
      detail: address,
      hint: 'bans.never_ban in main-agent.yaml says so',
    });
  }

  #liftAtEdge(address: string): number {
    const known = this.#allEdge().filter((ban) => ban.address === address);
    for (const { id, node } of known) this.#edge.get(node)?.delete(id);
    this.#lifted.push({ id: randomBytes(6).toString('hex'), address });
    this.#lifted = this.#lifted.slice(-liftedMax);
    return known.length;
  }

  async #drop(
    bans: readonly StoredBan[],
    actor: string,
    reason: string,
    record?: AuditRecord,
  ): Promise<void> {
    const records =
      record === undefined ? bans.map((ban) => this.#record('ban.removed', ban, actor, reason)) : [record];
    await this.#options.state.commit([
      ...bans.map(({ id }) => ({ kind: 'drop-record' as const, list: 'ban' as const, id })),
      ...records.map((one) => ({ kind: 'audit' as const, record: one })),
    ]);
    for (const { id } of bans) this.#bans.delete(id);
  }

  async #forgetOver(): Promise<void> {
    const nowMs = this.#options.clock.now();
    const over = [...this.#bans.values()].filter((ban) => ban.untilMs <= nowMs).slice(0, 100);
    if (over.length === 0) return;
    await this.#options.state.commit(
      over.map(({ id }) => ({ kind: 'drop-record' as const, list: 'ban' as const, id })),
    );
    for (const { id } of over) this.#bans.delete(id);
  }

  #record(
    event: AuditEvent,
    ban: Pick<StoredBan, 'address' | 'user'> & { readonly untilMs?: number },
    actor: string,
    reason: string,
  ): AuditRecord {
    const { address, user, untilMs } = ban;
    const until = untilMs === undefined ? '' : `until ${new Date(untilMs).toISOString()}: `;
    return {
      time: new Date(this.#options.clock.now()).toISOString(),
      event,
      outcome: 'ok',
      actor,
      ...(user !== undefined && { user }),
      ...(address !== undefined && { rule: address }),
      detail: `${until}${reason}`,
    };
  }
}

function describe({ address, user, reason }: StoredBan): string {
  const what = [user, address].filter((part) => part !== undefined).join(' from ');
  return `${what} (${reason})`;
}
