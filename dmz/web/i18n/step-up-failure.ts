import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { Formats } from '#dmz/web/format/formats.ts';
import { describeCodeFailure } from '#dmz/web/i18n/code-failure.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';

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
      return words.password.weak;
    case 'exists':
      return words.sshKeys.known;
    case 'not-allowed':
      return words.stepUp.notAllowed;
    case 'weak-key':
    case 'bad-request':
      return words.sshKeys.refused;
    case undefined:
    default:
      return describeCodeFailure(problem, 'app', words, formats, nowMs);
  }
}
