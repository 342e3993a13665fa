import type {
  Enrolled,
  Setup,
  SetupConfirmed,
  SetupProgress,
  SetupProof,
  SetupStart,
} from '#dmz/http-api/sign-in.ts';
import type { Http } from '#dmz/web/api/http.ts';

/** Setting up the second factor: show, confirm, prove. */

/** `ticket`: the administrator's one-time code, where a set-up needs one. */
export async function postSetup(http: Http, ticket: string | undefined): Promise<Setup> {
  return http.call<Setup>({
    method: 'POST',
    path: '/api/two-factor/setup',
    ...(ticket === undefined ? {} : { json: { ticket } satisfies SetupStart }),
  });
}

/** Of a set-up that was confirmed before the page was loaded again: seconds in which one code must be typed. */
export async function getConfirmedSetup(http: Http): Promise<number | undefined> {
  const { prove_within: seconds } = await http.call<SetupProgress>({
    method: 'GET',
    path: '/api/two-factor/setup',
  });
  return seconds;
}

/** Seconds in which one code must be typed. */
export async function postSetupConfirm(http: Http): Promise<number> {
  const answer = await http.call<SetupConfirmed>({
    method: 'POST',
    path: '/api/two-factor/setup/confirm',
  });
  return answer.prove_within;
}

export async function postSetupProve(http: Http, code: string): Promise<Enrolled> {
  return http.call<Enrolled>({
    method: 'POST',
    path: '/api/two-factor/setup/prove',
    json: { code } satisfies SetupProof,
  });
}
