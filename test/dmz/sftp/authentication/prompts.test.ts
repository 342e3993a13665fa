import { describe, expect, it } from 'vitest';
import type { Again } from '#dmz/login/login-service.ts';
import {
  againInstruction,
  codeInstruction,
  enrolledText,
  proofAgainInstruction,
  proofInstruction,
  turnedAwayText,
} from '#dmz/sftp/authentication/prompts.ts';

type Asked = Parameters<typeof codeInstruction>[0];

const app: Asked = { method: 'totp', hint: '', recovery: false, attemptsLeft: 5, shapes: ['digits6'] };
const mail: Asked = { ...app, method: 'email', hint: 'i…@example.com', deliveredLength: 6, sentAgoMs: 0 };
const again = (reason: Again['reason'], more: Partial<Again> = {}): Again => ({
  outcome: 'again',
  reason,
  attemptsLeft: 2,
  ...more,
});

describe('whoever is asked for a code reads where it comes from', () => {
  it.each<[string, Partial<Asked>, string]>([
    ['an app', app, 'Enter the code from your authenticator app.'],
    ['an e-mail', {}, 'Enter the code that was sent by e-mail to i…@example.com just now.'],
    ['a text', { method: 'sms' }, 'Enter the code that was sent by text message to i…@example.com just now.'],
    ['an address that is not shown', { hint: '' }, 'Enter the code that was sent by e-mail just now.'],
    ['an administrator', { shapes: ['bypass'] }, 'Enter the code that your administrator gave you.'],
  ])('%s', (_from, difference, text) => {
    expect(codeInstruction({ ...mail, ...difference })).toBe(text);
  });

  it('and that a recovery code will do, if it will', () => {
    expect(codeInstruction({ ...app, recovery: true })).toBe(
      'Enter the code from your authenticator app. A recovery code is accepted too.',
    );
  });

  it.each([
    [4499, 'just now'],
    [4500, '5 s ago'],
    [61_400, '61 s ago'],
  ])('sent %i ms ago is %s', (sentAgoMs, when) => {
    expect(codeInstruction({ ...mail, sentAgoMs })).toMatch(new RegExp(` ${when}\\.$`));
  });

  it('when none could be sent yet: how long to wait, in seconds that are never too few', () => {
    const { sentAgoMs: _, ...unsent } = mail;
    expect(codeInstruction({ ...unsent, resendInMs: 20_001 })).toBe(
      'No code could be sent by e-mail to i…@example.com so soon after the last one. Connect again in 21 s.',
    );
  });
});

describe('whoever gave a wrong code reads why, how many tries are left, and the question anew', () => {
  it.each<[string, Asked, Again]>([
    ['That code is wrong. 2 tries left.', app, again('wrong-code')],
    ['That code is wrong. 1 try left.', app, again('wrong-code', { attemptsLeft: 1 })],
    ['That code was used already: wait for the next one. 2 tries left.', app, again('used-code')],
    ['That code was used already. Connect again to be sent another. 2 tries left.', mail, again('used-code')],
    ...(
      [
        ['65 s slow', -65.4],
        ['1 s fast', 0.5],
        ['0 s fast', 0],
        ['90 s fast', 90.4],
      ] as const
    ).map(([drift, driftSeconds]): [string, Asked, Again] => [
      `Your device's clock is about ${drift}: set it right, then use the next code. 2 tries left.`,
      app,
      again('clock-drift', { driftSeconds }),
    ]),
  ])('%s', (text, asked, wrong) => {
    expect(againInstruction(asked, wrong)).toBe(`${text}\n${codeInstruction(asked)}`);
  });
});

describe('set-up inside the login says', () => {
  it('in whole seconds how long the proof may take', () => {
    expect(proofInstruction('ABCDEFGH', 119_600)).toContain(
      '\nABCD EFGH\nThen enter the code that the app shows, within 120 s.\n',
    );
  });

  it.each([
    [2, '2 tries left.'],
    [1, '1 try left.'],
  ])('with %i tries left: %s', (attemptsLeft, left) => {
    expect(proofAgainInstruction(again('wrong-code', { attemptsLeft }))).toContain(
      `That code is wrong. ${left}\n`,
    );
  });

  it('nothing of recovery codes where there are none', () => {
    expect(enrolledText([])).toBe('Two-factor authentication is set up.');
  });
});

describe('whoever is turned away reads main’s words', () => {
  it.each([
    [undefined, 'Too many sessions'],
    [1001, 'Too many sessions (in 2 s)'],
  ])('after %s ms: %s', (retryAfterMs, text) => {
    expect(turnedAwayText('Too many sessions', retryAfterMs)).toBe(text);
  });
});
