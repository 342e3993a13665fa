import { afterEach, describe, expect, it } from 'vitest';
import { NodeConnection } from '#main-agent/link/node-connection.ts';
import { laneDialRate, nodeRequestsMax, nodeRequestsPerSessionMax } from '#main-agent/link/limits.ts';
import { OperationLog } from '#main-agent/link/operations.ts';
import { systemClock } from '#shared/clock.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { Lane } from '#shared/link/lane.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import {
  lanesPerLinkMax,
  requestsInFlightMax,
  requestsPerSessionMax,
  streamsPerLinkMax,
  streamsPerSessionMax,
  wireVersions,
} from '#shared/link/limits.ts';
import { buildMemoryBytes, buildMemoryMessages } from '#shared/link/memory-transport.ts';
import { RequestCounts } from '#shared/link/requests.ts';
import { ControlSession } from '#shared/link/session.ts';
import { buildLog } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import { randomId } from '#shared/random-id.ts';
import { buildFakeSessions } from '#test/harness/fake-sessions.ts';

let passedMs = 0;
/** The system's, and what a test lets pass. */
const clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + passedMs };
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Main's end of the links of one node, and a node that keeps none of the bounds itself. */
function buildMainEnd() {
  const sessions = buildFakeSessions();
  /** Each call of `fs.hash` that is at work, with what ends it. */
  const hashing: (() => void)[] = [];
  const streams: LaneStream[] = [];
  const atWork = new RequestCounts({ inAllMax: nodeRequestsMax, perSessionMax: nodeRequestsPerSessionMax });
  const operations = new OperationLog(clock);
  const laneDials = new Rate(laneDialRate, clock.monotonic());
  const hash = () =>
    new Promise((resolve) => {
      hashing.push(() => resolve({ hex: '' }));
    });
  /** Every other verb is not asked here. */
  const handlers = new Proxy(
    {},
    { get: (_target, verb) => (verb === 'fs.hash' ? hash : undefined) },
  ) as never;

  /** Until it is resolved no lane's dial ends. */
  let answered: Promise<void> | undefined;
  let dials = 0;

  async function join(lanes = 0) {
    const [nodeEnd, mainEnd] = buildMemoryMessages();
    const nodeLanes: Lane[] = [];
    const connection = new NodeConnection({
      node: 'dmz1',
      worker: 0,
      epoch: 1,
      exporter: randomId(),
      transport: mainEnd,
      mainName: 'main1',
      boot: randomId(),
      validatedLogins: true,
      handlers: {
        login: handlers,
        session: handlers,
        account: handlers,
        files: handlers,
        onStream: (_header, stream) => void streams.push(stream),
        sessions,
      },
      operations,
      atWork,
      laneDials,
      pool: new FramePool(),
      policy: () => ({
        validatedLogins: true,
        branding: { name: 'Test' },
        neverBan: [],
        bans: [],
      }),
      missedEndings: () => [],
      dialLane: async () => {
        dials += 1;
        await answered;
        const [nodeBytes, mainBytes] = buildMemoryBytes();
        const lane = new Lane({
          side: 'dmz',
          transport: nodeBytes,
          pool: new FramePool(),
          roundTrip: { now: () => 0, rttMs: () => undefined },
          onJoin: () => true,
          onClose: () => undefined,
          onFailure: () => undefined,
        });
        lane.start();
        nodeLanes.push(lane);
        return mainBytes;
      },
      onOpen: () => new AbortController().signal,
      onEdgeEvent: () => undefined,
      onClose: () => undefined,
      clock,
      log: buildLog('silent', {}),
    });
    const node = new ControlSession({
      side: 'dmz',
      transport: nodeEnd,
      clock,
      hello: {
        versions: [...wireVersions],
        name: 'dmz1',
        software: 'evil',
        boot: randomId(),
        worker: 0,
        workerPorts: [1],
        validatedLogins: true,
      },
      onOpen: () => undefined,
      onEvent: () => undefined,
      onClose: () => undefined,
      onFailure: () => undefined,
    });
    connection.start();
    node.start();
    closers.push(() => connection.close('over'));
    await settle();
    for (let lane = 0; lane < lanes; lane += 1) node.sendEvent('lane.grant', { token: randomId() });
    await settle();
    return { node, connection, lanes: nodeLanes };
  }
  return {
    sessions,
    hashing,
    streams,
    atWork,
    join,
    dials: () => dials,
    holdDials: (until: Promise<void>) => void (answered = until),
  };
}

/** Everything between the two ends moves in microtasks. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('lanes that a node grants', () => {
  /** Grants one after the other, each lane dropped as soon as it is there; resolves with how many main dialled. */
  async function grantAndDrop(node: ControlSession, lanes: Lane[], grants: number): Promise<number> {
    const before = lanes.length;
    for (let grant = 0; grant < grants; grant += 1) {
      node.sendEvent('lane.grant', { token: randomId() });
      await settle();
      for (const lane of lanes) lane.close('dropped');
      await settle();
    }
    return lanes.length - before;
  }

  it('S-09: are dialled as often as lanes break by themselves, and then only at a rate, over a new link too', async () => {
    const main = buildMainEnd();
    const { node, lanes, connection } = await main.join();
    expect(await grantAndDrop(node, lanes, laneDialRate.burst - 1)).toBe(laneDialRate.burst - 1);
    expect(await grantAndDrop(node, lanes, 1)).toBe(1);
    expect(await grantAndDrop(node, lanes, 1)).toBeLessThanOrEqual(1);
    expect(await grantAndDrop(node, lanes, 20)).toBeLessThan(5);
    expect(connection.isOpen).toBe(true);
    const next = await main.join();
    expect(await grantAndDrop(next.node, next.lanes, 10)).toBeLessThan(5);
    passedMs += 5_000;
    expect(await grantAndDrop(next.node, next.lanes, 10)).toBeGreaterThanOrEqual(10);
  });
});

