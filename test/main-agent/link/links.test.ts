import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import {
  backoffMsMax,
  missedEndingsMax,
  otherMainRetryMs,
  processAwayMaxMs,
} from '#main-agent/link/limits.ts';
import { buildMainLinks, type MainLinks, type MainLinksOptions } from '#main-agent/link/links.ts';
import { systemClock } from '#shared/clock.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { randomId } from '#shared/random-id.ts';
import { buildFakeSessions } from '#test/harness/fake-sessions.ts';
import { eventually } from '#test/harness/patience.ts';
import { buildPlayedNode, type PlayedNode } from '#test/harness/played-node.ts';
import { mainKey, nodeKey } from '#test/harness/tls-link.ts';

const policy = { validatedLogins: true, branding: { name: 'Test' }, neverBan: [], bans: [] };
const edgeEvent = {
  boot: randomId(),
  sequence: 1,
  kind: 'refused' as const,
  atMs: 1,
  detail: 'a port scan',
  signature: 'a'.repeat(86),
};
const auditHead = {
  start: 1,
  boot: randomId(),
  sequence: 1,
  hash: 'a'.repeat(64),
  signature: 'a'.repeat(86),
};
const otherMain = { from: '10.0.0.9:4711', sinceMs: 1 };

const closers: (() => void)[] = [];
// A lost link is dialled again when the test lets the time pass.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close();
  vi.useRealTimers();
});

async function playNode(...options: Parameters<typeof buildPlayedNode>): Promise<PlayedNode> {
  const node = await buildPlayedNode(...options);
  closers.push(() => node.close());
  return node;
}

/** Main's links to those nodes, and what the rest of main heard. */
function buildLinks(
  nodes: Readonly<Record<string, PlayedNode>>,
  changes: Partial<MainLinksOptions> = {},
): { readonly links: MainLinks; readonly heard: unknown[] } {
  const heard: unknown[] = [];
  const none = {} as never;
  const links = buildMainLinks({
    nodes: Object.entries(nodes).map(([name, { port }]) => describeNode(name, port)),
    identityKeyPem: mainKey.privateKeyPem,
    mainName: 'main1',
    validatedLogins: true,
    policy: () => policy,
    onEdgeEvent: (node, worker, { detail }) => void heard.push(['edge', node, worker, detail]),
    onJoined: (node, worker) => void heard.push(['joined', node, worker]),
    onAuditKnown: (node, worker, { sequence }) => void heard.push(['known', node, worker, sequence]),
    onOtherMain: (...other) => void heard.push(['other', ...other]),
    onAlarm: (...alarm) => void heard.push(['alarm', ...alarm]),
    onWorkerRestart: (node, worker) => void heard.push(['restart', node, worker]),
    hostKeys: none,
    login: none,
    session: none,
    account: none,
    files: none,
    onStream: () => undefined,
    sessions: buildFakeSessions(),
    clock: systemClock,
    log: buildLog('silent', {}),
    ...changes,
  });
  closers.push(() => void links.close());
  return { links, heard };
}

function describeNode(name: string, port: number) {
  return { name, address: { host: '127.0.0.1', port }, identity: nodeKey.fingerprint };
}

const isUp = (links: MainLinks) => links.states().map(({ worker, up }) => [worker, up]);
const toldBy = (node: PlayedNode, link = 0) => node.links[link]?.told.map(({ name }) => name) ?? [];

/** The node lets its link go; main has noticed. */
async function loseLink(node: PlayedNode, links: MainLinks): Promise<void> {
  node.links.at(-1)?.session.close('the node hung up');
  await eventually(() => expect(links.states().some(({ up }) => !up)).toBe(true));
}

/** The wait before the next dial is over; the new link is there. */
async function comeBack(node: PlayedNode): Promise<void> {
  const before = node.links.length;
  vi.advanceTimersByTime(backoffMsMax);
  await eventually(() => expect(toldBy(node, before)).toContain('policy'));
}

