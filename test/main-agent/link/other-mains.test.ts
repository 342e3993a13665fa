import { beforeEach, describe, expect, it } from 'vitest';
import { otherMainLoggedEveryMs, otherMainShownForMs } from '#main-agent/link/limits.ts';
import { OtherMains } from '#main-agent/link/other-mains.ts';
import type { Log } from '#shared/log.ts';

const other = { from: '10.0.0.9:4711', sinceMs: Date.UTC(2026, 10, 29, 12) };

describe('another main with the key of this one', () => {
  let ms: number;
  let told: string[];
  let logged: unknown[];
  let mains: OtherMains;
  beforeEach(() => {
    ms = 0;
    told = [];
    logged = [];
    mains = new OtherMains({
      onFirst: (node, detail) => void told.push(`${node}: ${detail}`),
      clock: { now: () => ms, monotonic: () => ms },
      log: { error: (fields: unknown) => void logged.push(fields) } as unknown as Log,
    });
  });

  it('is told once for each node, whatever the node repeats', () => {
    for (let time = 0; time < 3; time += 1) mains.note('dmz1', other, true);
    expect(told).toEqual([
      "dmz1: another main with this main's key is connected since 2026-11-29T12:00:00.000Z from 10.0.0.9:4711",
    ]);
    mains.note('dmz2', other, true);
    expect(told).toHaveLength(2);
  });

  it('is told again when it comes from elsewhere, and when it is no longer the one that holds the link', () => {
    mains.note('dmz1', other, true);
    mains.note('dmz1', { ...other, from: '10.0.0.10:4711' }, true);
    expect(told).toHaveLength(2);
    mains.note('dmz1', { ...other, from: '10.0.0.10:4711' }, false);
    expect(told).toHaveLength(3);
    expect(told[2]).toBe(
      "dmz1: another main with this main's key wanted the link, from 10.0.0.10:4711, and was turned away",
    );
  });

  it('is an alarm in the log at once and then once in so long, for each node by itself', () => {
    mains.note('dmz1', other, false);
    expect(logged).toEqual([{ alarm: 'other-main', node: 'dmz1', ...other }]);
    ms = otherMainLoggedEveryMs - 1;
    mains.note('dmz1', other, false);
    expect(logged).toHaveLength(1);
    mains.note('dmz2', other, false);
    expect(logged).toHaveLength(2);
    ms = otherMainLoggedEveryMs;
    mains.note('dmz1', other, false);
    expect(logged).toHaveLength(3);
    ms += otherMainLoggedEveryMs - 1;
    mains.note('dmz1', other, false);
    expect(logged).toHaveLength(3);
  });

  it('is a problem until nothing was heard of it for so long', () => {
    mains.note('dmz1', other, false);
    ms = otherMainShownForMs;
    expect(mains.problems()).toEqual([expect.stringMatching(/^dmz1: another main .* stop one of the two/u)]);
    mains.note('dmz1', other, false);
    ms += otherMainShownForMs;
    expect(mains.problems()).toHaveLength(1);
    ms += 1;
    expect(mains.problems()).toEqual([]);
  });

  it('is gone when the node takes our link, if it held it; one that was turned away may still be about', () => {
    mains.note('dmz1', other, true);
    mains.note('dmz2', other, false);
    mains.joined('dmz1');
    mains.joined('dmz2');
    mains.joined('dmz3');
    expect(mains.problems()).toEqual([expect.stringMatching(/^dmz2: /u)]);
    mains.note('dmz1', other, true);
    expect(told.filter((line) => line.startsWith('dmz1'))).toHaveLength(2);
  });
});
