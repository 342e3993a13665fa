import { describe, expect, it } from 'vitest';
import type { OwnBan } from '#dmz/guard/ban-list.ts';
import { defaultGuardLimits, shareOf } from '#dmz/guard/limits.ts';
import { SourceGuard } from '#dmz/guard/source-guard.ts';
import type { UserPlaces } from '#dmz/guard/user-places.ts';
import { buildLog } from '#shared/log.ts';

const ip = '192.0.2.7';
const nowMs = 1_800_000_000_000;

/** The places of one user in the node. */
class PlayedPlaces implements UserPlaces {
  taken = 0;
  max = 1;

  async enter(): Promise<(() => void) | undefined> {
    if (this.taken >= this.max) return undefined;
    this.taken += 1;
    let isLeft = false;
    return () => {
      if (!isLeft) this.taken -= 1;
      isLeft = true;
    };
  }
}

function build(
  options: {
    userPlaces?: UserPlaces;
    bans?: readonly OwnBan[];
    onBanned?: (ban: OwnBan) => void;
    neverBan?: string[];
  } = {},
) {
  const { neverBan = [], ...rest } = options;
  const guard = new SourceGuard({
    link: {
      policy: { validatedLogins: true, branding: { name: 'x' }, neverBan, bans: [] },
      onPolicy: () => () => undefined,
      onDoorAsked: () => () => undefined,
      report: () => undefined,
    },
    clock: { now: () => nowMs, monotonic: () => nowMs },
    log: buildLog('silent', {}),
    ...rest,
  });
  const connect = (from = ip) => {
    const outcome = guard.admitConnection(from, 'sftp', () => undefined);
    if (!outcome.admitted) throw new Error(outcome.reason);
    return outcome;
  };
  return { guard, connect };
}

describe('the guard of one of several workers', () => {
  it('has the same numbers for a source, and its part of what the node has in all', () => {
    for (const workers of [1, 2, 3, 8]) {
      const share = shareOf(defaultGuardLimits, workers);
      const wholes = ({
        connectionsMax,
        stageMax,
        bansMax,
        knownSourcesPerUserMax,
      }: typeof share): number[] => [
        ...Object.values(connectionsMax),
        ...Object.values(stageMax.https),
        ...Object.values(stageMax.sftp),
        bansMax,
        knownSourcesPerUserMax,
      ];
      for (const [index, whole] of wholes(defaultGuardLimits).entries())
        expect((wholes(share)[index] ?? Infinity) * workers).toBeLessThanOrEqual(whole);
      expect(share.connectionsPerSourceMax).toEqual(defaultGuardLimits.connectionsPerSourceMax);
      expect(share.failuresMax).toBe(defaultGuardLimits.failuresMax);
    }
    expect(shareOf(defaultGuardLimits, 1)).toEqual(defaultGuardLimits);
  });

  it('takes a place in the node for who waits for a code, and gives it back at each way out', async () => {
    const userPlaces = new PlayedPlaces();
    const { connect } = build({ userPlaces });
    for (const end of ['authenticated', 'release'] as const) {
      const [one, other] = [connect(), connect('198.51.100.1')];
      expect([await one.awaitCode('alice'), await other.awaitCode('alice')]).toEqual([true, false]);
      expect(await one.awaitCode('alice')).toBe(true);
      one[end]();
      one[end]();
      expect(userPlaces.taken).toBe(0);
      one.release();
      other.release();
    }
  });

  it('keeps no place for a connection that went while it was asked for', async () => {
    const userPlaces = new PlayedPlaces();
    const { connect } = build({ userPlaces });
    const gone = connect();
    const asked = gone.awaitCode('alice');
    gone.release();
    expect([await asked, userPlaces.taken]).toEqual([false, 0]);
  });

  it('asks for no place for who is exempt', async () => {
    const userPlaces = new PlayedPlaces();
    userPlaces.max = 0;
    expect(
      await build({ userPlaces, neverBan: [ip] })
        .connect()
        .awaitCode('alice'),
    ).toBe(true);
  });

  it('tells of its bans, and another begins with them', () => {
    const bans: OwnBan[] = [];
    const { guard } = build({ onBanned: (ban) => bans.push(ban) });
    for (let time = 0; time < defaultGuardLimits.failuresMax; time += 1) guard.firstFactorFailed(ip, 'alice');
    for (let time = 0; time < defaultGuardLimits.malformedMax; time += 1)
      guard.malformed('198.51.100.1', 'sftp', 'x');
    const next = build({ bans }).guard;
    expect(next.isBanned(ip, 'https')).toBe(defaultGuardLimits.banMs);
    expect([next.isBanned('198.51.100.1', 'sftp'), next.isBanned('198.51.100.1', 'https')]).toEqual([
      defaultGuardLimits.banMs,
      undefined,
    ]);
  });
});
