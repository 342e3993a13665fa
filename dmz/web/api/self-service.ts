import type {
  NewSshKey,
  OwnDevices,
  OwnLeases,
  OwnSessions,
  OwnSshKey,
  OwnSshKeys,
  PasswordChange,
  RecoveryCodes,
  StepUp as StepUpBody,
} from '#dmz/http-api/account.ts';
import type { Http } from '#dmz/web/api/http.ts';

/** What people can see and change about their own account. Every change of credentials takes a step-up. */

/** The password again, and a new code from who is enrolled. */
export interface StepUp {
  readonly password: string;
  readonly code: string;
}

type Listed = 'sessions' | 'leases' | 'devices' | 'ssh-keys';

export async function listOwn(http: Http): Promise<OwnSessions & OwnLeases & OwnDevices> {
  const get = <T>(what: Listed): Promise<T> => http.call<T>({ method: 'GET', path: `/api/me/${what}` });
  const [sessions, leases, devices] = await Promise.all([
    get<OwnSessions>('sessions'),
    get<OwnLeases>('leases'),
    get<OwnDevices>('devices'),
  ]);
  return { ...sessions, ...leases, ...devices };
}

export async function listSshKeys(http: Http): Promise<readonly OwnSshKey[]> {
  const body = await http.call<OwnSshKeys>({
    method: 'GET',
    path: '/api/me/ssh-keys',
  });
  return body.ssh_keys;
}

export async function endOwn(http: Http, what: Exclude<Listed, 'ssh-keys'>, id: string): Promise<void> {
  await http.call({ method: 'DELETE', path: `/api/me/${what}/${id}` });
}

export async function changePassword(http: Http, value: string, proof: StepUp): Promise<void> {
  await http.call({
    method: 'POST',
    path: '/api/me/password',
    json: { current: proof.password, new: value } satisfies PasswordChange,
    headers: codeHeader(proof),
  });
}

export async function renewRecoveryCodes(http: Http, proof: StepUp): Promise<readonly string[]> {
  const body = await http.call<RecoveryCodes>({
    method: 'POST',
    path: '/api/two-factor/recovery-codes',
    json: { current: proof.password } satisfies StepUpBody,
    headers: codeHeader(proof),
  });
  return body.recovery_codes;
}

export async function addSshKey(http: Http, key: string, proof: StepUp): Promise<void> {
  await http.call({
    method: 'POST',
    path: '/api/me/ssh-keys',
    json: { key, current: proof.password } satisfies NewSshKey,
    headers: codeHeader(proof),
  });
}

export async function removeSshKey(http: Http, id: string, proof: StepUp): Promise<void> {
  await http.call({
    method: 'DELETE',
    path: `/api/me/ssh-keys/${id}`,
    headers: { 'Sallyport-Password': encodeURIComponent(proof.password), ...codeHeader(proof) },
  });
}

function codeHeader({ code }: StepUp): Record<string, string> {
  return code === '' ? {} : { 'Sallyport-Code': code };
}
