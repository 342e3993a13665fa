import type { DoorFinding, DoorQuestion } from '#shared/link/messages.ts';
import type { Protocol } from '#shared/login.ts';
import type { Admission, ConnectionStage, Newcomer, Refusal } from './guard.ts';
import type { GuardLimits } from './limits.ts';
import { networksOf } from '#shared/networks.ts';

/** An admission by counts that are all here. */
type Place = Omit<Admission, 'awaitCode'> & { awaitCode(user: string): boolean };

/** Try again when a few of the others are gone. */
const retryAfterMs = 10_000;

interface Open {
  readonly protocol: Protocol;
  /** What it is counted by, narrowest first: the source, then the networks around it. */
  readonly networks: readonly string[];
  readonly isKnown: boolean;
  stage: ConnectionStage;
  /** Takes it out of all counts, and ends it. */
  readonly drop: () => void;
}

/**
 * The open connections of both doors, and who has to go when there is no room (D-94).
 *
 * Whoever connects is let in at the cost of those who have shown less: each stage before a session has a share of the
 * door, and where a stage is full the network with the most connections in it loses its oldest. So a flood that stays
 * silent, one that says hello and one that exchanges keys each push out themselves. Sources with a good login have
 * shares of their own, which no stranger's connection takes from them. A connection with a session is never dropped.
 *
 * Every entry belongs to a live connection, so the maps are bounded by it.
 */
export class ConnectionCounts {
  readonly #limits: GuardLimits;
  readonly #onDropped: (ip: string, protocol: Protocol, stage: ConnectionStage) => void;
  readonly #all: Record<Protocol, number> = { https: 0, sftp: 0 };
  /** By door, stage and whether the source is known; in each the one that came first is first. */
  readonly #rooms = new Map<string, Set<Open>>();
  /** By door and network: all connections, and those before their first factor. */
  readonly #byNetwork = new Map<string, number>();
  readonly #unauthenticated = new Map<string, number>();
  readonly #awaitingBySource = new Map<string, number>();
  readonly #awaitingByUser = new Map<string, number>();

  constructor(
    limits: GuardLimits,
    onDropped: (ip: string, protocol: Protocol, stage: ConnectionStage) => void = () => undefined,
  ) {
    this.#limits = limits;
    this.#onDropped = onDropped;
  }

