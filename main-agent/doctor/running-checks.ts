import type { MainAgentConfig } from '#main-agent/config.ts';
import type { StorageSurvey } from '#main-agent/files/survey.ts';
import type { PasswordAlone } from '#main-agent/help-desk/password-alone.ts';
import type { LinkState } from '#main-agent/link/links.ts';
import type { NodeReport } from '#main-agent/link/node-admin.ts';
import { describeDeliveryProblem, type LastDelivery } from '#main-agent/notify/deliveries.ts';
import { greetingName } from '#main-agent/notify/mail.ts';
import type { OrphanedName } from '#main-agent/users/departures.ts';
import type { SourceProblem } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';
import { curesOfBox } from '#shared/health/box-checks.ts';
import type { Finding, HealthCheck } from '#shared/health/check.ts';
import { version } from '#shared/version.ts';

/** What a running main knows of itself, its nodes, its users and those it talks to. */

export interface RunningFacts {
  readonly config: MainAgentConfig;
  readonly clock: Clock;
  readonly nodes: () => readonly NodeReport[];
  readonly links: () => readonly Pick<LinkState, 'node' | 'validatedLogins' | 'wantsHostKeys'>[];
  /** What nodes say of themselves. */
  readonly nodesOwn: () => readonly (Pick<Finding, 'check' | 'detail'> & {
    readonly node: string;
    readonly state: 'warning' | 'bad';
  })[];
  readonly userProblems: () => readonly SourceProblem[];
  /** Why audit.jsonl is not being written. */
  readonly auditProblem: () => string | undefined;
  /** State or audit that was put back, until somebody acknowledges it. */
  readonly restores: () => readonly string[];
  /** Processes that show this main's key to a node. */
  readonly otherMains: () => readonly string[];
  /** Names whose users are gone, or that came back undecided. */
  readonly orphans: () => readonly OrphanedName[];
  readonly passwordAlone: () => Promise<PasswordAlone>;
  /** How the last message went, if one was sent. */
  readonly lastMail: () => LastDelivery | undefined;
  readonly lastText: () => LastDelivery | undefined;
  /** Why relay and gateway can't be reached; undefined: they can. */
  readonly mail: () => Promise<string | undefined>;
  readonly textGateway: () => Promise<string | undefined>;
  /** Why the vault is away. */
  readonly vaultProblem: () => string | undefined;
  /** SSH host keys that the vault does not open. */
  readonly hostKeyProblems: () => readonly string[];
  /** By how much the clock jumped. */
  readonly clockProblem: () => number | undefined;
  /** What phones say of main's clock. */
  readonly driftProblem: () => string | undefined;
  readonly overloadProblems: () => readonly string[];
  /** Checkpoints, webhooks, collectors. */
  readonly readerProblems: () => readonly string[];
  /** Why the authority gives no certificate for the doors. */
  readonly doorCertificateProblem: () => string | undefined;
  /** What retention rules could not delete. */
  readonly retentionProblems: () => readonly string[];
  /** Missing, forged or too many events of nodes. */
  readonly eventProblems: () => readonly string[];
  /** Nodes that know more of the audit than the audit has. */
  readonly headProblems: () => readonly string[];
  readonly surveys: () => Promise<readonly StorageSurvey[]>;
}

/** What main knows of a box is true of a node's, too. */
function cureOnBox(check: string): string | undefined {
  return curesOfBox('dmz').find(({ id }) => id === check)?.cure;
}

/** More apart and codes of the time begin to fail. */
const skewMsMax = 5_000;
/** Lanes are dialled after the link is up. */
const lanesAfterMs = 15_000;
/** Of problems in user files; the rest are counted. */
const problemsShownMax = 10;
/** Named in one line before "and … more". */
const orphansNamedMax = 5;

const enrol = "sallyport nodes enrol '<pairing line>'";
const correctFile = 'correct the file; the last good version is in force until then';
const stopOther =
  'systemctl stop main-agent on the box that should not be main; it then has no key to show. If nobody of yours started it, main’s key was copied';

