import type { Account } from '#dmz/http-api/account.ts';
import type { Http } from '#dmz/web/api/http.ts';

/** Who is signed in, and what they may do. */
export async function getAccount(http: Http): Promise<Account> {
  return http.call<Account>({ method: 'GET', path: '/api/me' });
}
