/** What main tells its nodes to enforce at the door, as one control message can carry it. */
import type { Bans } from '#main-agent/bans/bans.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import type { Policy } from '#shared/link/messages.ts';
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

export function buildPolicy(
  config: MainAgentConfig,
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
