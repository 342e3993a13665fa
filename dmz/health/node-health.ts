import type { DmzConfig } from '#dmz/config.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import type { Clock } from '#shared/clock.ts';
import { boxChecks } from '#shared/health/box-checks.ts';
import type { ServedCertificate } from '#shared/health/certificate-checks.ts';
import { examine, mergeExaminations, type Examination } from '#shared/health/check.ts';
import { readReport } from '#shared/health/report.ts';
import { healthCharactersMax, healthFindingsMax } from '#shared/link/limits.ts';
import type { Log } from '#shared/log.ts';
import { cutPlain } from '#shared/visible-text.ts';
import { gatherNodeSetup, nodeRunningChecks, nodeSetupChecks } from './node-checks.ts';

/** What the running node finds wrong with itself, and that main hears of it. */

export async function examineNode(
  config: DmzConfig,
  around: {
    readonly clock: Clock;
    readonly credentials?: string;
    readonly watched?: string;
  },
  {
    link,
    served,
  }: {
    readonly link: Pick<MainLink, 'isUp' | 'policy' | 'otherMain'>;
    readonly served: () => ServedCertificate | undefined;
  },
): Promise<Examination> {
  const { clock, credentials, watched } = around;
  const setup = await gatherNodeSetup(config, credentials, clock.now());
  return mergeExaminations(
    await Promise.all([
      examine(nodeSetupChecks, { ...setup, certificate: setup.certificate ?? served() }),
      examine(nodeRunningChecks, {
        config,
        isUp: link.isUp,
        otherMain: link.otherMain,
        mainValidatedLogins: link.isUp ? link.policy.validatedLogins : undefined,
        waitsForCertificate: served() === undefined,
      }),
      readReport(watched, { checks: boxChecks, timer: 'dmz-watch.timer', nowMs: clock.now() }),
    ]),
  );
}

/** How soon main knows: an administrator who looks after a change has typed a command in between. */
const lookEveryMs = 3_000;

/** Tells main of each change. Returns what ends that. */
export function keepMainTold({
  link,
  examine: look,
  log,
}: {
  readonly link: Pick<MainLink, 'tellHealth'>;
  readonly examine: () => Promise<Examination>;
  readonly log: Log;
}): () => void {
  let told = '[]';
  const tell = async (): Promise<void> => {
    const findings = selectTold(await look());
    const text = JSON.stringify(findings);
    if (text === told) return;
    told = text;
    link.tellHealth(findings);
  };
  const lookAgain = (): void =>
    void tell().catch((error: unknown) => log.error({ err: error }, 'health not told'));
  const timer = setInterval(lookAgain, lookEveryMs).unref();
  lookAgain();
  return () => clearInterval(timer);
}

/** Not of the link: main sees for itself whether that is there. Not the cures: main has its own. */
export function selectTold({ findings }: Examination) {
  return findings
    .flatMap(({ check, state, detail }) =>
      state === 'good' || check === 'main-link'
        ? []
        : [{ check, state, detail: cutPlain(detail, healthCharactersMax) }],
    )
    .slice(0, healthFindingsMax);
}
