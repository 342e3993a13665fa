import type { MainAgentConfig } from '#main-agent/config.ts';
import { greetingName } from '#main-agent/notify/mail.ts';
import { describeDeliveryProblem, type LastDelivery } from '#main-agent/notify/deliveries.ts';
import { listOrphans, type Notice } from './problems.ts';
import type { OrphanedName } from '#main-agent/users/departures.ts';
import type { SourceProblem } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';
import type { StorageSurvey, Surveys } from '#main-agent/files/survey.ts';
import type { NodeReport } from '#main-agent/link/node-admin.ts';
import { X509Certificate } from 'node:crypto';

/** What a running main knows about its own health, each with what to do about it. */

/** `doctor`: what is not as it should be, and how to mend it. */
export interface Doctor {
  examine(): Promise<readonly Finding[]>;
}

export interface Finding {
  readonly check: string;
  readonly state: 'good' | 'warning' | 'bad';
  readonly detail: string;
  readonly hint?: string;
}

export interface DoctorParts {
  readonly config: MainAgentConfig;
  readonly nodes: () => readonly NodeReport[];
  readonly userProblems: () => readonly SourceProblem[];
  /** Why audit.jsonl is not being written. */
  readonly auditProblem: () => string | undefined;
  /** State or audit that was put back, until somebody acknowledges it. */
  readonly restores: () => readonly string[];
  /** Processes that show this main's key to a node. */
  readonly otherMains: () => readonly string[];
  /** Names whose users are gone, or that came back undecided. */
  readonly orphans: () => readonly OrphanedName[];
  readonly notices: () => Promise<readonly Notice[]>;
  /** How the last text message went, if one was sent. */
  readonly lastText: () => LastDelivery | undefined;
  /** By how much the clock jumped. */
  readonly clockProblem: () => number | undefined;
  /** Why the relay can't be used; undefined: it answers. */
  readonly checkMail: () => Promise<string | undefined>;
  readonly surveys: Surveys;
  /** Of the admin listener. */
  readonly certificatePem: string | undefined;
  readonly clock: Clock;
}

/** More apart and codes of the time begin to fail. */
const skewMsMax = 5_000;
const certificateWarningMs = 14 * 24 * 3_600_000;
/** Of problems in user files; the rest are counted. */
const problemsShownMax = 10;

export function buildDoctor(parts: DoctorParts): Doctor {
  return {
    examine: async () => [
      ...examineSwitches(parts.config),
      ...examineNodes(parts.nodes()),
      ...parts.otherMains().map((detail): Finding => ({
        check: 'another main',
        state: 'bad',
        detail,
        hint: 'systemctl stop main-agent on the box that should not be main; it then has no key to show',
      })),
      ...parts.restores().map((detail): Finding => ({ check: 'restore', state: 'bad', detail })),
      examineClock(parts.clockProblem()),
      ...examineUsers(parts.userProblems()),
      ...examineOrphans(parts.orphans()),
      ...(await parts.notices()).map((notice): Finding => ({ ...notice, state: 'warning' })),
      examineAudit(parts.auditProblem()),
      ...(await parts.surveys.refresh()).flatMap((survey) => examineStorage(survey, parts.config)),
      await examineMail(parts),
      ...examineTexts(parts),
      ...examineCertificate(parts),
    ],
  };
}

function examineSwitches({ twoFactor, admin }: MainAgentConfig): Finding[] {
  const found: Finding[] = [
    twoFactor.validatedLogins
      ? { check: 'validated logins', state: 'good', detail: 'on' }
      : {
          check: 'validated logins',
          state: 'bad',
          detail: 'off: no second factor is asked of anybody',
          hint: 'two_factor.validated_logins: true in main-agent.yaml and dmz.yaml',
        },
  ];
  for (const { cidr, nodes } of twoFactor.trustedNetworks) {
    found.push({
      check: 'trusted networks',
      state: 'warning',
      detail: `no code is asked from ${cidr} through ${nodes.join(', ')}; the address is the word of the node`,
      hint: 'two_factor.trusted_networks: remove it unless it must be',
    });
  }
  if (admin.listen?.type === 'tcp' && admin.anyInterface) {
    found.push({
      check: 'admin listener',
      state: 'warning',
      detail: `listens on ${admin.listen.host}:${admin.listen.port}, which may be every network`,
      hint: 'admin.listen: an address of the inner network',
    });
  }
  return found;
}

function examineNodes(nodes: readonly NodeReport[]): Finding[] {
  if (nodes.length === 0) {
    return [
      {
        check: 'nodes',
        state: 'bad',
        detail: 'no DMZ node is enrolled',
        hint: "sallyport nodes enrol '<pairing line>'",
      },
    ];
  }
  return nodes.flatMap((node): Finding[] => {
    const check = `node ${node.name}`;
    if (node.state === 'revoked') {
      return [
        {
          check,
          state: 'warning',
          detail: 'revoked',
          hint: `pair it anew, or sallyport nodes unrevoke ${node.name}`,
        },
      ];
    }
    if (node.state === 'down') {
      const problem = node.links[0]?.problem ?? 'never joined';
      return [
        {
          check,
          state: 'bad',
          detail: `not connected: ${problem}`,
          hint: `is it running, is ${node.address} reachable from here, is main trusted there? sallyport node doctor on that box`,
        },
      ];
    }
    const skewMs = Math.max(...node.links.map((link) => Math.abs(link.clockSkewMs ?? 0)));
    if (skewMs <= skewMsMax) return [{ check, state: 'good', detail: 'connected' }];
    return [
      {
        check,
        state: 'bad',
        detail: `its clock is ${Math.round(skewMs / 1000)} s from ours`,
        hint: 'let both follow the same time servers (timedatectl)',
      },
    ];
  });
}

