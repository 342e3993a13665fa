import type { Http } from '#dmz/web/api/http.ts';
import type { Grant } from '#dmz/web/files/rights.ts';

/** Who is signed in, and what they may do. */

export type Protocol = 'https' | 'sftp';

export interface Account {
  readonly username: string;
  readonly display_name: string;
  readonly state: 'signed-in' | 'setup-required';
  readonly two_factor: {
    readonly enrolled: boolean;
    readonly required_on: readonly Protocol[];
    readonly registration: boolean;
    /** Here and now: also to replace the present one, with a code from the administrator. */
    readonly may_set_up: boolean;
    readonly recovery_codes_left: number;
    readonly required_from?: string;
  };
  readonly may: { readonly password: boolean; readonly ssh_keys: boolean };
  /** What may be done where. */
  readonly files: readonly Grant[];
  /** `limit_bytes` absent: unlimited. */
  readonly quota: { readonly used_bytes: number; readonly limit_bytes?: number };
  readonly session: {
    readonly started_at: string;
    /** What the sign-in was proven with, besides the password. */
    readonly method?: string;
    /** Without use it ends after so many seconds; whatever happens, `expires_in` seconds from now. */
    readonly idle_seconds: number;
    readonly expires_in: number;
  };
  /** Something the administrator wants this person to know. */
  readonly notice?: string;
}

export async function getAccount(http: Http): Promise<Account> {
  return http.call<Account>({ method: 'GET', path: '/api/me' });
}
