import type { Http } from '#dmz/web/api/http.ts';

/** What people can see and change about their own account. Every change of credentials takes a step-up. */

interface OwnSession {
  readonly id: string;
  readonly current: boolean;
  readonly protocol: 'https' | 'sftp';
  readonly client_ip: string;
  /** RFC 3339. */
  readonly started_at: string;
  /** What the client called itself when it signed in. */
  readonly agent?: string;
}

/** Further SFTP connections go without a code while it lives. */
interface OwnLease {
  readonly id: string;
  readonly client_ip: string;
  readonly agent: string;
  readonly expires_at: string;
}

interface OwnDevice {
  readonly id: string;
  readonly started_at: string;
  readonly used_at: string;
  readonly agent?: string;
}

export interface OwnSshKey {
  readonly id: string;
  readonly type: string;
  readonly fingerprint: string;
  readonly comment: string;
  /** False: given by the administrator, for example to a whole group. */
  readonly removable: boolean;
  readonly added_at?: string;
}

/** The password again, and a new code from who is enrolled. */
export interface StepUp {
  readonly password: string;
  readonly code: string;
}

type Listed = 'sessions' | 'leases' | 'devices' | 'ssh-keys';

export async function listOwn(http: Http): Promise<{
  readonly sessions: readonly OwnSession[];
  readonly leases: readonly OwnLease[];
  readonly devices: readonly OwnDevice[];
}> {
  const get = <T>(what: Listed): Promise<T> => http.call<T>({ method: 'GET', path: `/api/me/${what}` });
  const [sessions, leases, devices] = await Promise.all([
    get<{ readonly sessions: readonly OwnSession[] }>('sessions'),
    get<{ readonly leases: readonly OwnLease[] }>('leases'),
    get<{ readonly devices: readonly OwnDevice[] }>('devices'),
  ]);
  return { ...sessions, ...leases, ...devices };
}

export async function listSshKeys(http: Http): Promise<readonly OwnSshKey[]> {
  const body = await http.call<{ readonly ssh_keys: readonly OwnSshKey[] }>({
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
    json: { current: proof.password, new: value },
    headers: codeHeader(proof),
  });
}

export async function renewRecoveryCodes(http: Http, proof: StepUp): Promise<readonly string[]> {
  const body = await http.call<{ readonly recovery_codes: readonly string[] }>({
    method: 'POST',
    path: '/api/two-factor/recovery-codes',
    json: { current: proof.password },
    headers: codeHeader(proof),
  });
  return body.recovery_codes;
}

export async function addSshKey(http: Http, key: string, proof: StepUp): Promise<void> {
  await http.call({
    method: 'POST',
    path: '/api/me/ssh-keys',
    json: { key, current: proof.password },
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
