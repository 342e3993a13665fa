import type { Http } from '#dmz/web/api/http.ts';

/** The sign-in state machine of the server, call by call. */

export interface Challenge {
  readonly method: 'totp' | 'email' | 'sms';
  /** Masked address, or empty. */
  readonly hint: string;
  /** Whether a recovery code is accepted. */
  readonly recovery: boolean;
  /** Only a code that the administrator gave is accepted. */
  readonly given?: boolean;
  /** This browser may be remembered: its next sign-ins ask for no code. */
  readonly remember_device?: boolean;
  readonly attempts_left: number;
  /** Seconds. */
  readonly expires_in: number;
  /** Seconds since the code that lives was sent; absent for a delivered code: none could be sent yet. */
  readonly sent_ago?: number;
  /** Seconds until another code may be sent; only for delivered codes. */
  readonly resend_in?: number;
}

type SignInStep =
  | { readonly state: 'signed-in' }
  | { readonly state: 'code-required'; readonly challenge: Challenge }
  | { readonly state: 'setup-required' };

export async function postLogin(http: Http, username: string, password: string): Promise<SignInStep> {
  return http.call<SignInStep>({ method: 'POST', path: '/api/login', json: { username, password } });
}

/** What the half session of this browser waits for. Rejects 401 when there is none. */
export async function getCode(
  http: Http,
): Promise<{ readonly username: string; readonly challenge: Challenge }> {
  return http.call({ method: 'GET', path: '/api/login/code' });
}

export async function postCode(http: Http, code: string, rememberDevice: boolean): Promise<void> {
  const remember = rememberDevice ? { remember_device: true } : {};
  await http.call({ method: 'POST', path: '/api/login/code', json: { code, ...remember } });
}

export async function postResend(http: Http): Promise<void> {
  await http.call({ method: 'POST', path: '/api/login/resend' });
}

export async function postLogout(http: Http): Promise<void> {
  await http.call({ method: 'POST', path: '/api/logout' });
}
