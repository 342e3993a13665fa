import { describe, expect, it } from 'vitest';
import { parseProblem } from '#dmz/web/api/problem.ts';
import { buildFormats } from '#dmz/web/format/formats.ts';
import { describeCodeFailure } from '#dmz/web/i18n/code-failure.ts';
import { en } from '#dmz/web/i18n/en.ts';

describe('a refusal of the server', () => {
  it('is read from its problem details', () => {
    const body = JSON.stringify({ reason: 'wrong-code', attempts_left: 3, reference: '7F3K', detail: 'no' });
    const problem = parseProblem(401, null, body);
    expect(problem.status).toBe(401);
    expect(problem.codeReason).toBe('wrong-code');
    expect(problem.details).toEqual({
      reason: 'wrong-code',
      attemptsLeft: 3,
      reference: '7F3K',
      detail: 'no',
    });
  });

  it('keeps only what has the right type', () => {
    const body = JSON.stringify({ reason: 5, attempts_left: 'many', reference: {}, detail: [] });
    expect(parseProblem(400, 'soon', body).details).toEqual({});
  });

  it.each(['', '<html>Bad gateway</html>', 'null', '[]', '"text"'])('may come without any: %s', (body) => {
    expect(parseProblem(502, '7', body).details).toEqual({ retryAfterMs: 7000 });
  });

  it('is an outage when main or the way is down, not when a code could not be sent', () => {
    expect(parseProblem(503, null, '{}').isOutage).toBe(true);
    expect(parseProblem(408, null, '{"reason":"too-slow"}').isOutage).toBe(true);
    expect(parseProblem(503, null, '{"reason":"delivery-failed"}').isOutage).toBe(false);
    expect(parseProblem(401, null, '{}').isOutage).toBe(false);
  });
});

describe('a code that was not accepted', () => {
  const formats = buildFormats('en-GB', 'UTC');
  const say = (members: object, kind: 'app' | 'delivered' | 'recovery' = 'app', nowMs = 18_000): string =>
    describeCodeFailure(parseProblem(401, null, JSON.stringify(members)), kind, en, formats, nowMs);

  it('says how long the next one takes', () => {
    expect(say({ reason: 'used-code' })).toBe('That code is already used. Wait for the next one (12 s).');
  });

  it('doesn’t promise a next one where there is none', () => {
    expect(say({ reason: 'used-code' }, 'recovery')).toBe('That code is already used. Each code works once.');
  });

  it('says which way the clock is wrong', () => {
    expect(say({ reason: 'clock-drift', drift_seconds: -95 })).toContain('about 95 seconds slow');
    expect(say({ reason: 'clock-drift', drift_seconds: 60 })).toContain('about 60 seconds fast');
  });
});
