import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { Formats } from '#dmz/web/format/formats.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';

/** Length of a TOTP time step (RFC 6238 §4.1 default, which the common apps insist on). */
const stepSeconds = 30;

/** Why a code was not accepted, and what to do. `kind`: what the person was asked for. */
export function describeCodeFailure(
  problem: ApiProblem,
  kind: 'app' | 'delivered' | 'recovery',
  words: Catalogue,
  formats: Formats,
  nowMs: number,
): string {
  switch (problem.codeReason) {
    case 'wrong-code':
      return kind === 'recovery' ? words.code.wrongRecovery : words.code.wrong;
    case 'used-code': {
      if (kind !== 'app') return words.code.usedOnce;
      const left = stepSeconds - Math.floor((nowMs / 1000) % stepSeconds);
      return words.code.used(formats.duration(left));
    }
    case 'clock-drift': {
      const drift = problem.details.driftSeconds ?? 0;
      return drift < 0 ? words.code.clockSlow(-drift) : words.code.clockFast(drift);
    }
    case undefined:
      if (problem.status === 429)
        return words.code.tooMany(formats.duration((problem.details.retryAfterMs ?? 60_000) / 1000));
      return problem.isOutage ? words.failure.outage : words.failure.other;
  }
}
