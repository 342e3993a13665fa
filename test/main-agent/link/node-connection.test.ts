import { afterEach, describe, expect, it } from 'vitest';
import { NodeConnection, type NodeConnectionOptions } from '#main-agent/link/node-connection.ts';
import {
  laneDialRate,
  nodeRequestsMax,
  nodeRequestsPerSessionMax,
  strayGraceMs,
  straysMax,
} from '#main-agent/link/limits.ts';
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
import { buildMemoryBytes, buildMemoryMessages } from '#test/harness/memory-transport.ts';
import type { Hello } from '#shared/link/messages.ts';
import { RequestCounts } from '#shared/link/requests.ts';
import { ControlSession } from '#shared/link/session.ts';
import { buildLog } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
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

  async function join(
    lanes = 0,
    changes: {
      readonly hello?: Partial<Hello>;
      readonly options?: Partial<NodeConnectionOptions>;
      /** Asks main's end before the node says its hello. */
      readonly beforeHello?: (connection: NodeConnection) => Promise<void>;
    } = {},
  ) {
    const [nodeEnd, mainEnd] = buildMemoryMessages();
    const nodeLanes: Lane[] = [];
    /** What the node was told, and why its lanes closed. */
    const told: string[] = [];
    const lanesClosed: string[] = [];
    /** Main's reason, and whether it was a breach. */
    const closed: [string, boolean][] = [];
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
        hostKeys: handlers,
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
          onClose: (reason) => void lanesClosed.push(reason),
          onFailure: () => undefined,
        });
        lane.start();
        nodeLanes.push(lane);
        return mainBytes;
      },
      onOpen: () => new AbortController().signal,
      onEdgeEvent: () => undefined,
      onClose: (reason, breach) => void closed.push([reason, breach]),
      clock,
      log: buildLog('silent', {}),
      ...changes.options,
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
        ...changes.hello,
      },
      onOpen: () => undefined,
      onEvent: ({ name }) => void told.push(name),
      onClose: () => undefined,
      onFailure: () => undefined,
    });
    connection.start();
    closers.push(() => connection.close('over'));
    await changes.beforeHello?.(connection);
    node.start();
    await settle();
    for (let lane = 0; lane < lanes; lane += 1) node.sendEvent('lane.grant', { token: randomId() });
    await settle();
    return { node, connection, lanes: nodeLanes, told, lanesClosed, closed };
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

/** Asks about the doors, and does not wait for an answer. */
async function askAtOnce(connection: NodeConnection): Promise<string> {
  let answer = 'still asking';
  void connection.askDoors({ ip: '192.0.2.1' }).then((findings) => {
    answer = findings === undefined ? 'no answer' : 'an answer';
  });
  await settle();
  return answer;
}

const otherMain = { from: '10.0.0.9:4711', sinceMs: 1 };
const auditHead = {
  start: 1,
  boot: randomId(),
  sequence: 1,
  hash: 'a'.repeat(64),
  signature: 'a'.repeat(86),
};

