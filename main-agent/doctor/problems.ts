import type { AuditFeed } from '#main-agent/audit/feed.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { MainLinks } from '#main-agent/link/links.ts';
import type { PasswordAlone } from '#main-agent/help-desk/password-alone.ts';
import { hostOf, isPlainElsewhere } from '#main-agent/outbound/plain-http.ts';
import type { OrphanedName } from '#main-agent/users/departures.ts';
import type { NodeReport } from '#main-agent/link/node-admin.ts';

/** What an admin should know that no single part can say: shown by `sallyport status`, empty when all is well. */
export function listProblems(
  config: MainAgentConfig,
  nodes: readonly NodeReport[],
  links: MainLinks,
  feed: AuditFeed,
  userProblems: number,
): readonly string[] {
  const problems: string[] = [];
  const auditProblem = feed.problem();
  if (auditProblem !== undefined) problems.push(`the audit file is not written: ${auditProblem}`);
  if (!config.twoFactor.validatedLogins)
    problems.push('validated_logins is off: no second factor is ever asked');
  problems.push(...findDisagreements(config, links));
  if (config.dmzNodes.length === 0) problems.push('no DMZ node is enrolled');
  for (const { name, state, links: own } of nodes) {
    if (state === 'revoked') problems.push(`${name} is revoked`);
    if (state === 'down') problems.push(`${name} is not connected: ${own[0]?.problem ?? 'never was'}`);
  }
  if (userProblems > 0) problems.push(`${userProblems} problems in user files`);
  return problems;
}

/** Each node whose `validated_logins` is not main's, and what that does to logins through it. */
export function findDisagreements(config: MainAgentConfig, links: MainLinks): string[] {
  const here = config.twoFactor.validatedLogins;
  const nodes = links
    .states()
    .filter(({ validatedLogins }) => validatedLogins !== undefined && validatedLogins !== here)
    .map(({ node }) => node);
  const effect = here ? 'each login that needs a code' : 'every login';
  return [...new Set(nodes)].map(
    (node) =>
      `validated_logins is ${here ? 'on' : 'OFF'} here and ${here ? 'OFF' : 'on'} on ${node}: ${effect} through it is refused`,
  );
}

/** Named in one line before "and … more". */
const orphansNamedMax = 5;

/** Names whose user is gone or came back, and the command that decides. */
export function listOrphans(orphans: readonly OrphanedName[]): readonly string[] {
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

/** What is as somebody configured it and should not be forgotten: `status` tells it, and is well all the same. */
export interface Notice {
  readonly check: string;
  readonly detail: string;
  readonly hint: string;
}

export function listNotices(config: MainAgentConfig, alone: PasswordAlone): readonly Notice[] {
  const plain = [
    ...(config.sms === undefined ? [] : [{ check: 'sms', url: config.sms.url }]),
    ...config.events.webhooks.map(({ url }) => ({ check: 'webhook', url })),
    ...config.audit.checkpointsTo.map((url) => ({ check: 'checkpoints', url })),
  ];
  return [
    ...listPasswordAlone(alone),
    ...plain
      .filter(({ url }) => isPlainElsewhere(url))
      .map(({ check, url }) => ({
        check,
        detail: `goes to ${hostOf(url)} unencrypted (allow_plain)`,
        hint: 'an https:// address, so that nobody on the way reads or changes it',
      })),
    ...config.audit.syslog
      .filter(({ ca }) => ca === undefined)
      .map(({ host, port }) => ({
        check: 'syslog',
        detail: `${host}:${port} may show a certificate of any authority this machine trusts`,
        hint: 'the authority of the collector as `ca` in audit.syslog, so that nobody else can take the audit for it',
      })),
  ];
}

function listPasswordAlone({ count, names, isComplete }: PasswordAlone): readonly Notice[] {
  if (count === 0) return [];
  const more = count - names.length;
  const who = `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return [
    {
      check: 'password alone',
      detail: `${isComplete ? '' : 'at least '}${count} ${count === 1 ? 'user is' : 'users are'} let in with a password alone: ${who}`,
      hint: 'two_factor.required_on: [https, sftp] with force_setup: true in _default.yaml, a group or their files',
    },
  ];
}
