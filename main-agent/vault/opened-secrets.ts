import type { EnrolmentSource } from '#main-agent/users/user-source.ts';
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
      sealer.open(enrolment.secret, username, enrolment.id);
    } catch {
      closed.push(username);
    }
  }
  return { tried, opened: tried - closed.length, closed };
}