describe('a hello', () => {
  it('opens the link: what the node missed is told before the policy, and the rest of main hears of it last', async () => {
    const order: string[] = [];
    const { told, connection } = await buildMainEnd().join(0, {
      hello: { software: 'sallyport 9', validatedLogins: false, configHash: 'abc' },
      options: {
        onOpen: () => {
          order.push('open');
          return new AbortController().signal;
        },
        missedEndings: () => {
          order.push('missed');
          return [{ sessionKey: randomId(), reason: 'ended' }];
        },
        onJoined: () => void order.push('joined'),
      },
    });
    expect(order).toEqual(['open', 'missed', 'joined']);
    expect(told).toEqual(['session.ended', 'policy']);
    const { isOpen, software, validatedLogins, configHash } = connection;
    expect({ isOpen, software, validatedLogins, configHash }).toEqual({
      isOpen: true,
      software: 'sallyport 9',
      validatedLogins: false,
      configHash: 'abc',
    });
  });

  it('says whether the node wants a certificate; else it is not sent that, nor the key of it', async () => {
    const certificate = { certificatePem: 'chain', keyPem: 'key' };
    for (const [hello, sent] of [
      [{ wantsCertificate: true }, ['https.certificate']],
      [{ wantsCertificate: false }, []],
      [{}, []],
    ] as const) {
      const { told, connection } = await buildMainEnd().join(0, { hello });
      connection.send('https.certificate', certificate);
      await settle();
      expect(told).toEqual(['policy', ...sent]);
    }
  });

  it('is waited for: until then nothing is told or asked, and second factors are demanded', async () => {
    const { told, connection } = await buildMainEnd().join(0, {
      beforeHello: async (early) => {
        expect([early.isOpen, early.validatedLogins, early.processGone.aborted]).toEqual([
          false,
          true,
          false,
        ]);
        early.send('edge.taken', { boot: randomId(), sequence: 1 });
        early.sendPolicy();
        expect(await askAtOnce(early)).toBe('no answer');
      },
    });
    expect(told).toEqual(['policy']);
    connection.send('edge.taken', { boot: randomId(), sequence: 1 });
    await settle();
    expect(told).toEqual(['policy', 'edge.taken']);
  });

  it('gives the process that said it; a link that closes before it leaves none', async () => {
    const process = new AbortController();
    const { connection } = await buildMainEnd().join(0, { options: { onOpen: () => process.signal } });
    expect(connection.processGone).toBe(process.signal);
    connection.close('over');
    expect(connection.processGone.aborted).toBe(false);
    await buildMainEnd().join(0, {
      beforeHello: async (early) => {
        early.close('over');
        expect(early.processGone.aborted).toBe(true);
      },
    });
  });

  it('of another worker than the one that was dialled is a breach', async () => {
    const { told, closed } = await buildMainEnd().join(0, { hello: { worker: 1 } });
    expect(closed).toEqual([['worker 1 answered on the port of worker 0', true]]);
    expect(told).toEqual([]);
  });

  it('that names another main as the holder ends the link without a breach and without a word of ours', async () => {
    const others: unknown[] = [];
    const opened: string[] = [];
    const { told, closed } = await buildMainEnd().join(0, {
      hello: { otherMain },
      options: {
        onOtherMain: (...other) => void others.push(other),
        onJoined: () => void opened.push('joined'),
      },
    });
    expect(others).toEqual([[otherMain, true]]);
    expect(closed).toEqual([[expect.stringContaining('from 10.0.0.9:4711'), false]]);
    expect([...told, ...opened]).toEqual([]);
  });

  it.each([
    ['forged', true],
    ['contradicts', false],
  ] as const)(
    'with a head of the audit that is judged %s opens nothing (breach: %s)',
    async (kind, breach) => {
      const opened: string[] = [];
      const { told, closed } = await buildMainEnd().join(0, {
        hello: { auditHead },
        options: { judgeHead: () => kind, onJoined: () => void opened.push('joined') },
      });
      expect(closed).toEqual([[expect.any(String), breach]]);
      expect([...told, ...opened]).toEqual([]);
    },
  );

  it('with a head of the audit that fits opens the link', async () => {
    const { closed, told } = await buildMainEnd().join(0, {
      hello: { auditHead },
      options: { judgeHead: () => 'fits' },
    });
    expect([closed, told]).toEqual([[], ['policy']]);
  });
});

describe('what a node tells', () => {
  const edgeEvent = {
    boot: randomId(),
    sequence: 1,
    kind: 'refused' as const,
    atMs: 1,
    detail: 'a port scan',
    signature: 'a'.repeat(86),
  };

  it('goes where it belongs, and only a grant has main dial a lane', async () => {
    const main = buildMainEnd();
    const heard: unknown[] = [];
    const { node, connection, closed } = await main.join(0, {
      options: {
        onEdgeEvent: ({ detail }) => void heard.push(detail),
        onAuditKnown: ({ sequence }) => void heard.push(sequence),
        onOtherMain: (...other) => void heard.push(other),
      },
    });
    node.sendEvent('edge.event', edgeEvent);
    node.sendEvent('audit.known', auditHead);
    node.sendEvent('main.turned-away', otherMain);
    node.sendEvent('door.standing', { id: randomId(), findings: [] });
    await settle();
    expect(heard).toEqual(['a port scan', 1, [otherMain, false]]);
    expect([main.dials(), connection.isOpen, closed]).toEqual([0, true, []]);
    node.sendEvent('lane.grant', { token: randomId() });
    await settle();
    expect([main.dials(), connection.laneCount]).toEqual([1, 1]);
  });

  it.each([
    ['forged', true],
    ['contradicts', false],
  ] as const)(
    'a head of the audit that is judged %s ends the link unheard (breach: %s)',
    async (kind, breach) => {
      const heard: unknown[] = [];
      const { node, closed } = await buildMainEnd().join(0, {
        options: { judgeHead: () => kind, onAuditKnown: (head) => void heard.push(head) },
      });
      node.sendEvent('audit.known', auditHead);
      await settle();
      expect(closed).toEqual([[expect.any(String), breach]]);
      expect(heard).toEqual([]);
    },
  );
});