const hostKeysAtMain =
  'host_key: main in its dmz.yaml, without host_keys, and restart it; or host_key: local here, and reload main';
const replaceHostKeys =
  'put the vault key or state.db back from the backup; or `sallyport hostkeys rotate NODE`: its announced key takes their place, which clients that looked know, and else a new one';

export const runningChecks: readonly HealthCheck<RunningFacts>[] = [
  {
    id: 'links',
    looksAt: 'whether each enrolled DMZ node is connected',
    cure: 'is the node running, is it reachable from main, does it trust main? `sallyport node doctor` on its box',
    affects: 'ready',
    look: ({ nodes, config }) => {
      const all = nodes();
      if (config.dmzNodes.length === 0 || all.length === 0)
        return [{ state: 'bad', detail: 'no DMZ node is enrolled', hint: enrol }];
      const isOneTrusted = all.some(({ state }) => state !== 'revoked');
      return all.map(({ name, address, state, links }) => {
        if (state === 'up') return { state: 'good', detail: `${name} is connected` };
        if (state === 'revoked')
          return {
            // Somebody's decision, and not a fault for as long as users have another way in.
            state: isOneTrusted ? 'warning' : 'bad',
            detail: `${name} is revoked`,
            hint: `take it out of dmz_nodes, pair it anew, or sallyport nodes unrevoke ${name}`,
          };
        return {
          state: 'bad',
          detail: `${name} is not connected: ${links[0]?.problem ?? 'never was'}`,
          hint: `is it running, is ${address} reachable from here, is main trusted there? sallyport node doctor on that box`,
        };
      });
    },
  },
  {
    id: 'workers',
    looksAt: 'whether each worker of a connected node has its link',
    cure: 'link ports of all workers open in the firewall rules of both boxes; `journalctl -u dmz` on the node',
    affects: 'ready',
    look: ({ nodes }) =>
      nodes()
        .filter(({ state }) => state === 'up')
        .flatMap(({ name, links }) =>
          links
            .filter(({ up }) => !up)
            .map(({ worker, problem }) => ({
              state: 'bad',
              detail: `worker ${worker} of ${name} has no link: ${problem ?? 'never had'}`,
              hint: 'are the link ports of all workers open in the firewall rules of both boxes?',
            })),
        ),
  },
  {
    id: 'lanes',
    looksAt: 'whether each link has data lanes, without which no file moves',
    cure: '`sallyport nodes list`; what is between the boxes must let several connections to the link’s port through',
    affects: 'ready',
    look: ({ nodes, clock }) =>
      nodes().flatMap(({ name, links }) =>
        links
          .filter(
            ({ up, lanes, sinceMs }) =>
              up && lanes === 0 && sinceMs !== undefined && clock.now() - sinceMs > lanesAfterMs,
          )
          .map(({ worker }) => ({
            state: 'bad',
            detail: `the link to ${name} (worker ${worker}) has no data lane: no file moves`,
            hint: 'what is between the boxes must let several connections to the link’s port through',
          })),
      ),
  },
  {
    id: 'vault',
    looksAt: "whether the vault's process is there, without which nobody can sign in",
    cure: 'journalctl -u main-agent says why it ends; who is signed in stays signed in',
    affects: 'both',
    look: ({ vaultProblem }) => {
      const why = vaultProblem();
      const problems = why === undefined ? [] : [`the vault is away, nobody can sign in: ${why}`];
      return tell(problems, 'bad', 'journalctl -u main-agent says why it ends');
    },
  },
  {
    id: 'clock-skew',
    looksAt: 'whether the clocks of main and its nodes agree to five seconds',
    cure: 'let both follow the same time servers (timedatectl)',
    affects: 'health',
    look: ({ nodes }) =>
      nodes().flatMap(({ name, links }) => {
        const skewMs = Math.max(0, ...links.map((link) => Math.abs(link.clockSkewMs ?? 0)));
        if (skewMs <= skewMsMax) return [];
        return [
          {
            state: 'bad',
            detail: `the clock of ${name} is ${Math.round(skewMs / 1000)} s from ours`,
            hint: 'let both follow the same time servers (timedatectl)',
          },
        ];
      }),
  },
  {
    id: 'versions',
    looksAt: 'whether main and its nodes run one version',
    cure: 'install the same version on both boxes',
    affects: 'health',
    look: ({ nodes }) =>
      nodes().flatMap(({ name, links }) => {
        const others = new Set(links.flatMap(({ software }) => software ?? []));
        others.delete(`sallyport ${version}`);
        return [...others].map((other) => ({
          state: 'warning',
          detail: `${name} runs ${other}, main sallyport ${version}`,
          hint: 'install the same version on both boxes',
        }));
      }),
  },
  {
    id: 'validated-logins-agree',
    looksAt: 'whether main and its nodes agree that second factors are asked for',
    cure: 'two_factor.validated_logins in main-agent.yaml and validated_logins in dmz.yaml: true in both',
    affects: 'both',
    look: ({ config, links }) => {
      const here = config.twoFactor.validatedLogins;
      const differing = links()
        .filter(({ validatedLogins }) => validatedLogins !== undefined && validatedLogins !== here)
        .map(({ node }) => node);
      const effect = here ? 'each login that needs a code' : 'every login';
      return [...new Set(differing)].map((node) => ({
        state: 'bad',
        detail: `validated_logins is ${here ? 'on' : 'OFF'} here and ${here ? 'OFF' : 'on'} on ${node}: ${effect} through it is refused`,
        hint: 'two_factor.validated_logins in main-agent.yaml and validated_logins in dmz.yaml: true in both',
      }));
    },
  },
  {
    id: 'host-keys-agree',
    looksAt: 'whether main and its nodes agree on where the SSH host keys are',
    cure: hostKeysAtMain,
    affects: 'both',
    look: ({ config, links }) => {
      const isOfMain = (node: string): boolean =>
        config.dmzNodes.some(({ name, hostKey }) => name === node && hostKey === 'main');
      const differing = links()
        .filter(({ node, wantsHostKeys }) => wantsHostKeys === false && isOfMain(node))
        .map(({ node }) => node);
      return [...new Set(differing)].map((node) => ({
        state: 'bad',
        detail: `host_key is main here and local on ${node}: key logins over SFTP through it are refused`,
        hint: hostKeysAtMain,
      }));
    },
  },
  {
    id: 'host-keys',
    looksAt: 'whether the vault key opens the SSH host keys that main has',
    cure: replaceHostKeys,
    affects: 'health',
    look: ({ hostKeyProblems }) => tell(hostKeyProblems(), 'bad', replaceHostKeys),
  },
  {
    id: 'nodes',
    looksAt: 'what nodes say is wrong with them',
    cure: '`sallyport node doctor` on the node’s box',
    affects: 'health',
    look: ({ nodesOwn }) =>
      nodesOwn().map(({ node, check, detail, state }) => ({
        state,
        detail: `${node}: ${check}: ${detail}`,
        // A node that was broken into may name a check, and not what an administrator should type.
        hint: cureOnBox(check) ?? '`sallyport node doctor` on the node’s box',
      })),
  },
  {
    id: 'other-main',
    looksAt: 'whether another process shows main’s key to a node',
    cure: stopOther,
    affects: 'health',
    look: ({ otherMains }) => tell(otherMains(), 'bad', stopOther),
  },
  {
    id: 'restored',
    looksAt: 'whether state or audit were put back from a backup',
    cure: '`sallyport audit acknowledge --reason "…"` when you know why',
    affects: 'health',
    look: ({ restores }) =>
      tell(restores(), 'bad', 'sallyport audit acknowledge --reason "…" when you know why'),
  },
  {
    id: 'audit',
    looksAt: 'whether the audit file is being written',
    cure: 'is there room on the disk, may the service write there? Nothing is lost: state.db has it',
    affects: 'health',
    look: ({ auditProblem }) => {
      const problem = auditProblem();
      if (problem === undefined) return [{ state: 'good', detail: 'is being written' }];
      return [
        {
          state: 'bad',
          detail: `the audit file is not written: ${problem}`,
          hint: 'is there room on the disk, may the service write there? Nothing is lost: state.db has it',
        },
      ];
    },
  },
  {
    id: 'audit-witnesses',
    looksAt: 'whether a node knows more of the audit than the audit has',
    cure: '`sallyport audit verify`',
    affects: 'health',
    look: ({ headProblems }) => tell(headProblems(), 'bad', 'sallyport audit verify'),
  },
  {
    id: 'collectors',
    looksAt: 'whether checkpoints, webhooks and syslog collectors take what they are sent',
    cure: 'is it up, is it reachable from main, are certificate and secret right? What is missing is sent again',
    affects: 'health',
    look: ({ readerProblems }) =>
      tell(
        readerProblems(),
        'bad',
        'is it up, is it reachable from here, are certificate and secret right? What is missing is sent again',
      ),
  },
  {
    id: 'retention',
    looksAt: 'whether retention rules could do what they say',
    cure: '`sallyport retention preview` says what each rule would do',
    affects: 'health',
    look: ({ retentionProblems }) =>
      tell(
        retentionProblems(),
        'bad',
        'sallyport retention preview says what each rule would do; the sentence, why one could not',
      ),
  },
  {
    id: 'certificate-renewal',
    looksAt: 'whether the authority (https.acme) gives the doors a new certificate in time',
    cure: 'port 80 of each name leads to a node, and main reaches the authority; `journalctl -u main-agent`',
    affects: 'health',
    look: ({ doorCertificateProblem }) =>
      tell(
        [doorCertificateProblem()],
        'bad',
        'port 80 of each name must lead to a node, and main must reach the authority; it is tried again by itself',
      ),
  },
  {
    id: 'edge-events',
    looksAt: 'whether events of nodes are missing, forged or too many',
    cure: '`sallyport audit tail --event edge.*`; a node that was broken into does this',
    affects: 'health',
    look: ({ eventProblems }) =>
      tell(
        eventProblems(),
        'bad',
        'sallyport audit tail --event "edge.*"; a node that was broken into does this',
      ),
  },
  {
    id: 'clock',
    looksAt: 'whether main’s clock jumped',
    cure: 'look at the clock (timedatectl), then `sallyport two-factor confirm-clock`',
    affects: 'health',
    look: ({ clockProblem }) => {
      const jumpedMs = clockProblem();
      if (jumpedMs === undefined) return [{ state: 'good', detail: 'runs evenly' }];
      return [
        {
          state: 'bad',
          detail: `the clock jumped by ${Math.round(jumpedMs / 1000)} s: codes of authenticator apps wait`,
          hint: 'look at the clock (timedatectl), then sallyport two-factor confirm-clock',
        },
      ];
    },
  },
  {
    id: 'phone-clocks',
    looksAt: 'whether many users’ phones say that main’s clock is wrong',
    cure: 'check main’s clock: timedatectl',
    affects: 'health',
    look: ({ driftProblem }) => tell([driftProblem()], 'bad', 'check this box’s clock: timedatectl'),
  },
  {
    id: 'capacity',
    looksAt: 'whether sign-ins are refused because main checks no more passwords a second',
    cure: 'more processors for main, or find out who tries so many: `sallyport explain login --ip ADDRESS`',
    affects: 'health',
    look: ({ overloadProblems }) =>
      tell(overloadProblems(), 'bad', 'more processors for main, or find out who tries so many in the audit'),
  },
  {
    id: 'user-files',
    looksAt: 'whether all user files can be read',
    cure: correctFile,
    affects: 'health',
    look: ({ userProblems }) => judgeUserFiles(userProblems()),
  },
  {
    id: 'given-names',
    looksAt: 'names whose users are gone or came back, and that wait for a decision',
    cure: '`sallyport two-factor orphans` lists them; `two-factor keep` or `two-factor reset` decides',
    affects: 'health',
    look: ({ orphans }) => {
      const problems = listOrphans(orphans());
      if (problems.length === 0) return [{ state: 'good', detail: 'no name waits for a decision' }];
      return tell(problems, 'bad', 'sallyport two-factor orphans lists them all');
    },
  },
  {
    id: 'password-alone',
    looksAt: 'users who are let in with a password alone',
    cure: 'two_factor.required_on: [https, sftp] with force_setup: true in _default.yaml, a group or their files',
    affects: 'health',
    look: async ({ passwordAlone }) => {
      const { count, names, isComplete } = await passwordAlone();
      if (count === 0) return [{ state: 'good', detail: 'nobody is let in with a password alone' }];
      const more = count - names.length;
      const who = `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
      return [
        {
          state: 'warning',
          detail: `${isComplete ? '' : 'at least '}${count} ${count === 1 ? 'user is' : 'users are'} let in with a password alone: ${who}`,
          hint: 'two_factor.required_on: [https, sftp] with force_setup: true in _default.yaml, a group or their files',
        },
      ];
    },
  },
  {
    id: 'mail',
    looksAt: 'whether the mail relay answers, and took the last mail',
    cure: 'host, port, tls, name, user and password_file of section smtp; may main reach it?',
    affects: 'health',
    look: (facts) => judgeMail(facts),
  },
  {
    id: 'text-messages',
    looksAt: 'whether the SMS gateway is reachable, and took the last message',
    cure: 'section sms of main-agent.yaml; `sallyport two-factor test-delivery USER` tries it',
    affects: 'health',
    look: (facts) => judgeTexts(facts),
  },
  {
    id: 'storages',
    looksAt: 'names on the storages that no client is served',
    cure: 'other programs put them there: rename or remove them on the storage',
    affects: 'health',
    look: async ({ surveys, config }) => (await surveys()).flatMap((survey) => judgeStorage(survey, config)),
  },
  {
    id: 'storage-names',
    looksAt: 'whether all names on the storages were looked at',
    cure: 'main looks on in the background; `sallyport doctor` makes it hurry',
    affects: 'health',
    look: async ({ surveys }) => {
      const some = (await surveys()).filter(({ isComplete }) => !isComplete);
      if (some.length === 0) return [{ state: 'good', detail: 'all names were looked at' }];
      const names = some.map(({ storage, looked }) => `${storage} (${looked} names so far)`);
      return { unlooked: `main looks on in the background: ${names.join(', ')}` };
    },
  },
];

function tell(
  problems: readonly (string | undefined)[],
  state: 'bad' | 'warning',
  hint: string,
): { readonly state: 'bad' | 'warning'; readonly detail: string; readonly hint: string }[] {
  return problems.flatMap((detail) => (detail === undefined ? [] : [{ state, detail, hint }]));
}

type Said = Extract<Awaited<ReturnType<HealthCheck<RunningFacts>['look']>>, readonly unknown[]>;

function judgeUserFiles(problems: readonly SourceProblem[]): Said {
  if (problems.length === 0) return [{ state: 'good', detail: 'all can be read' }];
  const more = problems.length - problemsShownMax;
  return [
    ...problems.slice(0, problemsShownMax).map(({ file, line, column, message, hint }) => ({
      state: 'bad' as const,
      detail: `${file}:${line}:${column}: ${message}`,
      hint: hint ?? correctFile,
    })),
    ...(more > 0
      ? [{ state: 'bad' as const, detail: `${more} more problems in user files`, hint: correctFile }]
      : []),
  ];
}

/** Names whose user is gone or came back, and the command that decides. */
function listOrphans(orphans: readonly OrphanedName[]): readonly string[] {
  const returned = orphans.filter(({ returnedAtMs }) => returnedAtMs !== undefined);
  const gone = orphans.filter(({ returnedAtMs }) => returnedAtMs === undefined);
  return [
    ...(returned.length === 0
      ? []
      : [
          `came back after their users had gone and open nothing until you decide: ${nameSome(returned)}: \`sallyport two-factor keep <user>\` (or \`--all\`) for the same person, \`two-factor reset <user>\` for a new one`,
        ]),
    ...(gone.length === 0
      ? []
      : [
          `users are gone and left a second factor or a token: ${nameSome(gone)}: \`sallyport two-factor reset <user>\` takes it away`,
        ]),
  ];
}

