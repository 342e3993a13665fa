import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ClockGuard } from '#main-agent/two-factor/clock-guard.ts';
import { clockBackMs, clockCheckIntervalMs, clockJumpMs } from '#main-agent/two-factor/limits.ts';
import { buildLog } from '#shared/log.ts';

const log = buildLog('silent', {});
const dayMs = 24 * 3_600_000;

describe('main’s own clock', () => {
  let wallMs: number;
  let steadyMs: number;
  let sleptMs: number;
  let guard: ClockGuard;
  const open = (knowsSleep = false): void => {
    wallMs = Date.parse('2026-11-29T22:00:00.000Z');
    steadyMs = 5_000;
    sleptMs = 0;
    guard = new ClockGuard({
      clock: {
        now: () => wallMs,
        monotonic: () => steadyMs,
        // The system says whole seconds.
        ...(knowsSleep && { sinceBoot: () => Math.floor((steadyMs + sleptMs) / 1000) * 1000 }),
      },
      log,
    });
  };
  beforeEach(() => open());
  afterEach(() => guard.close());

  /** Looked at as often as it looks by itself; resolves with the first alarm. */
  const pass = (ms: number, slewPpm = 0): number | undefined => {
    for (let left = ms; left > 0; left -= clockCheckIntervalMs) {
      const step = Math.min(left, clockCheckIntervalMs);
      steadyMs += step;
      wallMs += step * (1 + slewPpm / 1_000_000);
      const off = guard.check();
      if (off !== undefined) return off;
    }
    return undefined;
  };
  const sleep = (ms: number): void => {
    wallMs += ms;
    sleptMs += ms;
  };

  it.each([500, -500])('slewed by NTP at %i ppm for a week is no alarm', (ppm) => {
    expect(pass(7 * dayMs, ppm)).toBeUndefined();
  });

  it('jumping is an alarm above 60 s ahead and 2 s back, and not before', () => {
    for (const [fine, wrong] of [
      [clockJumpMs, clockJumpMs + 1],
      [-clockBackMs, -clockBackMs - 1],
    ] as const) {
      open();
      wallMs += fine;
      expect(guard.check()).toBeUndefined();
      guard.close();
      open();
      wallMs += wrong;
      expect(guard.check()).toBe(wrong);
      guard.close();
    }
  });

  it('creeping faster than NTP slews is an alarm, in steps that are each below notice or without any', () => {
    let steps = 0;
    while (guard.check() === undefined && steps < 100) {
      wallMs += 1_000;
      pass(60_000);
      steps += 1;
    }
    expect(steps).toBeGreaterThan(59);
    expect(steps).toBeLessThan(65);
    open();
    const off = pass(dayMs, 2_000);
    expect(off).toBeGreaterThan(clockJumpMs);
    expect(off).toBeLessThan(clockJumpMs + 100);
    open();
    expect(pass(dayMs, -2_000)).toBeLessThan(-clockBackMs);
  });

  it('goes on being an alarm until somebody confirms it, and is judged from there on', () => {
    wallMs += 70_000;
    expect(guard.check()).toBe(70_000);
    expect(guard.check()).toBe(70_000);
    wallMs += 30_000;
    guard.confirm();
    expect(guard.check()).toBeUndefined();
    wallMs += 59_000;
    expect(guard.check()).toBeUndefined();
  });

  it('of a machine that slept was not wrong, however long and often, and a jump beside it is seen', () => {
    open(true);
    for (let night = 0; night < 50; night += 1) {
      sleep(8 * 3_600_000 + 333 * night);
      expect(pass(60_000), `night ${night}`).toBeUndefined();
    }
    sleep(3_600_000);
    wallMs += 70_000;
    const off = guard.check();
    expect(off).toBeGreaterThan(68_000);
    expect(off).toBeLessThan(72_000);
  });

  it('put right after short pauses of a virtual machine is no alarm where nobody knows of them', () => {
    for (let day = 0; day < 30; day += 1) {
      wallMs += 40_000;
      expect(pass(dayMs), `day ${day}`).toBeUndefined();
    }
  });
});