describe('what ends with what', () => {
  it("the streams of a session with it, however many it has, and nobody else's", async () => {
    const main = buildMainEnd();
    const { lanes } = await main.join(2);
    const [alice, bob] = [main.sessions.open({ username: 'alice' }), main.sessions.open({ username: 'bob' })];
    const reset: string[] = [];
    for (const [index, session] of [alice, alice, bob].entries()) {
      const stream = lanes[index % 2]?.open({ kind: 'read', session, handle: 1, offset: 0 });
      if (stream !== undefined) stream.onReset = ({ code }) => void reset.push(`${index} ${code}`);
    }
    await settle();
    expect([main.streams.length, reset]).toEqual([3, []]);
    await main.sessions.end(sessionKey(alice), 'over');
    await settle();
    expect(reset.toSorted()).toEqual(['0 no-session', '1 no-session']);
  });

  it('the lanes with the link, and one whose dial was under way as soon as it is there', async () => {
    const main = buildMainEnd();
    const { node, connection, lanesClosed, lanes } = await main.join(1);
    const held = Promise.withResolvers<void>();
    main.holdDials(held.promise);
    node.sendEvent('lane.grant', { token: randomId() });
    await settle();
    connection.close('the link is over');
    await settle();
    expect(lanesClosed).toEqual(['the link is over']);
    held.resolve();
    await settle();
    expect([lanes.length, lanesClosed]).toEqual([2, ['the link is over', 'the control link is gone']]);
    expect(connection.laneCount).toBe(0);
  });

  it('a question about the doors with the link', async () => {
    const { connection } = await buildMainEnd().join();
    const answer = askAtOnce(connection);
    connection.close('over');
    expect(await answer).toBe('no answer');
  });

  it('a request with its answer, good or bad: the node may ask anew', async () => {
    const main = buildMainEnd();
    const { node } = await main.join();
    const session = main.sessions.open({ username: 'alice' });
    const ask = (id: string) =>
      node.request('fs.hash', { session: id, path: ['a'], algorithm: 'sha256' }, { timeoutMs: 60_000 });
    const asked = ask(session);
    await settle();
    expect(main.atWork.inAll).toBe(1);
    for (const finish of main.hashing.splice(0)) finish();
    await asked;
    await expect(ask(randomId())).rejects.toMatchObject({ code: 'no-session' });
    expect(main.atWork.inAll).toBe(0);
  });
});

describe('S-05: requests for sessions that are not', () => {
  it('are no breach right after the link joined, or main ended a session; else they are', async () => {
    let ms = 0;
    const { node, connection, closed } = await buildMainEnd().join(0, {
      options: { clock: { now: () => ms, monotonic: () => ms } },
    });
    const sendStrays = async (): Promise<void> => {
      for (let stray = 0; stray <= straysMax; stray += 1)
        await node
          .request('fs.stat', { session: randomId(), path: [], followLinks: true }, { timeoutMs: 60_000 })
          .catch(() => undefined);
    };
    await sendStrays();
    ms += strayGraceMs;
    connection.send('edge.taken', { boot: randomId(), sequence: 1 });
    connection.send('session.ended', { sessionKey: randomId(), reason: 'ended' });
    await sendStrays();
    expect(closed).toEqual([]);
    ms += strayGraceMs;
    // Only the end of a session is an excuse.
    connection.send('edge.taken', { boot: randomId(), sequence: 2 });
    await sendStrays();
    expect(closed).toEqual([['too many requests without a session', true]]);
  });
});

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