describe("main's links", () => {
  it('are dialled from the start on, not before, and also to a node that came later', async () => {
    const [first, second] = [await playNode(), await playNode()];
    const { links, heard } = buildLinks({});
    links.addNode(describeNode('dmz1', first.port));
    expect(links.states()).toEqual([]);
    links.start();
    links.addNode(describeNode('dmz2', second.port));
    await eventually(() =>
      expect(new Set(heard)).toEqual(
        new Set([
          ['joined', 'dmz1', 0],
          ['joined', 'dmz2', 0],
        ]),
      ),
    );
    expect(isUp(links)).toEqual([
      [0, true],
      [0, true],
    ]);
  });

  it('are dialled anew when their node is replaced, and no more once main has closed', async () => {
    const [first, second] = [await playNode(), await playNode()];
    const { links } = buildLinks({ dmz1: first });
    links.start();
    await eventually(() => expect(isUp(links)).toEqual([[0, true]]));
    links.addNode(describeNode('dmz1', second.port));
    await eventually(() => expect(first.links[0]?.isClosed).toBe(true));
    await eventually(() => expect(second.links.length).toBe(1));
    await links.close();
    expect(links.states()).toEqual([]);
    links.addNode(describeNode('dmz1', first.port));
    expect(links.states()).toEqual([]);
    vi.advanceTimersByTime(backoffMsMax);
    expect(first.links).toHaveLength(1);
  });

  it('are of nodes whose key is named in full', () => {
    const { links } = buildLinks({});
    expect(() => links.addNode({ ...describeNode('dmz1', 1), identity: 'SHA256:short' })).toThrow(
      expect.objectContaining({ code: expect.any(String) }),
    );
  });

  it('stand on the keys that are good now, or on the one that the node is configured with', async () => {
    const rotated = generateIdentityKey();
    const node = await playNode({}, rotated.privateKeyPem);
    const { links } = buildLinks({ dmz1: node }, { identitiesOf: () => [rotated.fingerprint] });
    links.start();
    await eventually(() => expect(isUp(links)).toEqual([[0, true]]));
    const strict = buildLinks({ dmz1: node }).links;
    strict.start();
    await eventually(() => expect(strict.states()[0]?.lastError).toMatch(/not who it should be/u));
  });

  it('name the process of main, the same to all; each process has its own name', async () => {
    const [first, second] = [await playNode(), await playNode()];
    const boot = randomId();
    buildLinks({ dmz1: first }, { boot }).links.start();
    buildLinks({ dmz1: first, dmz2: second }).links.start();
    await eventually(() => expect([first.links.length, second.links.length]).toEqual([2, 1]));
    const bootOf = (node: PlayedNode, link: number) => node.links[link]?.session.peer?.boot;
    await eventually(() => expect(bootOf(second, 0)).toBeDefined());
    await eventually(() => expect(bootOf(first, 1)).toBeDefined());
    const boots = [bootOf(first, 0), bootOf(first, 1)];
    expect(boots).toContain(boot);
    expect(boots).toContain(bootOf(second, 0));
    expect(bootOf(second, 0)).not.toBe(boot);
  });

  it('are shown with what the node said while they are up, and with the reason while they are not', async () => {
    const node = await playNode({ software: 'sallyport 9', configHash: 'abc', validatedLogins: false });
    const { links } = buildLinks({ dmz1: node });
    expect(links.states()).toEqual([]);
    links.start();
    expect(links.states()).toMatchObject([{ node: 'dmz1', worker: 0, up: false, epoch: 0, lanes: 0 }]);
    await eventually(() => expect(links.states()[0]?.rttMs).toBeDefined());
    node.links[0]?.session.sendEvent('lane.grant', { token: randomId() });
    await eventually(() => expect(links.states()[0]?.lanes).toBe(1));
    const up = { epoch: 1, software: 'sallyport 9', configHash: 'abc', validatedLogins: false };
    expect(links.states()).toMatchObject([
      { up: true, ...up, skewMs: expect.any(Number), lastError: undefined },
    ]);
    await loseLink(node, links);
    expect(links.states()).toMatchObject([
      { up: false, epoch: 1, lanes: 0, software: undefined, lastError: expect.any(String) },
    ]);
    await comeBack(node);
    expect(links.states()).toMatchObject([{ up: true, epoch: 2, lastError: undefined }]);
  });
});

describe('the workers of a node', () => {
  it('are dialled at the ports that the first names, and let go of when it names another or none', async () => {
    const [second, third] = [await playNode({ worker: 1 }), await playNode({ worker: 1 })];
    const first = await playNode({ workerPorts: [1, second.port] });
    const { links } = buildLinks({ dmz1: first });
    links.start();
    const both = [
      [0, true],
      [1, true],
    ];
    await eventually(() => expect(isUp(links)).toEqual(both));

    // As they were: the second keeps its link.
    await loseLink(first, links);
    await comeBack(first);
    expect([first.links.length, second.links.length, second.links[0]?.isClosed]).toEqual([2, 1, false]);
    expect(isUp(links)).toEqual(both);

    first.hello = { workerPorts: [1, third.port] };
    await loseLink(first, links);
    await comeBack(first);
    await eventually(() => expect(third.links.length).toBe(1));
    await eventually(() => expect(second.links[0]?.isClosed).toBe(true));
    await eventually(() => expect(isUp(links)).toEqual(both));

    first.hello = {};
    await loseLink(first, links);
    await comeBack(first);
    await eventually(() => expect(third.links[0]?.isClosed).toBe(true));
    expect(isUp(links)).toEqual([[0, true]]);
    vi.advanceTimersByTime(backoffMsMax);
    expect([second.links.length, third.links.length]).toEqual([1, 1]);
  });

  it('are named by the first alone', async () => {
    const second = await playNode({ worker: 1, workerPorts: [1, 1, 1] });
    const first = await playNode({ workerPorts: [1, second.port] });
    const { links } = buildLinks({ dmz1: first });
    links.start();
    await eventually(() =>
      expect(isUp(links)).toEqual([
        [0, true],
        [1, true],
      ]),
    );
  });
});

