import type { ChallengeView } from '#shared/link/messages.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import { waiverName, type Challenge, type ChallengeNext, type Challenges } from './challenges.ts';

type Asked = NonNullable<ChallengeView['asked']>;

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly challenges: Challenges;
  readonly delivered: DeliveredCodes;
}

/** A challenge as the node may see it. */
export function viewChallenge(parts: Parts, record: Challenge): ChallengeView {
  const { next } = record;
  const view = {
    challenge: record.id,
    nonce: record.nonce,
    expiresInMs: parts.challenges.leftMs(record),
    username: record.username,
  };
  switch (next.kind) {
    case 'admit':
      return {
        ...view,
        next: 'admit',
        admitAs: next.waiver === undefined ? 'none' : waiverName(next.waiver),
      };
    case 'code':
      // The code came inside the password: nothing is left to ask.
      if (record.enclosedCode !== undefined) return { ...view, next: 'admit', admitAs: 'none' };
      return {
        ...view,
        next: 'code',
        asked: {
          ...viewAsked(parts, record, next),
          ...(mayBeRemembered(parts, record, next) ? { rememberDevice: true } : {}),
        },
      };
    case 'setup':
      return { ...view, next: 'setup' };
    case 'instruct':
      return { ...view, next: 'instruct' };
  }
}

function mayBeRemembered(
  { config }: Parts,
  { protocol }: Challenge,
  next: Extract<ChallengeNext, { kind: 'code' }>,
): boolean {
  return (
    config.twoFactor.rememberDeviceMs !== undefined &&
    protocol === 'https' &&
    next.leadsTo === 'admit' &&
    next.ask !== 'bypass'
  );
}

function viewAsked(
  { config, delivered }: Parts,
  record: Challenge,
  next: Extract<ChallengeNext, { kind: 'code' }>,
): Asked {
  const { attemptsLeft } = record;
  const { totp, delivered: settings } = config.twoFactor;
  // Always offered: whether a bypass code is outstanding is nobody's business.
  const bypass = 'bypass' as const;
  if (next.ask === 'bypass') {
    return { method: 'totp', hint: '', recovery: false, attemptsLeft, shapes: [bypass] };
  }
  if (next.recipient === undefined) {
    const digits = totp.digits === 6 ? ('digits6' as const) : ('digits8' as const);
    const shapes: Asked['shapes'] = next.recovery ? [digits, 'recovery', bypass] : [digits, bypass];
    return { method: 'totp', hint: '', recovery: next.recovery, attemptsLeft, shapes };
  }
  const view = delivered.view(next.recipient);
  const { length } = settings;
  const digits = settings.charset === 'digits' && (length === 6 || length === 8);
  return {
    method: view.method,
    hint: view.hint,
    recovery: false,
    attemptsLeft,
    resendInMs: view.resendInMs,
    ...(view.sentAgoMs !== undefined && { sentAgoMs: view.sentAgoMs }),
    shapes: [digits ? (length === 6 ? 'digits6' : 'digits8') : 'alphanumeric', bypass],
    deliveredLength: length,
  };
}
