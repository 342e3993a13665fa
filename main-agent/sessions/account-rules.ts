import { isExpired, type EffectiveUser, type LoginHours } from '#main-agent/users/effective-user.ts';
import type { Protocol } from '#shared/login.ts';
import { isInNetworks } from '#shared/networks.ts';

/**
 * What a user's file says about whether the account works at all: status, expiry, places, hours, protocols. Judged
 * at login and again while the session lives.
 */

/** The rule that shuts the account here and now, for the admin; undefined = it works. */
export function findAccountProblem(
  user: EffectiveUser,
  {
    protocol,
    clientIp,
    nowMs,
  }: { readonly protocol: Protocol; readonly clientIp: string; readonly nowMs: number },
): string | undefined {
  if (user.status !== 'active') return 'status is disabled';
  if (isExpired(user.expires, nowMs)) return `expired after ${user.expires}`;
  if (!user.protocols.includes(protocol)) return `protocol ${protocol} is not among the user's`;
  if (user.allowFrom !== undefined && !isInNetworks(clientIp, user.allowFrom))
    return `${clientIp} is not in allow_from`;
  if (user.hours !== undefined && !isWithinHours(user.hours, nowMs)) return 'outside the login hours';
  return undefined;
}

/** Is the admin's `required_on` in force yet? */
function isRequirementInForce(
  requiredFrom: EffectiveUser['twoFactor']['requiredFrom'],
  { nowMs, firstLoginAtMs }: { readonly nowMs: number; readonly firstLoginAtMs: number | undefined },
): boolean {
  const fromMs = requirementStartMs(requiredFrom, { nowMs, firstLoginAtMs });
  return fromMs === undefined || nowMs >= fromMs;
}

/** When the requirement begins; undefined = it always held. A grace that has not begun begins now. */
export function requirementStartMs(
  requiredFrom: EffectiveUser['twoFactor']['requiredFrom'],
  { nowMs, firstLoginAtMs }: { readonly nowMs: number; readonly firstLoginAtMs: number | undefined },
): number | undefined {
  if (requiredFrom === undefined) return undefined;
  if ('date' in requiredFrom) return Date.parse(`${requiredFrom.date}T00:00:00Z`);
  return (firstLoginAtMs ?? nowMs) + requiredFrom.graceMs;
}

/** U of the decision table: the admin's wish once it is in force, and what the user's own set-up switched on. */
export function isFactorRequired(
  user: EffectiveUser,
  enrolmentRequiredOn: readonly Protocol[],
  protocol: Protocol,
  times: { readonly nowMs: number; readonly firstLoginAtMs: number | undefined },
): boolean {
  if (enrolmentRequiredOn.includes(protocol)) return true;
  const { requiredOn, requiredFrom } = user.twoFactor;
  return requiredOn.includes(protocol) && isRequirementInForce(requiredFrom, times);
}

const weekdays = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** `from` is inside, `to` is not. A window over midnight belongs to the day it begins on. */
export function isWithinHours(hours: LoginHours, nowMs: number): boolean {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: hours.zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(nowMs);
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
  const day = weekdays.indexOf(part('weekday')) + 1;
  const minute = Number(part('hour')) * 60 + Number(part('minute'));
  const { days, fromMinute, toMinute } = hours;
  if (fromMinute < toMinute) return days.includes(day) && minute >= fromMinute && minute < toMinute;
  if (minute >= fromMinute) return days.includes(day);
  const yesterday = day === 1 ? 7 : day - 1;
  return minute < toMinute && days.includes(yesterday);
}
