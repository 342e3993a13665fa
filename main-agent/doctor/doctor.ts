import { boxChecks } from '#shared/health/box-checks.ts';
import { examine, mergeExaminations, type Examination } from '#shared/health/check.ts';
import { runningChecks, type RunningFacts } from './running-checks.ts';
import { setupChecks, type SetupFacts } from './setup-checks.ts';

/**
 * Main's one list of checks, behind `status`, `doctor`, `/healthz`, `/readyz` and `config check` (D-103). A running main
 * looks at its disks and at all it knows; at the box around it somebody else has to look, and leaves word.
 */
export const mainChecks = [...setupChecks, ...runningChecks, ...boxChecks];

export interface Doctor {
  /** `kept`: what takes its time may be a little old. */
  examine(how: 'kept' | 'anew'): Promise<Examination>;
}

export function buildDoctor(parts: {
  readonly setup: () => Promise<SetupFacts>;
  readonly running: (how: 'kept' | 'anew') => RunningFacts;
  /** What was found by who may look at the box. */
  readonly box: () => Promise<Examination>;
}): Doctor {
  return {
    examine: async (how) =>
      mergeExaminations(
        await Promise.all([
          parts.setup().then((facts) => examine(setupChecks, facts)),
          examine(runningChecks, parts.running(how)),
          parts.box(),
        ]),
      ),
  };
}
