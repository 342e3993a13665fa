import { buildDoctor, type Doctor } from '#main-agent/doctor/doctor.ts';
import type { RunningFacts } from '#main-agent/doctor/running-checks.ts';
import { gatherSetup } from '#main-agent/doctor/setup-checks.ts';
import { boxChecks } from '#shared/health/box-checks.ts';
import { KeptLook } from '#shared/health/kept-look.ts';
import { readReport } from '#shared/health/report.ts';
import type { VaultProcess } from '#main-agent/vault/vault-process.ts';
import type { DoorCertificate } from './certificate.ts';
import type { Ground } from './ground.ts';
import type { Logins } from './logins.ts';
import type { People } from './people.ts';
import type { Readers } from './readers.ts';
import type { Records } from './records.ts';

/** Relays don't like to be called by every monitor; what was bad is looked at again at once. */
const relayGoodMs = 30_000;
/** A look at many users, for monitors that ask every few seconds. */
const passwordAloneGoodMs = 60_000;

/** Gathers what main's checks are about. */
export function buildExamination(
  { config, around: { clock, credentials, watched }, reloads }: Ground,
  { feed, restores, nodeBudget }: Records,
  { users, departures, notify, deliveries, files }: People,
  { login, nodes, hostKeys }: Logins,
  readers: Readers,
  doorCertificate: DoorCertificate,
  vault: VaultProcess,
): Doctor {
  const keepMs = (problem: string | undefined): number => (problem === undefined ? relayGoodMs : 0);
  const lookAnew = () => ({
    mail: new KeptLook(() => notify.checkMail(), { clock, keepMs }),
    textGateway: new KeptLook(() => notify.checkTextGateway(), { clock, keepMs }),
  });
  let relays = lookAnew();
  // What was seen was seen of another.
  reloads.on(['smtp', 'sms'], () => () => void (relays = lookAnew()));
  const alone = new KeptLook(() => login.admin.passwordAlone(), { clock, keepMs: () => passwordAloneGoodMs });
  const running = (how: 'kept' | 'anew'): RunningFacts => {
    const ask = <T>(look: KeptLook<T>) => (how === 'anew' ? look.refresh() : look.get());
    return {
      config,
      clock,
      nodes: () => nodes.admin.list(),
      links: () => nodes.links.states(),
      nodesOwn: () => nodes.nodeHealth.list(),
      userProblems: () => users.problems(),
      auditProblem: () => feed.problem(),
      restores: () => restores.problems(),
      otherMains: () => nodes.otherMains.problems(),
      orphans: () => departures.list(),
      passwordAlone: () => ask(alone),
      lastMail: () => deliveries.last('email'),
      lastText: () => deliveries.last('sms'),
      mail: () => ask(relays.mail),
      textGateway: () => ask(relays.textGateway),
      vaultProblem: () => vault.problem(),
      hostKeyProblems: () => hostKeys.problems(),
      clockProblem: () => login.admin.clockProblem(),
      driftProblem: () => login.admin.driftProblem(),
      overloadProblems: () => login.admin.overloadProblems(),
      readerProblems: () => readers.problems(),
      retentionProblems: () => files.retention.problems(),
      doorCertificateProblem: () => doorCertificate?.problem(),
      eventProblems: () => [...nodes.edgeEvents.problems(), ...nodeBudget.problems()],
      headProblems: () => nodes.nodeHeads.problems(),
      surveys: async () => (how === 'anew' ? files.surveys.refresh() : files.surveys.report()),
    };
  };
  return buildDoctor({
    setup: () => gatherSetup(config, credentials, clock.now(), vault.ask),
    running,
    box: () =>
      readReport(watched, { checks: boxChecks, timer: 'main-agent-watch.timer', nowMs: clock.now() }),
  });
}