function nameSome(orphans: readonly OrphanedName[]): string {
  const names = orphans.slice(0, orphansNamedMax).map(({ username }) => username);
  const more = orphans.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const tryMail = 'sallyport two-factor test-delivery USER tries it';

async function judgeMail({ config, mail, lastMail }: RunningFacts): Promise<Said> {
  const { smtp } = config;
  if (smtp === undefined)
    return [
      {
        state: 'warning',
        detail: 'no relay is configured: no codes or notices by mail',
        hint: 'section smtp of main-agent.yaml',
      },
    ];
  const where = `${smtp.host}:${smtp.port}`;
  const problem = await mail();
  if (problem !== undefined)
    return [
      {
        state: 'bad',
        detail: `the relay ${where} can not be used: ${problem}`,
        hint: 'host, port, tls, name, user and password_file of section smtp; may this machine reach it?',
      },
    ];
  const failed = describeDeliveryProblem(lastMail());
  if (failed !== undefined)
    return [{ state: 'warning', detail: `the relay ${where} answers, and ${failed}`, hint: tryMail }];
  return [{ state: 'good', detail: `${where} answers; this host calls itself ${greetingName(smtp)} to it` }];
}

async function judgeTexts({ config, textGateway, lastText }: RunningFacts): Promise<Said | undefined> {
  if (config.sms === undefined) return undefined;
  const hint = 'section sms of main-agent.yaml; `sallyport two-factor test-delivery USER` tries it';
  const unreachable = await textGateway();
  if (unreachable !== undefined)
    return [{ state: 'bad', detail: `the SMS gateway can not be reached: ${unreachable}`, hint }];
  const last = lastText();
  const failed = describeDeliveryProblem(last);
  if (failed !== undefined) return [{ state: 'bad', detail: `the SMS gateway answers, and ${failed}`, hint }];
  const detail = last === undefined ? 'none was sent since main started' : 'the gateway took the last one';
  return [{ state: 'good', detail }];
}

const whyUnserved = {
  name: 'a name that clients could not use',
  link: 'a link',
  special: 'a special file',
  unlooked: 'a folder that main may not read, or too deep',
} as const;
const letMainLook = 'let the user `sallyport` list that folder, or move what lies too deep further up';

function judgeStorage(survey: StorageSurvey, { storages }: MainAgentConfig): Said {
  const { storage, looked, isComplete, unserved, places } = survey;
  const extent = isComplete ? `all ${looked} names` : `${looked} names so far, not all`;
  const base = storages[storage]?.base ?? storage;
  const some = places.map(({ path, kind }) => ({
    state: 'warning' as const,
    detail: `${storage}: ${kind === 'unlooked' ? 'not looked at' : 'not served'}: ${base}/${path} (${whyUnserved[kind]})`,
    hint: kind === 'unlooked' ? letMainLook : 'rename or remove it on the storage',
  }));
  if (unserved === 0)
    return [
      {
        state: 'good',
        detail: isComplete
          ? `${storage}: every name is served (${extent})`
          : `${storage}: nothing that is not served (${extent})`,
      },
      ...some,
    ];
  return [
    {
      state: 'warning',
      detail: `${storage}: ${unserved} ${unserved === 1 ? 'entry is' : 'entries are'} not served (${extent})${unserved > places.length ? '; some of them' : ''}`,
      hint: 'other programs put them there: rename or remove them on the storage; users do not see them and can not delete a folder that holds only such',
    },
    ...some,
  ];
}
