import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatExamination, formatVerdict } from '#shared/command-line/findings.ts';
import { examine, mergeExaminations, type Examination, type HealthCheck } from '#shared/health/check.ts';
import { KeptLook } from '#shared/health/kept-look.ts';
import { readReport, renderReport, reportFile } from '#shared/health/report.ts';
import { buildRoomCheck } from '#shared/health/room-checks.ts';

const check = (id: string, look: HealthCheck<undefined>['look']): HealthCheck<undefined> => ({
  id,
  looksAt: 'x',
  cure: 'x',
  affects: 'health',
  look,
});
const said = (state: 'good' | 'bad', detail: string): Examination => ({
  findings: [{ check: 'link', affects: 'ready', state, detail }],
  unlooked: [],
});

describe('a list of checks', () => {
  it('says what was found, and of what was not looked at, why: a look that fails was none', async () => {
    const checks = [
      check('well', () => []),
      check('absent', () => undefined),
      check('ill', () => [{ state: 'bad', detail: 'broken', hint: 'mend it' }]),
      check('dark', () => ({ unlooked: 'no light' })),
      check('torn', () => Promise.reject(new Error('fell over'))),
    ];
    expect(await examine(checks, undefined)).toEqual({
      findings: [
        { check: 'well', affects: 'health', state: 'good', detail: 'nothing found' },
        { check: 'ill', affects: 'health', state: 'bad', detail: 'broken', hint: 'mend it' },
      ],
      unlooked: [
        { check: 'dark', why: 'no light' },
        { check: 'torn', why: 'fell over' },
      ],
    });
  });

  it('of several who looked, says a fault once, and nothing good beside it', () => {
    const dark: Examination = { findings: [], unlooked: [{ check: 'link', why: 'dark' }] };
    expect(mergeExaminations([said('good', 'up'), said('bad', 'down'), said('bad', 'down'), dark])).toEqual(
      said('bad', 'down'),
    );
    expect(mergeExaminations([dark, dark])).toEqual(dark);
  });
});

it('what was found is shown in one line each, and nothing of it is obeyed by a terminal', () => {
  const evil = '\u009B2J\nok    all: well\u202E';
  const shown = '\\u009b2J\\u000aok    all: well\\u202e';
  const unlooked = [{ check: evil, why: evil }];
  const findings = [{ check: evil, state: 'bad' as const, detail: evil, hint: evil }];
  expect(formatExamination({ findings, unlooked })).toBe(
    `BAD   ${shown}: ${shown}\n      hint: ${shown}\n--    ${shown}: not looked at: ${shown}\n`,
  );
  expect(formatVerdict(1, unlooked)).toContain(`Not looked at: ${shown} (${shown}).\n`);
});

describe('room on a disk', () => {
  const look = async (free: number) => {
    const places = async () => [{ place: 'state', free, size: 1_000 }];
    const { findings } = await examine([buildRoomCheck<undefined>(places)], undefined);
    return findings.map(({ state, detail }) => `${state}: ${detail}`);
  };
  it('is enough at 10 %, a warning below, an alarm below 2 %', async () => {
    expect(await look(100)).toEqual(['good: state have room']);
    expect(await look(99)).toEqual(['warning: state: 9 % of the disk is free']);
    expect(await look(20)).toEqual(['warning: state: 2 % of the disk is free']);
    expect(await look(19)).toEqual(['bad: state: 1 % of the disk is free']);
    expect(await look(0)).toEqual(['bad: state: 0 % of the disk is free']);
  });
});

describe('a look that is kept', () => {
  it('is good for its time, and what was bad is looked at again at once', async () => {
    let now = 0;
    let looks = 0;
    let answer: string | undefined;
    const kept = new KeptLook(
      async () => {
        looks += 1;
        return answer;
      },
      { clock: { monotonic: () => now }, keepMs: (seen) => (seen === undefined ? 30 : 0) },
    );
    await Promise.all([kept.get(), kept.get()]);
    now = 29;
    await kept.get();
    expect(looks).toBe(1);
    answer = 'down';
    now = 30;
    expect(await kept.get()).toBe('down');
    answer = undefined;
    expect(await kept.get()).toBe(undefined);
    await kept.refresh();
    expect(looks).toBe(4);
  });
});

describe('what root found on the box', () => {
  it('is read by who may not look, for a quarter of an hour', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-report-'));
    const read = (nowMs: number, at: string | undefined = folder) =>
      readReport(at, { checks: [{ id: 'link' }], timer: 'dmz-watch.timer', nowMs, bornAtMs: 900 });
    const why = async (nowMs: number, at?: string) => (await read(nowMs, at)).unlooked[0]?.why;
    try {
      expect(await why(0)).toBe('dmz-watch.timer has not looked at this box');
      const other: Examination = {
        findings: [{ check: 'other', affects: 'both', state: 'bad', detail: 'looked at by who reads this' }],
        unlooked: [],
      };
      const left = mergeExaminations([said('bad', 'open'), other]);
      writeFileSync(join(folder, reportFile), renderReport(left, 1_000));
      expect(await read(1_000)).toEqual(said('bad', 'open'));
      // A look while it was being started finds a unit that does not run.
      writeFileSync(join(folder, reportFile), renderReport(left, 899));
      expect(await why(1_000)).toBe('dmz-watch.timer has not looked at this box since the node was started');
      writeFileSync(join(folder, reportFile), renderReport(left, 1_000));
      expect(await read(1_000 + 16 * 60_000)).toEqual(said('bad', 'open'));
      expect(await why(1_001 + 16 * 60_000)).toBe(
        'dmz-watch.timer has not looked at this box since 1970-01-01T00:00:01.000Z',
      );
      writeFileSync(join(folder, reportFile), '{"atMs":');
      expect(await why(0)).toBe('what dmz-watch.timer left can not be read');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
