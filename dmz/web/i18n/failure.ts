import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';

/** What to tell a person when something with files didn't work: one sentence, what to do. */
export function describeFailure(problem: ApiProblem, words: Catalogue): string {
  if (problem.isOutage) return words.failure.outage;
  if (problem.details.reason === 'bad-path') return words.name.refused;
  switch (problem.status) {
    case 403:
      return words.failure.forbidden;
    case 404:
    case 410:
      return words.failure.missing;
    case 409:
      return words.failure.conflict;
    case 412:
      return words.failure.changed;
    case 507:
      return words.failure.quota;
    default:
      return words.failure.other;
  }
}
