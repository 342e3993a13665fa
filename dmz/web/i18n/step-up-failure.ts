import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { Formats } from '#dmz/web/format/formats.ts';
import { describeCodeFailure } from '#dmz/web/i18n/code-failure.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { newPasswordCharactersMin, rsaBitsMin } from '#dmz/web/limits.ts';

/** Why a change of the account was refused, and what to do. */
export function describeStepUpFailure(
  problem: ApiProblem,
  words: Catalogue,
  formats: Formats,
  nowMs: number,
): string {
  switch (problem.details.reason) {
    case 'wrong-password':
      return words.stepUp.wrongPassword;
    case 'code-required':
      return words.code.missing;
    case 'weak-password':
      return describeWeakPassword(problem, words);
    case 'exists':
      return words.sshKeys.known;
    case 'not-allowed':
      return words.stepUp.notAllowed;
    case 'weak-key':
      return describeWeakKey(problem, words);
    case 'bad-request':
      return words.sshKeys.refused;
    case undefined:
    default:
      return describeCodeFailure(problem, 'app', words, formats, nowMs);
  }
}

export function describeWeakPassword(
  { details: { weakness, minimum } }: ApiProblem,
  words: Catalogue,
): string {
  const { weak } = words.password;
  switch (weakness) {
    case 'too-short':
      return words.password.short(minimum ?? newPasswordCharactersMin);
    case 'too-long':
      return weak.tooLong;
    case 'common':
      return weak.common;
    case 'user-name':
      return weak.username;
    case 'unchanged':
      return weak.unchanged;
    case undefined:
    default:
      return weak.other;
  }
}

function describeWeakKey({ details: { weakness, minimum } }: ApiProblem, words: Catalogue): string {
  switch (weakness) {
    case 'key-type':
      return words.sshKeys.otherType;
    case 'key-too-short':
      return words.sshKeys.short(minimum ?? rsaBitsMin);
    case 'key-comment':
      return words.sshKeys.longComment;
    case undefined:
    default:
      return words.sshKeys.refused;
  }
}
