import { describe, expect, it } from 'vitest';
import { ConnectionCounts } from '#dmz/guard/connection-counts.ts';
import type { Newcomer } from '#dmz/guard/guard.ts';
import { defaultGuardLimits, type GuardLimits } from '#dmz/guard/limits.ts';

const ip = '192.0.2.7';

function build(limits: Partial<GuardLimits> = {}) {
  const dropped: string[] = [];
  const told: string[] = [];
  const counts = new ConnectionCounts({ ...defaultGuardLimits, ...limits }, (from, _protocol, stage) =>
    told.push(`${from} ${stage}`),
  );
  const connect = (change: Partial<Newcomer> = {}) => {
    const from = change.ip ?? ip;
    return counts.admit({
      ip: from,
      protocol: 'sftp',
      isExempt: false,
      isKnown: false,
      onDropped: () => dropped.push(from),
      ...change,
    });
  };
  const admit = (change: Partial<Newcomer> = {}) => {
    const outcome = connect(change);
    if (!outcome.admitted) throw new Error(outcome.reason);
    return outcome;
  };
  const open = (from = ip, protocol: 'https' | 'sftp' = 'sftp') =>
    counts.standing({ ip: from, protocol })[0]?.count;
  return { counts, connect, admit, open, dropped, told };
}

const room = (connections: number): Partial<GuardLimits> => ({
  connectionsMax: { https: connections, sftp: connections },
});
const shares = (each: number): Partial<GuardLimits> => {
  const stage = { silent: each, hello: each, secured: each, code: each };
  return { stageMax: { https: stage, sftp: stage } };
};

describe('where a source stands', () => {
  it('is told for itself and the networks around it, each with its own limit', () => {
    const { counts, admit } = build();
    admit();
    admit({ ip: '192.0.2.8' });
    const connections = (from: string, protocol: 'https' | 'sftp') =>
      counts
        .standing({ ip: from, protocol })
        .filter(({ what }) => what === 'connections')
        .map(({ of, count, max }) => [of, count, max]);
    expect(connections(ip, 'sftp')).toEqual([
      ['192.0.2.7', 1, 64],
      ['192.0.2.0/24', 2, 256],
    ]);
    expect(connections('2001:db8::1', 'https').map(([, , max]) => max)).toEqual([256, 512, 1024]);
  });

  it('is zero again when its connections are gone, however often one is given back', () => {
    const { admit, open } = build();
    const [one, two] = [admit(), admit()];
    for (let time = 0; time < 3; time += 1) one.release();
    expect(open()).toBe(1);
    two.release();
    expect(open()).toBe(0);
  });
});

describe('a connection that is over', () => {
  it('goes no further: it awaits no code, is not signed in and takes nobody’s share', () => {
    const { admit, dropped } = build({ ...shares(1), awaitingCodePerSourceMax: 1 });
    const gone = admit();
    gone.release();
    expect(gone.awaitCode('alice')).toBe(false);
    gone.authenticated();
    gone.reached('secured');
    admit().reached('secured');
    expect(dropped).toEqual([]);
    expect(admit().awaitCode('alice')).toBe(true);
  });
});

