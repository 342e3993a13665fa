import type { Account } from '#dmz/http-api/account.ts';
import type {
  CodeEntry,
  LinkedPassword,
  Login,
  LoginAnswer,
  PasswordSet,
  PendingCode,
} from '#dmz/http-api/sign-in.ts';
import type { Http } from '#dmz/web/api/http.ts';

/** The sign-in state machine of the server, call by call. */

export async function postLogin(http: Http, username: string, password: string): Promise<LoginAnswer> {
  return http.call<LoginAnswer>({
    method: 'POST',
    path: '/api/login',
    json: { username, password } satisfies Login,
  });
}

/** What the half session of this browser waits for. Rejects 401 when there is none. */
export async function getCode(http: Http): Promise<PendingCode> {
  return http.call({ method: 'GET', path: '/api/login/code' });
}

export async function postCode(http: Http, code: string, rememberDevice: boolean): Promise<void> {
  const remember = rememberDevice ? { remember_device: true } : {};
  await http.call({
    method: 'POST',
    path: '/api/login/code',
    json: { code, ...remember } satisfies CodeEntry,
  });
}

export async function postResend(http: Http): Promise<void> {
  await http.call({ method: 'POST', path: '/api/login/resend' });
}

/** By a mailed link; nobody is signed in by it. */
export async function postLinkedPassword(http: Http, token: string, password: string): Promise<PasswordSet> {
  return http.call<PasswordSet>({
    method: 'POST',
    path: '/api/password/set',
    json: { token, password } satisfies LinkedPassword,
  });
}

export async function postLogout(http: Http): Promise<void> {
  await http.call({ method: 'POST', path: '/api/logout' });
}

/** Who is signed in, and what they may do. */
export async function getAccount(http: Http): Promise<Account> {
  return http.call<Account>({ method: 'GET', path: '/api/me' });
}
