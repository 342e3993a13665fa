import type { NodeReport } from '#main-agent/admin/ports.ts';
import type { AuditFeed } from '#main-agent/audit/feed.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { MainLinks } from '#main-agent/link/links.ts';

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