describe('a wait for a code', () => {
  it('that is begun anew is one wait, and one that ends in a session or a hang-up is none', () => {
    const { admit } = build({ awaitingCodePerSourceMax: 1, awaitingCodePerUserMax: 1 });
    const one = admit();
    expect([one.awaitCode('alice'), one.awaitCode('alice'), one.awaitCode('bob')]).toEqual([
      true,
      true,
      true,
    ]);
    const two = admit();
    expect(two.awaitCode('alice')).toBe(false);
    one.authenticated();
    one.authenticated();
    expect(two.awaitCode('alice')).toBe(true);
    one.release();
    const three = admit();
    expect(three.awaitCode('alice')).toBe(false);
    two.release();
    expect(three.awaitCode('alice')).toBe(true);
  });

  it('that is refused once more has given up the place it had', () => {
    const { admit } = build({ awaitingCodePerSourceMax: 8, awaitingCodePerUserMax: 1 });
    const [one, two, three] = [admit(), admit(), admit()];
    one.awaitCode('alice');
    two.awaitCode('bob');
    expect(one.awaitCode('bob')).toBe(false);
    expect(three.awaitCode('alice')).toBe(true);
    one.release();
    expect(admit().awaitCode('alice')).toBe(false);
  });

  it('is given back once, however it ends and whatever is said of it afterwards', () => {
    const ends: readonly (readonly ('release' | 'authenticated')[])[] = [
      ['release', 'release'],
      ['release', 'authenticated'],
      ['authenticated', 'release'],
    ];
    for (const end of ends) {
      const { admit } = build({ awaitingCodePerSourceMax: 2 });
      const [one, two, three, four] = [admit(), admit(), admit(), admit()];
      one.awaitCode('alice');
      two.awaitCode('bob');
      for (const said of end) one[said]();
      expect([end, three.awaitCode('carol'), four.awaitCode('dora')]).toEqual([end, true, false]);
    }
  });

  it('of a source that is never limited is granted, however many there are', () => {
    const { admit } = build({ awaitingCodePerSourceMax: 1 });
    for (let count = 0; count < 3; count += 1)
      expect(admit({ isExempt: true }).awaitCode('alice')).toBe(true);
  });

  it('has a share of its own: it pushes out who waits, not who types a password', () => {
    const { admit, told } = build(shares(1));
    const waiting = admit();
    waiting.awaitCode('alice');
    const typing = admit({ ip: '198.51.100.1' });
    typing.reached('secured');
    const next = admit({ ip: '203.0.113.1' });
    next.reached('hello');
    next.awaitCode('bob');
    expect(told).toEqual([`${ip} code`]);
  });
});

describe('stages', () => {
  it('are gone through once and in order: nobody goes back to a share that was left', () => {
    const { admit, told } = build(shares(1));
    const one = admit();
    one.reached('secured');
    for (const stage of ['secured', 'hello'] as const) one.reached(stage);
    admit({ ip: '198.51.100.1' }).reached('hello');
    expect(told).toEqual([]);
    admit({ ip: '203.0.113.1' }).reached('secured');
    expect(told).toEqual([`${ip} secured`]);
  });

  it('end with a session, which no share bounds', () => {
    const { admit, dropped } = build(shares(1));
    for (let count = 0; count < 5; count += 1) admit().authenticated();
    expect(dropped).toEqual([]);
  });
});

describe('a door that is full', () => {
  const stranger = { ip: '198.51.100.1' };

  it('lets a stranger in at a stranger’s cost only, a known source and one that is never limited at either’s', () => {
    const known = { isKnown: true };
    for (const newcomer of [known, { isExempt: true }]) {
      const { admit, connect, dropped } = build(room(2));
      admit({ ip: '203.0.113.1', ...known });
      admit({ ip: '203.0.113.2', ...newcomer });
      expect(connect(stranger)).toMatchObject({ admitted: false, reason: 'too-many' });
      expect(connect({ ...stranger, ...newcomer })).toMatchObject({ admitted: true });
      expect(dropped).toEqual(['203.0.113.1']);
    }
  });

  it('takes from strangers first, and from who has shown least', () => {
    const { admit, dropped } = build(room(3));
    admit({ ip: '203.0.113.1', isKnown: true });
    admit({ ip: '203.0.113.2' }).reached('hello');
    admit({ ip: '203.0.113.3' });
    admit({ ...stranger, isKnown: true });
    admit({ ...stranger, isKnown: true });
    expect(dropped).toEqual(['203.0.113.3', '203.0.113.2']);
  });
});

describe('a network that is full', () => {
  it('over HTTPS is one with too many connections, not one with too many that are not signed in', () => {
    const { connect } = build({ unauthenticatedPerSourceMax: 1 });
    for (let count = 0; count < 20; count += 1)
      expect(connect({ protocol: 'https' })).toMatchObject({ admitted: true });
    connect();
    expect(connect()).toMatchObject({ admitted: false, reason: 'too-many-from-source' });
  });

  it('makes room among its own, known or not, and leaves other networks alone', () => {
    const { admit, connect, dropped } = build({
      unauthenticatedPerSourceMax: 2,
      widerFactors: { v4: [1, 1], v6: [1, 1, 1] },
    });
    for (let count = 0; count < 2; count += 1) admit({ ip: '203.0.113.1' });
    for (let count = 0; count < 2; count += 1) admit({ ip: '192.0.2.9', isKnown: true });
    expect(connect({ ip: '192.0.2.10' })).toMatchObject({ admitted: true });
    expect(dropped).toEqual(['192.0.2.9']);
    expect(connect({ ip: '192.0.2.10' })).toMatchObject({ admitted: false, reason: 'too-many-from-network' });
  });
});
