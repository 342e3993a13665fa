import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { Formats } from '#dmz/web/format/formats.ts';
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

/** As `describeFailure`, for a download that was asked for. */
export function describeDownloadFailure(problem: ApiProblem, words: Catalogue, formats: Formats): string {
  const { reason, bound, maximum = 0, retryAfterMs = 0 } = problem.details;
  if (reason === 'busy') return words.download.busy;
  if (reason === 'no-files') return words.download.noFiles;
  if (reason === 'rate-limited') return words.download.tooFast(formats.duration(retryAfterMs / 1000));
  switch (bound) {
    case undefined:
      return problem.status === 403 ? words.download.unreadable : describeFailure(problem, words);
    case 'entries':
      return words.download.tooManyFiles(formats.number(maximum));
    case 'names':
      return words.download.tooManyNames(formats.number(maximum));
    case 'depth':
      return words.download.tooDeep;
    case 'archives':
      return words.download.others;
    default:
      return words.failure.other;
  }
}
