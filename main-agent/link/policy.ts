/** What main tells its nodes to enforce at the door, as one control message can carry it. */
import type { Bans } from '#main-agent/bans/bans.ts';
import type { Branding } from '#main-agent/config-branding.ts';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import { eventSchemas, type Policy } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';

/** Room for everything but the bans, and for the envelope: a logo is 43 KiB of it. */
const restBytesMax = 128 * 1024;

/** Drops the bans that end first when they don't all fit: about 4,000 do. */
export function fitPolicy(policy: Policy, log: Log): Policy {
  const bansBytesMax = controlMessageBytesMax - restBytesMax;
  if (Buffer.byteLength(JSON.stringify(policy.bans)) <= bansBytesMax) return policy;
  const longestFirst = policy.bans.toSorted((one, other) => other.untilMs - one.untilMs);
  const bans: Policy['bans'] = [];
  let bytes = 0;
  for (const ban of longestFirst) {
    bytes += Buffer.byteLength(JSON.stringify(ban)) + 1;
    if (bytes > bansBytesMax) break;
    bans.push(ban);
  }
  log.warn({ bans: policy.bans.length, sent: bans.length }, 'link: too many bans for one message');
  return { ...policy, bans };
}

interface PolicySettings {
  readonly twoFactor: { readonly validatedLogins: boolean };
  readonly bans: { readonly neverBan: readonly string[] };
  readonly branding: Omit<Branding, 'logo'>;
}

/** Where main-agent.yaml says what a part of the policy is; nowhere: it is no setting. */
const settingOf: Record<keyof Policy, readonly string[]> = {
  validatedLogins: ['two_factor', 'validated_logins'],
  branding: ['branding'],
  neverBan: ['bans', 'never_ban'],
  bans: [],
  lifted: [],
};

/** What of a configuration the nodes could not be told: the link would end with every try. */
export function whyNotTold(
  settings: PolicySettings,
): readonly { readonly path: PropertyKey[]; readonly message: string }[] {
  const policy = buildPolicy(settings, undefined, { forPolicy: () => ({ bans: [] }) });
  const issues = eventSchemas.policy.safeParse(policy).error?.issues ?? [];
  return issues.map(({ path: [part, ...rest], message }) => ({
    path: [...(Object.entries(settingOf).find(([key]) => key === part)?.[1] ?? []), ...rest],
    message: `what a node can be told: ${message}`,
  }));
}

export function buildPolicy(
  config: PolicySettings,
  logo: Policy['branding']['logo'],
  bans: Pick<Bans, 'forPolicy'>,
): Policy {
  const { name, banner, accent, help } = config.branding;
  return {
    validatedLogins: config.twoFactor.validatedLogins,
    branding: {
      name,
      ...(banner !== undefined && { banner }),
      ...(accent !== undefined && { accent }),
      ...(logo !== undefined && { logo }),
      ...(help !== undefined && { help }),
    },
    neverBan: [...config.bans.neverBan],
    ...bans.forPolicy(),
  };
}