  /** `isExempt` sources (never-ban list: monitors, load balancers) are not limited by source, and count as known. */
  admit({ ip, protocol, isExempt, isKnown, onDropped }: Newcomer): Place | Refusal {
    const networks = networksOf(ip);
    const reason =
      (isExempt ? undefined : this.#makeRoomInNetworks(networks, protocol)) ??
      this.#makeRoomAtDoor(protocol, isKnown || isExempt);
    if (reason !== undefined) return { admitted: false, reason, retryAfterMs };

    const [source = ip] = networks;
    this.#all[protocol] += 1;
    const leaveNetworks = enterAll(this.#byNetwork, protocol, networks);
    const leaveUnauthenticated = enterAll(this.#unauthenticated, protocol, networks);
    let leaveAwaiting = (): void => undefined;
    let isOver = false;
    const release = (): void => {
      if (isOver) return;
      isOver = true;
      leaveAwaiting();
      leaveUnauthenticated();
      leaveNetworks();
      this.#roomOf(open).delete(open);
      this.#all[protocol] -= 1;
    };
    const open: Open = {
      protocol,
      networks,
      isKnown: isKnown || isExempt,
      stage: 'silent',
      drop: () => {
        this.#onDropped(ip, protocol, open.stage);
        release();
        onDropped();
      },
    };
    this.#enterRoom(open);
    return {
      admitted: true,
      reached: (stage) => {
        if (!isOver) this.#advance(open, stage);
      },
      awaitCode: (user) => {
        if (isOver) return false;
        leaveAwaiting();
        leaveAwaiting = () => undefined;
        const perSource = this.#awaitingBySource.get(source) ?? 0;
        const perUser = this.#awaitingByUser.get(user) ?? 0;
        const isFull =
          perSource >= this.#limits.awaitingCodePerSourceMax ||
          perUser >= this.#limits.awaitingCodePerUserMax;
        // It stays a connection without a login, and is counted as one.
        if (!isExempt && isFull) return false;
        const leaveSource = enter(this.#awaitingBySource, source);
        const leaveUser = enter(this.#awaitingByUser, user);
        leaveAwaiting = () => {
          leaveSource();
          leaveUser();
        };
        leaveUnauthenticated();
        this.#advance(open, 'code');
        return true;
      },
      authenticated: () => {
        if (isOver) return;
        leaveAwaiting();
        leaveAwaiting = () => undefined;
        leaveUnauthenticated();
        this.#advance(open, 'session');
      },
      release,
    };
  }

  /** How full it is around that address: for people who look for why somebody is not let in. */
  standing({ ip, protocol, user }: DoorQuestion & { readonly protocol: Protocol }): readonly DoorFinding[] {
    const networks = networksOf(ip);
    const { connectionsMax, stageMax } = this.#limits;
    const told = (
      what: DoorFinding['what'],
      { of, count, max }: { readonly of?: string; readonly count: number; readonly max: number },
    ): DoorFinding => ({ what, protocol, ...(of !== undefined && { of }), count, max, acts: count >= max });

    const byNetwork = networks.flatMap((network, width) => {
      const factor = this.#factor(width, networks.length);
      const of = (counts: ReadonlyMap<string, number>, perSourceMax: number) => ({
        of: network,
        count: counts.get(`${protocol} ${network}`) ?? 0,
        max: perSourceMax * factor,
      });
      const connections = told(
        'connections',
        of(this.#byNetwork, this.#limits.connectionsPerSourceMax[protocol]),
      );
      if (protocol !== 'sftp') return [connections];
      const { unauthenticatedPerSourceMax } = this.#limits;
      return [connections, told('unauthenticated', of(this.#unauthenticated, unauthenticatedPerSourceMax))];
    });
    const [source = ip] = networks;
    const waiting = [
      { of: source, count: this.#awaitingBySource.get(source), max: this.#limits.awaitingCodePerSourceMax },
      { of: user, count: this.#awaitingByUser.get(user ?? ''), max: this.#limits.awaitingCodePerUserMax },
    ].flatMap(({ of, count = 0, max }) =>
      protocol === 'sftp' && of !== undefined ? [told('awaiting-code', { of, count, max })] : [],
    );
    const full = stagesBefore.flatMap((stage) =>
      [false, true].map((isKnown) =>
        told('stage-full', {
          of: `${stage}, ${isKnown ? 'known sources' : 'strangers'}`,
          count: this.#roomOf({ protocol, stage, isKnown }).size,
          max: stageMax[protocol][stage],
        }),
      ),
    );
    const door = told('door-full', { count: this.#all[protocol], max: connectionsMax[protocol] });
    return [...byNetwork, ...waiting, ...full.filter(({ acts }) => acts), door];
  }

  #factor(width: number, widths: number): number {
    return (widths === 2 ? this.#limits.widerFactors.v4 : this.#limits.widerFactors.v6)[width] ?? 1;
  }

  /**
   * A source beyond its limit is refused. A wider network beyond its limit makes room at the cost of a neighbour who
   * has more than the newcomer: one customer of a network shuts out no other.
   */
  #makeRoomInNetworks(networks: readonly string[], protocol: Protocol): Refusal['reason'] | undefined {
    for (const [width, network] of networks.entries()) {
      const key = `${protocol} ${network}`;
      const factor = this.#factor(width, networks.length);
      const unauthenticated = protocol === 'sftp' ? (this.#unauthenticated.get(key) ?? 0) : 0;
      const isFull =
        (this.#byNetwork.get(key) ?? 0) >= this.#limits.connectionsPerSourceMax[protocol] * factor ||
        unauthenticated >= this.#limits.unauthenticatedPerSourceMax * factor;
      if (!isFull) continue;
      const narrower = networks[width - 1];
      if (narrower === undefined) return 'too-many-from-source';
      const goes = this.#findHeaviest(
        this.#roomsByStage(protocol, [false, true]),
        (open) => (open.networks[width] === network ? open.networks[width - 1] : undefined),
        this.#unauthenticated.get(`${protocol} ${narrower}`) ?? 0,
      );
      if (goes === undefined) return 'too-many-from-network';
      goes.drop();
    }
    return undefined;
  }

  #makeRoomAtDoor(protocol: Protocol, isKnown: boolean): Refusal['reason'] | undefined {
    if (this.#all[protocol] < this.#limits.connectionsMax[protocol]) return undefined;
    const goes = this.#findHeaviest(this.#roomsByStage(protocol, isKnown ? [false, true] : [false]), (open) =>
      open.networks.at(-1),
    );
    if (goes === undefined) return 'too-many';
    goes.drop();
    return undefined;
  }

  #advance(open: Open, stage: ConnectionStage): void {
    if (stages.indexOf(stage) <= stages.indexOf(open.stage)) return;
    this.#roomOf(open).delete(open);
    open.stage = stage;
    this.#enterRoom(open);
  }

  #enterRoom(open: Open): void {
    const room = this.#roomOf(open);
    const share = open.stage === 'session' ? Infinity : this.#limits.stageMax[open.protocol][open.stage];
    if (room.size >= share) this.#findHeaviest([room], ({ networks }) => networks.at(-1))?.drop();
    room.add(open);
  }

  /** Rooms of those without a session; who has shown less comes first, strangers before the known. */
  #roomsByStage(protocol: Protocol, known: readonly boolean[]): Set<Open>[] {
    return known.flatMap((isKnown) =>
      stagesBefore.map((stage) => this.#roomOf({ protocol, stage, isKnown })),
    );
  }

  /** In the first room that has more of one network than that: of the network with the most there, the oldest. */
  #findHeaviest(
    rooms: readonly ReadonlySet<Open>[],
    networkOf: (open: Open) => string | undefined,
    moreThan = 0,
  ): Open | undefined {
    for (const room of rooms) {
      const oldest = new Map<string, { readonly open: Open; count: number }>();
      for (const open of room) {
        const network = networkOf(open);
        if (network === undefined) continue;
        const of = oldest.get(network);
        if (of === undefined) oldest.set(network, { open, count: 1 });
        else of.count += 1;
      }
      let most = { open: undefined as Open | undefined, count: moreThan };
      for (const one of oldest.values()) if (one.count > most.count) most = one;
      if (most.open !== undefined) return most.open;
    }
    return undefined;
  }

  #roomOf({ protocol, stage, isKnown }: Pick<Open, 'protocol' | 'stage' | 'isKnown'>): Set<Open> {
    const key = `${protocol} ${stage} ${isKnown}`;
    const found = this.#rooms.get(key);
    if (found !== undefined) return found;
    const room = new Set<Open>();
    this.#rooms.set(key, room);
    return room;
  }
}

/** In this order; nobody goes back. */
const stagesBefore = ['silent', 'hello', 'secured', 'code'] as const;
const stages: readonly ConnectionStage[] = [...stagesBefore, 'session'];

/** Counts one up for each network at this door; the returned function counts them down again, once. */
function enterAll(counts: Map<string, number>, protocol: Protocol, networks: readonly string[]): () => void {
  let leave: readonly (() => void)[] = networks.map((network) => enter(counts, `${protocol} ${network}`));
  return () => {
    for (const one of leave) one();
    leave = [];
  };
}

/** Counts one up; the returned function counts it down again and drops the entry at zero. */
function enter(counts: Map<string, number>, key: string): () => void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
  return () => {
    const left = (counts.get(key) ?? 1) - 1;
    if (left === 0) counts.delete(key);
    else counts.set(key, left);
  };
}
