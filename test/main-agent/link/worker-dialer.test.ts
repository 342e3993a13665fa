import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backoffMsMin, steadyAfterMs } from '#main-agent/link/limits.ts';
import type { NodeConnection } from '#main-agent/link/node-connection.ts';
import { WorkerDialer, type WorkerDialerOptions } from '#main-agent/link/worker-dialer.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLinkIdentity } from '#shared/link/link-tls.ts';
import type { Log } from '#shared/log.ts';
import { eventually } from '#test/harness/patience.ts';
import { buildPlayedNode, type PlayedNode } from '#test/harness/played-node.ts';
import { mainKey, nodeKey } from '#test/harness/tls-link.ts';

type Dialled = Parameters<WorkerDialerOptions['connect']>[0];

const main = buildLinkIdentity(mainKey.privateKeyPem, 'main1');
const startedAtMs = Date.now();

describe('a dialer', () => {
  let ms: number;
  let dials: number;
  let logged: string[];
  let dialled: Dialled[];
  /** Why each connection was closed by the dialer. */
  let closed: string[];
  let isOpen: boolean;
  let started: number;
  const closers: (() => void)[] = [];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    ms = 0;
    dials = 0;
    logged = [];
    dialled = [];
    closed = [];
    isOpen = true;
    started = 0;
  });
  afterEach(() => {
    for (const close of closers.splice(0).toReversed()) close();
    vi.useRealTimers();
  });

  async function buildNode(): Promise<PlayedNode> {
    const node = await buildPlayedNode();
    closers.push(() => node.close());
    return node;
  }

  /** A port where nobody listens. */
  async function findDeadPort(): Promise<number> {
    const node = await buildPlayedNode();
    node.close();
    return node.port;
  }

  function buildDialer(port: number, fingerprints = [nodeKey.fingerprint]): WorkerDialer {
    // A dial that is under way when its test ends tells nothing to the next.
    const lines = logged;
    const note = (level: string) => (_fields: unknown, message: string) =>
      void lines.push(`${level} ${message}`);
    const dialer = new WorkerDialer({
      node: 'dmz1',
      worker: 3,
      host: '127.0.0.1',
      port,
      identity: main,
      fingerprints: () => {
        dials += 1;
        return fingerprints;
      },
      connect: (one) => {
        dialled.push(one);
        return {
          get isOpen() {
            return isOpen;
          },
          start: () => void (started += 1),
          close: (reason: string) => void closed.push(reason),
        } as unknown as NodeConnection;
      },
      clock: { now: () => startedAtMs + ms, monotonic: () => ms },
      log: { warn: note('warn'), debug: note('debug') } as unknown as Log,
    });
    closers.push(() => {
      dialer.stop('over');
      for (const { transport } of dialled) transport.close('over');
    });
    return dialer;
  }

  /** As the connection tells it. */
  function lose(reason: string): void {
    isOpen = false;
    dialled.at(-1)?.onClose(reason);
    isOpen = true;
  }

  /** The next dial comes after at least `fromMs`, and at most `toMs`. */
  function expectWait(fromMs: number, toMs: number): void {
    const before = dials;
    vi.advanceTimersByTime(fromMs - 1);
    expect(dials).toBe(before);
    vi.advanceTimersByTime(toMs - fromMs + 1);
    expect(dials).toBe(before + 1);
  }

  it('tries a node that it can not reach for ever, after waits that double; only the first failure is news', async () => {
    const dialer = buildDialer(await findDeadPort());
    dialer.start();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await eventually(() => expect(logged.length).toBe(attempt + 1));
      expect(dialer.lastError).toMatch(/^The node can not be reached/u);
      // Down since the first failure, not since the latest.
      expect(dialer.sinceMs).toBe(startedAtMs);
      ms += 1000;
      const most = backoffMsMin * 2 ** attempt;
      expectWait(most / 2, most);
    }
    expect(logged.slice(0, 5)).toEqual([
      'warn link: dial failed',
      ...Array<string>(4).fill('debug link: dial failed'),
    ]);
  });

  it('says each time that the node has another key, and how to mend it', async () => {
    const dialer = buildDialer((await buildNode()).port, [generateIdentityKey().fingerprint]);
    dialer.start();
    await eventually(() => expect(logged.length).toBe(1));
    vi.advanceTimersByTime(backoffMsMin);
    await eventually(() => expect(logged.length).toBe(2));
    expect(logged).toEqual(Array<string>(2).fill('warn link: dial failed'));
    expect(dialer.lastError).toMatch(/^The peer is not who it should be .*: .*nodes enrol/u);
    expect(dialled).toEqual([]);
  });

  it('says since when its link is up or down, and why', async () => {
    const dialer = buildDialer((await buildNode()).port);
    dialer.start();
    expect([dialer.worker, dialer.connection, dialer.lastError]).toEqual([3, undefined, undefined]);
    await eventually(() => expect(dialled.length).toBe(1));
    isOpen = false;
    expect(dialer.connection).toBeUndefined();
    isOpen = true;
    ms = 10;
    dialer.markUp();
    expect(dialer.connection).toBeDefined();
    expect([dialer.sinceMs, dialer.lastError]).toEqual([startedAtMs + 10, undefined]);
    ms = 20;
    lose('it broke');
    expect(dialer.connection).toBeUndefined();
    expect([dialer.sinceMs, dialer.lastError]).toEqual([startedAtMs + 20, 'it broke']);
    vi.advanceTimersByTime(backoffMsMin);
    await eventually(() => expect(dialled.length).toBe(2));
    ms = 30;
    dialer.markUp();
    expect([dialer.sinceMs, dialer.lastError]).toEqual([startedAtMs + 30, undefined]);
    expect(started).toBe(2);
  });

  it('waits a short time after a link that lasted, and longer each time after one that did not', async () => {
    const dialer = buildDialer((await buildNode()).port);
    dialer.start();
    // A large time, as a machine has it that runs for long.
    ms = 1_000_000;
    for (const [upMs, most] of [
      [steadyAfterMs - 1, backoffMsMin],
      [steadyAfterMs - 1, 2 * backoffMsMin],
      [0, 4 * backoffMsMin],
      [steadyAfterMs, backoffMsMin],
      // Never up at all: no hello came.
      [undefined, 2 * backoffMsMin],
      [steadyAfterMs, backoffMsMin],
    ] as const) {
      await eventually(() => expect(dialled.length).toBe(dials));
      if (upMs !== undefined) dialer.markUp();
      ms += upMs ?? 10 * steadyAfterMs;
      lose('it broke');
      expectWait(most / 2, most);
    }
  });

  it('waits as long as it was told before the next dial, and before that one only', async () => {
    const dialer = buildDialer((await buildNode()).port);
    dialer.start();
    await eventually(() => expect(dialled.length).toBe(1));
    dialer.waitNext(5_000);
    lose('another main is about');
    expectWait(5_000, 5_000);
    await eventually(() => expect(dialled.length).toBe(2));
    lose('it broke');
    expectWait(backoffMsMin, 2 * backoffMsMin);
  });

  it('that is stopped closes its link, and dials no more', async () => {
    const dialer = buildDialer((await buildNode()).port);
    dialer.start();
    await eventually(() => expect(dialled.length).toBe(1));
    dialer.stop('revoked');
    expect(closed).toEqual(['revoked']);
    lose('revoked');
    vi.advanceTimersByTime(60_000);
    expect(dials).toBe(1);
  });

  it('that is stopped while it waits dials no more', async () => {
    const dialer = buildDialer(await findDeadPort());
    dialer.start();
    await eventually(() => expect(logged.length).toBe(1));
    dialer.stop('revoked');
    vi.advanceTimersByTime(60_000);
    expect(dials).toBe(1);
  });

  it('that is stopped while it dials hangs up on who answers', async () => {
    const node = await buildNode();
    const dialer = buildDialer(node.port);
    dialer.start();
    dialer.stop('revoked');
    await eventually(() => expect(node.links[0]?.isClosed).toBe(true));
    // Not by the heartbeat, which finds out in the end.
    expect(node.links[0]?.closeReason).not.toBe('nothing heard from the peer');
    expect(dialled).toEqual([]);
    vi.advanceTimersByTime(60_000);
    expect(dials).toBe(1);
  });

  it('dials lanes of the same worker, its key asked anew', async () => {
    const node = await buildNode();
    const dialer = buildDialer(node.port);
    dialer.start();
    await eventually(() => expect(dialled.length).toBe(1));
    const lane = await dialled[0]?.dialLane();
    await eventually(() => expect(node.lanes.length).toBe(1));
    expect(dials).toBe(2);
    lane?.close('over');
  });
});
