import type { ChallengeView } from '#shared/link/messages.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Clock } from '#shared/clock.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import { waiverName, type Challenge, type ChallengeNext, type Challenges } from './challenges.ts';

type Asked = NonNullable<ChallengeView['asked']>;

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly challenges: Challenges;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/** A challenge as the node may see it. */
export function viewChallenge(parts: Parts, record: Challenge): ChallengeView {
  const { next } = record;
  const view = {
    challenge: record.id,
    nonce: record.nonce,
    expiresInMs: parts.challenges.leftMs(record),
    username: record.shownName,
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
    case 'sealed':
      return { ...view, next: 'code', asked: viewSealed(parts, record, next) };
  }
}

/** The same for everybody: whatever may be an answer to anybody. */
function viewSealed(
  { config, clock, delivered }: Parts,
  { attemptsLeft, protocol }: Challenge,
  { resendAtMs }: Extract<ChallengeNext, { kind: 'sealed' }>,
): Asked {
  const { totp, delivered: settings, rememberDeviceMs } = config.twoFactor;
  const shapes: Asked['shapes'] = [totpShape(totp)];
  if (delivered.isConfigured) shapes.push(deliveredShape(settings));
  return {
    sealed: true,
    method: 'totp',
    hint: '',
    recovery: true,
    attemptsLeft,
    shapes: [...new Set([...shapes, 'recovery', 'bypass'] as const)],
    ...(delivered.isConfigured && {
      resendInMs: Math.max(0, resendAtMs - clock.monotonic()),
      deliveredLength: settings.length,
    }),
    ...(rememberDeviceMs !== undefined && protocol === 'https' && { rememberDevice: true as const }),
  };
}

function totpShape({ digits }: { readonly digits: number }): 'digits6' | 'digits8' {
  return digits === 6 ? 'digits6' : 'digits8';
}

function deliveredShape({
  charset,
  length,
}: Pick<MainAgentConfig['twoFactor']['delivered'], 'charset' | 'length'>): Asked['shapes'][number] {
  if (charset === 'digits' && length === 6) return 'digits6';
  return charset === 'digits' && length === 8 ? 'digits8' : 'alphanumeric';
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
    const digits = totpShape(totp);
    const shapes: Asked['shapes'] = next.recovery ? [digits, 'recovery', bypass] : [digits, bypass];
    return { method: 'totp', hint: '', recovery: next.recovery, attemptsLeft, shapes };
  }
  const view = delivered.view(next.recipient);
  return {
    method: view.method,
    hint: view.hint,
    recovery: false,
    attemptsLeft,
    resendInMs: view.resendInMs,
    ...(view.sentAgoMs !== undefined && { sentAgoMs: view.sentAgoMs }),
    shapes: [deliveredShape(settings), bypass],
    deliveredLength: settings.length,
  };
}
