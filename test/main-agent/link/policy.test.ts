import { describe, expect, it } from 'vitest';
import { fitPolicy } from '#main-agent/link/policy.ts';
import { encodeEvent } from '#shared/link/codec.ts';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import { buildLog } from '#shared/log.ts';

const log = buildLog('silent', {});
const policyWith = (count: number) => ({
  validatedLogins: true,
  branding: { name: 'x'.repeat(128), banner: 'y'.repeat(4096) },
  neverBan: [],
  bans: Array.from({ length: count }, (_value, index) => ({
    address: `2001:db8::${index}`,
    untilMs: index,
    reason: 'r'.repeat(128),
  })),
});

describe('the pushed policy', () => {
  it('goes as it is when it fits', () => {
    expect(fitPolicy(policyWith(100), log)).toEqual(policyWith(100));
  });

  it('S-09: leaves out the bans that end first when they do not all fit one message', () => {
    const fitted = fitPolicy(policyWith(10_000), log);
    expect(encodeEvent('policy', fitted).length).toBeLessThanOrEqual(controlMessageBytesMax);
    expect(fitted.bans.length).toBeGreaterThan(1000);
    expect(fitted.bans[0]?.untilMs).toBe(9999);
  });
});
