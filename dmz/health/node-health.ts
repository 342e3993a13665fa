import { stat } from 'node:fs/promises';
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

interface NodeSurroundings {
  readonly clock: Clock;
  readonly credentials?: string;
  readonly watched?: string;
}

interface Examined {
  readonly link: Pick<MainLink, 'isUp' | 'policy' | 'otherMain' | 'hostKeys'>;
  readonly served: () => ServedCertificate | undefined;
}

/** Looks at the node as it is whenever it is called. `present`: the configuration it goes by. */
export function buildNodeExamination(
  present: () => DmzConfig,
  around: NodeSurroundings,
  { link, served }: Examined,
): () => Promise<Examination> {
  const { clock, watched } = around;
  const lookAtSetup = keepSetup(around);
  return async () => {
    const config = present();
    const certificate = served();
    return mergeExaminations(
      await Promise.all([
        lookAtSetup(config, certificate),
        examine(nodeRunningChecks, {
          config,
          isUp: link.isUp,
          otherMain: link.otherMain,
          mainValidatedLogins: link.isUp ? link.policy.validatedLogins : undefined,
          waitsForCertificate: certificate === undefined,
          waitsForHostKeys: config.sftp.hostKey === 'main' && link.isUp && link.hostKeys.length === 0,
        }),
        readReport(watched, { checks: boxChecks, timer: 'dmz-watch.timer', nowMs: clock.now() }),
      ]),
    );
  };
}

/** For what a look at the names does not tell: one of them may be a credential. */
const minuteMs = 60_000;

/**
 * Reads and parses the files when they are others, which a look at each tells, or a minute has passed. What they are worth
 * is judged at each look: that costs nothing, and depends on more than the files, the time to begin with.
 */
function keepSetup({ clock, credentials }: NodeSurroundings) {
  let kept:
    | { readonly of: readonly unknown[]; readonly setup: Awaited<ReturnType<typeof gatherNodeSetup>> }
    | undefined;
  return async (config: DmzConfig, served: ServedCertificate | undefined): Promise<Examination> => {
    const { certificate, key } = config.https;
    const nowMs = clock.now();
    const minute = Math.floor(nowMs / minuteMs);
    const of = [config, minute, await stampOf(certificate), await stampOf(key)];
    if (kept?.of.every((one, index) => one === of[index]) !== true)
      kept = { of, setup: await gatherNodeSetup(config, credentials, nowMs) };
    const { setup } = kept;
    return examine(nodeSetupChecks, { ...setup, nowMs, certificate: setup.certificate ?? served });
  };
}

/** Another for another file of that name, another content or other rights. */
async function stampOf(file: string | undefined): Promise<string> {
  if (file === undefined) return '';
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
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