function examineClock(jumpedMs: number | undefined): Finding {
  if (jumpedMs === undefined) return { check: 'clock', state: 'good', detail: 'runs evenly' };
  return {
    check: 'clock',
    state: 'bad',
    detail: `jumped by ${Math.round(jumpedMs / 1000)} s; codes of the time are not accepted`,
    hint: 'look at it, then confirm it: sallyport --help says how',
  };
}

function examineUsers(problems: readonly SourceProblem[]): Finding[] {
  const found = problems.slice(0, problemsShownMax).map(({ file, line, column, message, hint }): Finding => ({
    check: 'user files',
    state: 'bad',
    detail: `${file}:${line}:${column}: ${message}`,
    hint: hint ?? 'correct the file; the last good version is in force until then',
  }));
  if (problems.length > problemsShownMax)
    found.push({
      check: 'user files',
      state: 'bad',
      detail: `and ${problems.length - problemsShownMax} more`,
    });
  return found.length > 0 ? found : [{ check: 'user files', state: 'good', detail: 'all can be read' }];
}

function examineOrphans(orphans: readonly OrphanedName[]): Finding[] {
  const problems = listOrphans(orphans);
  if (problems.length === 0)
    return [{ check: 'given names', state: 'good', detail: 'no name waits for a decision' }];
  return problems.map((detail) => ({
    check: 'given names',
    state: 'warning',
    detail,
    hint: 'sallyport two-factor orphans lists them all',
  }));
}

function examineAudit(problem: string | undefined): Finding {
  if (problem === undefined) return { check: 'audit', state: 'good', detail: 'is being written' };
  return {
    check: 'audit',
    state: 'bad',
    detail: problem,
    hint: 'is there room on the disk, may the service write there? Nothing is lost: state.db has it',
  };
}

const whyUnserved = {
  name: 'a name that clients could not use',
  link: 'a link',
  special: 'a special file',
  unlooked: 'a folder that main may not read, or too deep',
} as const;

function examineStorage(survey: StorageSurvey, { storages }: MainAgentConfig): Finding[] {
  const { storage, looked, isComplete, unserved, places } = survey;
  const check = `storage ${storage}`;
  const extent = isComplete ? `all ${looked} names` : `${looked} names so far, not all`;
  const base = storages[storage]?.base ?? storage;
  const some = places.map(({ path, kind }): Finding => ({
    check,
    state: 'warning',
    detail: `${kind === 'unlooked' ? 'not looked at' : 'not served'}: ${base}/${path} (${whyUnserved[kind]})`,
  }));
  if (unserved === 0) {
    return [
      isComplete
        ? { check, state: 'good', detail: `every name is served (${extent})` }
        : {
            check,
            state: 'warning',
            detail: `nothing that is not served (${extent})`,
            hint: 'main looks on in the background: ask again later',
          },
      ...some,
    ];
  }
  const total: Finding = {
    check,
    state: 'warning',
    detail: `${unserved} ${unserved === 1 ? 'entry is' : 'entries are'} not served (${extent})${unserved > places.length ? '; some of them' : ''}`,
    hint: 'other programs put them there: rename or remove them on the storage; users do not see them and can not delete a folder that holds only such',
  };
  return [total, ...some];
}

async function examineMail({ config, checkMail }: DoctorParts): Promise<Finding> {
  if (config.smtp === undefined) {
    return {
      check: 'mail',
      state: 'warning',
      detail: 'no relay is configured: no codes or notices by mail',
      hint: 'section smtp of main-agent.yaml',
    };
  }
  const where = `${config.smtp.host}:${config.smtp.port}`;
  const problem = await checkMail();
  if (problem === undefined) {
    const detail = `${where} answers; this host calls itself ${greetingName(config.smtp)} to it`;
    return { check: 'mail', state: 'good', detail };
  }
  return {
    check: 'mail',
    state: 'bad',
    detail: `${where}: ${problem}`,
    hint: 'host, port, tls, name, user and password_file of section smtp; may this machine reach it?',
  };
}

/** A gateway can't be asked without sending something: what is known is how the last message went. */
function examineTexts({ config, lastText }: DoctorParts): Finding[] {
  if (config.sms === undefined) return [];
  const check = 'text messages';
  const last = lastText();
  const problem = describeDeliveryProblem(last);
  if (last === undefined) return [{ check, state: 'good', detail: 'none was sent since main started' }];
  if (problem === undefined) return [{ check, state: 'good', detail: 'the gateway took the last one' }];
  return [
    {
      check,
      state: 'bad',
      detail: problem,
      hint: 'section sms of main-agent.yaml; `sallyport two-factor test-delivery <user>` tries it',
    },
  ];
}

function examineCertificate({ certificatePem, clock }: DoctorParts): Finding[] {
  if (certificatePem === undefined) return [];
  const leftMs = new X509Certificate(certificatePem).validToDate.getTime() - clock.now();
  const days = Math.floor(leftMs / 86_400_000);
  const check = 'admin certificate';
  if (leftMs > certificateWarningMs) return [{ check, state: 'good', detail: `good for ${days} days` }];
  return [
    {
      check,
      state: leftMs > 0 ? 'warning' : 'bad',
      detail: leftMs > 0 ? `ends in ${days} days` : 'has ended',
      hint: 'renew admin.certificate, then reload (SIGHUP), or restart the unit where it is a `credential:`',
    },
  ];
}
