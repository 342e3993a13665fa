import type { ChallengeView } from '#shared/link/messages.ts';
import { isGivenOnly } from '#dmz/login/code-shape.ts';
import type { Again } from '#dmz/login/login-service.ts';

/**
 * What SSH users read. In the code round the word for the first factor never stands: Cyberduck answers any prompt that
 * has it with the saved one, and WinSCP any hidden prompt, so the code is asked with echo on. What helps goes into the
 * instruction, which is what FileZilla shows.
 */
export const passwordPrompt = { text: 'Password: ', echo: false } as const;
export const codePrompt = { text: 'Verification code: ', echo: true } as const;

type Asked = NonNullable<ChallengeView['asked']>;

/** The same for everybody: what is not to be known before the end is not said either. */
function sealedInstruction({ resendInMs }: Asked): string {
  const sent = resendInMs === undefined ? '' : ' or the one that is being sent to you';
  return `Enter the code from your authenticator app${sent}, or a recovery code. If you use none, just go on.`;
}

export function codeInstruction(asked: Asked): string {
  if (asked.sealed === true) return sealedInstruction(asked);
  const recovery = asked.recovery ? ' A recovery code is accepted too.' : '';
  return `${whereFrom(asked)}${recovery}`;
}

function whereFrom(asked: Asked): string {
  if (isGivenOnly(asked)) return 'Enter the code that your administrator gave you.';
  if (asked.method === 'totp') return 'Enter the code from your authenticator app.';
  const by = asked.method === 'email' ? 'by e-mail' : 'by text message';
  const to = asked.hint === '' ? '' : ` to ${asked.hint}`;
  if (asked.sentAgoMs === undefined) {
    const wait = Math.ceil((asked.resendInMs ?? 0) / 1000);
    return `No code could be sent ${by}${to} so soon after the last one. Connect again in ${wait} s.`;
  }
  const seconds = Math.round(asked.sentAgoMs / 1000);
  const when = seconds < 5 ? 'just now' : `${seconds} s ago`;
  return `Enter the code that was sent ${by}${to} ${when}.`;
}

export function againInstruction(asked: Asked, again: Again): string {
  const left = `${again.attemptsLeft} ${again.attemptsLeft === 1 ? 'try' : 'tries'} left.`;
  return `${reasonText(again, asked.method)} ${left}\n${codeInstruction(asked)}`;
}

function reasonText(again: Again, method: Asked['method']): string {
  switch (again.reason) {
    case 'wrong-code':
      return 'That code is wrong.';
    case 'used-code':
      return method === 'totp'
        ? 'That code was used already: wait for the next one.'
        : 'That code was used already. Connect again to be sent another.';
    case 'clock-drift': {
      const seconds = Math.round(Math.abs(again.driftSeconds ?? 0));
      const which = (again.driftSeconds ?? 0) < 0 ? 'slow' : 'fast';
      return `Your device's clock is about ${seconds} s ${which}: set it right, then use the next code.`;
    }
  }
}

export function setupInstruction(publicUrl: string): string {
  return `Two-factor authentication must be set up before files can be reached this way. Sign in at ${publicUrl} to do so, then connect again.`;
}

/** The key stands in groups of four, as apps show it; every app reads it without the blanks. */
export function proofInstruction(secret: string, withinMs: number): string {
  const key = secret.replaceAll(/.{4}(?=.)/g, '$& ');
  return [
    'Two-factor authentication must be set up now. Add an account to your authenticator app with this key (time-based):',
    key,
    `Then enter the code that the app shows, within ${Math.round(withinMs / 1000)} s.`,
    'Whoever reads the key can make your codes: if your program keeps a log of this dialogue, delete it.',
  ].join('\n');
}

export function proofAgainInstruction(again: Again): string {
  const left = `${again.attemptsLeft} ${again.attemptsLeft === 1 ? 'try' : 'tries'} left.`;
  return `That code is wrong. ${left}\nEnter the code that your authenticator app shows for the new account.`;
}

export function enrolledText(recoveryCodes: readonly string[]): string {
  const done = 'Two-factor authentication is set up.';
  if (recoveryCodes.length === 0) return done;
  return [
    `${done} Keep these recovery codes in a safe place; each replaces one code of the app, and they are not shown again:`,
    ...recoveryCodes,
  ].join('\n');
}

export const lostInstruction = 'The file service was away for a moment. Please sign in again.';

export const deliveryFailedInstruction =
  'Your code could not be sent. Try again in a few minutes, or ask your administrator.';

export const unreachableText = 'The file service can not be reached right now. Try again in a minute.';
export const tooManyFailuresText = 'Too many authentication failures';
export const tooSlowText = 'Login took too long';
export const tooManyWaitingText = 'Too many logins of yours wait for a code';

/** The words are main's or this node's, made for strangers; OpenSSH, PuTTY and the graphical clients show them. */
export function turnedAwayText(words: string, retryAfterMs: number | undefined): string {
  return retryAfterMs === undefined ? words : `${words} (in ${Math.ceil(retryAfterMs / 1000)} s)`;
}