describe('streams that a node opens without asking itself whether it may', () => {
  /** Opens them round the lanes; resolves with how many main refused. */
  async function openStreams(lanes: readonly Lane[], ids: readonly string[]): Promise<number> {
    let refused = 0;
    for (const [index, session] of ids.entries()) {
      const lane = lanes[index % lanes.length];
      const stream = lane?.open({ kind: 'read', session, handle: 1, offset: 0 });
      if (stream !== undefined) stream.onReset = () => void (refused += 1);
    }
    await settle();
    return refused;
  }

  it('S-09: of one session: as many as the bound over all lanes, and not one more', async () => {
    const main = buildMainEnd();
    const { lanes } = await main.join(2);
    expect(lanes).toHaveLength(2);
    const session = main.sessions.open({ username: 'alice' });
    expect(await openStreams(lanes, Array<string>(streamsPerSessionMax).fill(session))).toBe(0);
    expect(await openStreams(lanes, [session])).toBe(1);
    expect(main.streams).toHaveLength(streamsPerSessionMax);
    expect(await openStreams(lanes, [main.sessions.open({ username: 'bob' })])).toBe(0);
  });

  it('S-09: of one link: as many as the bound, whoever they are for', async () => {
    const main = buildMainEnd();
    const { lanes } = await main.join(2);
    const ids = Array.from({ length: streamsPerLinkMax / streamsPerSessionMax }, () =>
      main.sessions.open({ username: 'alice' }),
    );
    const all = ids.flatMap((id) => Array<string>(streamsPerSessionMax).fill(id));
    expect(await openStreams(lanes, all)).toBe(0);
    expect(await openStreams(lanes, [main.sessions.open({ username: 'alice' })])).toBe(1);
    main.streams[0]?.end();
    await settle();
    expect(await openStreams(lanes, [main.sessions.open({ username: 'alice' })])).toBe(0);
  });
});

describe('a node that grants lanes without end', () => {
  it('S-09: is dialled for as many as a link has, those that are being dialled counted', async () => {
    const main = buildMainEnd();
    const held = Promise.withResolvers<void>();
    main.holdDials(held.promise);
    const { node, lanes } = await main.join(lanesPerLinkMax + 3);
    expect(main.dials()).toBe(lanesPerLinkMax);
    held.resolve();
    await settle();
    node.sendEvent('lane.grant', { token: randomId() });
    await settle();
    expect([main.dials(), lanes.length]).toEqual([lanesPerLinkMax, lanesPerLinkMax]);
  });
});

describe('a node that hangs up and comes back while main works for it', () => {
  /** Asks for hashes until the link is full; resolves with the code of each refusal. */
  async function askMany(node: ControlSession, ids: readonly string[]): Promise<string[]> {
    const refusals: string[] = [];
    for (const session of ids)
      node
        .request('fs.hash', { session, path: ['big'], algorithm: 'sha256' }, { timeoutMs: 60_000 })
        .catch((error: unknown) => refusals.push((error as { code: string }).code));
    await settle();
    return refusals;
  }

  it('S-09: gets no more done at once than two links may have in flight, and again when it is done', async () => {
    const main = buildMainEnd();
    const ids = Array.from({ length: requestsInFlightMax / requestsPerSessionMax }, () =>
      main.sessions.open({ username: 'alice' }),
    );
    const full = ids.flatMap((id) => Array<string>(requestsPerSessionMax).fill(id));
    for (const round of [1, 2]) {
      const { node, connection } = await main.join();
      expect(await askMany(node, full)).toEqual([]);
      expect(main.hashing).toHaveLength(round * requestsInFlightMax);
      connection.close('the node hung up');
    }
    const { node } = await main.join();
    expect(await askMany(node, full)).toEqual(full.map(() => 'busy'));
    expect(main.hashing).toHaveLength(nodeRequestsMax);

    for (const finish of main.hashing.splice(0)) finish();
    await settle();
    expect(main.atWork.inAll).toBe(0);
    expect(await askMany(node, full)).toEqual([]);
  });

  it('S-09: the same for one session', async () => {
    const main = buildMainEnd();
    const session = main.sessions.open({ username: 'alice' });
    const full = Array<string>(requestsPerSessionMax).fill(session);
    for (let rounds = 0; rounds < 2; rounds += 1) {
      const { node, connection } = await main.join();
      expect(await askMany(node, full)).toEqual([]);
      connection.close('the node hung up');
    }
    const { node } = await main.join();
    expect(await askMany(node, [session])).toEqual(['busy']);
    expect(await askMany(node, [main.sessions.open({ username: 'bob' })])).toEqual([]);
  });
});
