import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import type { Secret } from '#shared/secret.ts';
import type { Sealer } from './sealing.ts';

/** Whether stored secrets open with this vault key: another key in its place is noticed before anybody signs in. */
interface OpenedSecrets {
  readonly tried: number;
  readonly opened: number;
  /** Whose did not open. */
  readonly closed: readonly string[];
}

/** A file or two that somebody damaged say nothing of the key; one look reads no whole folder of ten thousand. */
const triedMax = 16;

export async function openSome(
  sealer: Pick<Sealer, 'open'>,
  enrolments: Pick<EnrolmentSource, 'list' | 'read'>,
): Promise<OpenedSecrets> {
  const closed: string[] = [];
  let tried = 0;
  for (const username of await enrolments.list()) {
    if (tried === triedMax) break;
    // A file that can't be read says nothing of the key; who signs in with it is told.
    const enrolment = await enrolments.read(username).catch(() => undefined);
    if (enrolment === undefined) continue;
    tried += 1;
    try {
      openEnrolment(sealer, username, enrolment);
    } catch {
      closed.push(username);
    }
  }
  return { tried, opened: tried - closed.length, closed };
}

/** Rejects as `Sealer.open` does, also where somebody made the file say that its codes are another name's. */
export function openEnrolment(
  sealer: Pick<Sealer, 'open'>,
  username: string,
  enrolment: Enrolment,
): Secret<Buffer> {
  return sealer.open(enrolment.secret, username, boundTo(enrolment));
}

/** What a secret is sealed for, beside its user's name. */
export function boundTo({ id, codesFor }: Pick<Enrolment, 'id' | 'codesFor'>): string {
  return codesFor === undefined ? id : `${id} ${codesFor}`;
}