describe('what a worker has open', () => {
  /** Links whose handlers are given the life of the worker's process, and what each worker was given. */
  function buildWatched(node: PlayedNode) {
    const lives: AbortSignal[] = [];
    const login = {
      'login.cancel': async (_params: unknown, link: NodeLink) => {
        lives.push(link.processGone);
        return {};
      },
    } as never;
    const { links } = buildLinks({ dmz1: node }, { login });
    links.start();
    /** What a request of that worker may have open ends with this. */
    const lifeOf = async (worker: PlayedNode): Promise<AbortSignal> => {
      await eventually(() => expect(worker.links.at(-1)?.session.isOpen).toBe(true));
      const session = worker.links.at(-1)?.session;
      await session?.request('login.cancel', { challenge: randomId() }, { timeoutMs: 60_000 });
      const life = lives.at(-1);
      if (life === undefined) throw new Error('the request did not come');
      return life;
    };
    return { links, lifeOf };
  }

  it('ends when the node names it no more, and nothing of the others with it', async () => {
    const second = await playNode({ worker: 1 });
    const first = await playNode({ workerPorts: [1, second.port] });
    const { links, lifeOf } = buildWatched(first);
    const lives = [await lifeOf(first), await lifeOf(second)];
    first.hello = {};
    await loseLink(first, links);
    await comeBack(first);
    expect(lives.map(({ aborted }) => aborted)).toEqual([false, true]);
  });

  it('ends when its link stays down too long, and not when main lets go of the node', async () => {
    const node = await playNode();
    const { links, lifeOf } = buildWatched(node);
    const life = await lifeOf(node);
    await loseLink(node, links);
    vi.advanceTimersByTime(processAwayMaxMs - 1);
    expect(life.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(life.aborted).toBe(true);

    const kept = await playNode();
    const other = buildWatched(kept);
    const keptLife = await other.lifeOf(kept);
    other.links.closeNode('dmz1', 'main is shutting down');
    vi.advanceTimersByTime(processAwayMaxMs);
    expect(keptLife.aborted).toBe(false);
  });
});

describe('what a node is told', () => {
  it('comes to its links that are up; the end of a session waits for those that are down, once', async () => {
    const node = await playNode();
    const { links } = buildLinks({ dmz1: node });
    links.start();
    await eventually(() => expect(toldBy(node)).toEqual(['policy']));
    links.pushPolicy();
    links.sendToNode('dmz1', 'edge.taken', { boot: randomId(), sequence: 1 });
    links.sendToNode('dmz9', 'edge.taken', { boot: randomId(), sequence: 1 });
    await eventually(() => expect(toldBy(node)).toEqual(['policy', 'policy', 'edge.taken']));
    await loseLink(node, links);
    links.pushPolicy();
    links.sendToNode('dmz1', 'edge.taken', { boot: randomId(), sequence: 2 });
    links.sendToNode('dmz1', 'session.ended', { sessionKey: randomId(), reason: 'first' });
    links.sendToNode('dmz1', 'session.ended', { sessionKey: randomId(), reason: 'second' });
    await comeBack(node);
    expect(node.links[1]?.told).toMatchObject([
      { name: 'session.ended', body: { reason: 'first' } },
      { name: 'session.ended', body: { reason: 'second' } },
      { name: 'policy' },
    ]);
    await loseLink(node, links);
    await comeBack(node);
    expect(toldBy(node, 2)).toEqual(['policy']);
  });

  it('S-09: is no more than the latest endings, however long it was away', async () => {
    const node = await playNode();
    const { links } = buildLinks({ dmz1: node });
    links.start();
    await eventually(() => expect(toldBy(node)).toEqual(['policy']));
    await loseLink(node, links);
    for (let ending = 0; ending <= missedEndingsMax; ending += 1)
      links.sendToNode('dmz1', 'session.ended', { sessionKey: randomId(), reason: `ending ${ending}` });
    await comeBack(node);
    const told = node.links[1]?.told ?? [];
    expect(told).toHaveLength(missedEndingsMax + 1);
    expect(told[0]).toMatchObject({ body: { reason: 'ending 1' } });
  });

  it('is asked of its own doors, or of all; a worker that is away does not say', async () => {
    const [first, second] = [await playNode(), await playNode()];
    const { links } = buildLinks({ dmz1: first, dmz2: second });
    links.start();
    await eventually(() =>
      expect(isUp(links)).toEqual([
        [0, true],
        [0, true],
      ]),
    );
    await loseLink(second, links);
    const asked = links.askDoors({ ip: '192.0.2.1' });
    await eventually(() => expect(toldBy(first)).toEqual(['policy', 'door.asked']));
    const question = first.links[0]?.told[1];
    if (question?.name === 'door.asked')
      first.links[0]?.session.sendEvent('door.standing', { id: question.body.id, findings: [] });
    expect(await asked).toEqual([
      { node: 'dmz1', worker: 0, findings: [] },
      { node: 'dmz2', worker: 0, findings: undefined },
    ]);
    expect(await links.askDoors({ ip: '192.0.2.1' }, 'dmz2')).toEqual([
      { node: 'dmz2', worker: 0, findings: undefined },
    ]);
  });
});

describe('what the rest of main hears of a node', () => {
  it('names the node and the worker that said it', async () => {
    const second = await playNode({ worker: 1 });
    const { links, heard } = buildLinks({ dmz1: await playNode({ workerPorts: [1, second.port] }) });
    links.start();
    await eventually(() => expect(heard.length).toBe(2));
    heard.length = 0;
    const node = second.links[0]?.session;
    node?.sendEvent('edge.event', edgeEvent);
    node?.sendEvent('audit.known', auditHead);
    node?.sendEvent('main.turned-away', otherMain);
    await eventually(() =>
      expect(heard).toEqual([
        ['edge', 'dmz1', 1, 'a port scan'],
        ['known', 'dmz1', 1, 1],
        ['other', 'dmz1', otherMain, false],
      ]),
    );
  });

  it('is a restart when a worker comes back as another process, and none when only its link broke', async () => {
    const node = await playNode();
    const { links, heard } = buildLinks({ dmz1: node });
    links.start();
    await eventually(() => expect(toldBy(node)).toEqual(['policy']));
    await loseLink(node, links);
    await comeBack(node);
    node.hello = { boot: randomId() };
    await loseLink(node, links);
    await comeBack(node);
    const joined = ['joined', 'dmz1', 0];
    expect(heard).toEqual([joined, joined, ['restart', 'dmz1', 0], joined]);
  });

  it('is an alarm when it breaks the protocol, and none when it hangs up', async () => {
    const node = await playNode();
    const { links, heard } = buildLinks({ dmz1: node });
    links.start();
    await eventually(() => expect(toldBy(node)).toEqual(['policy']));
    await loseLink(node, links);
    await comeBack(node);
    heard.length = 0;
    node.links[1]?.transport.send('no message at all');
    await eventually(() => expect(heard).toEqual([['alarm', 'dmz1', 0, expect.any(String)]]));
  });

  it('is what its head of the audit is judged to be', async () => {
    const judged: unknown[] = [];
    const node = await playNode({ auditHead });
    const { links, heard } = buildLinks(
      { dmz1: node },
      {
        judgeHead: (name, head) => {
          judged.push([name, head]);
          return 'forged';
        },
      },
    );
    links.start();
    await eventually(() =>
      expect(heard).toEqual([['alarm', 'dmz1', 0, expect.stringContaining('did not sign')]]),
    );
    expect(judged).toEqual([['dmz1', auditHead]]);
  });

  it('is that another main holds its link: asked again after a fixed wait, and as ever when we hold it', async () => {
    const node = await playNode({ otherMain });
    // Asked for the keys at each dial.
    let dials = 0;
    const identitiesOf = () => {
      dials += 1;
      return [nodeKey.fingerprint];
    };
    const { links, heard } = buildLinks({ dmz1: node }, { identitiesOf });
    links.start();
    await eventually(() => expect(heard).toEqual([['other', 'dmz1', otherMain, true]]));
    expect(links.states()[0]?.lastError).toContain('from 10.0.0.9:4711');
    node.hello = {};
    vi.advanceTimersByTime(otherMainRetryMs - 1);
    expect(dials).toBe(1);
    vi.advanceTimersByTime(1);
    await eventually(() => expect(toldBy(node, 1)).toEqual(['policy']));
    node.links[1]?.session.sendEvent('main.turned-away', otherMain);
    await eventually(() => expect(heard.at(-1)).toEqual(['other', 'dmz1', otherMain, false]));
    await loseLink(node, links);
    vi.advanceTimersByTime(otherMainRetryMs - 1);
    await eventually(() => expect(toldBy(node, 2)).toEqual(['policy']));
  });
});
