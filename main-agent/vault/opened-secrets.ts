import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import type { RequestOf } from './calls.ts';
import { samplesMax } from './limits.ts';

/** Whether stored secrets open with this vault key: another key in its place is noticed before anybody signs in. */
interface OpenedSecrets {
  readonly tried: number;
  readonly opened: number;
  /** Whose did not open. */
  readonly closed: readonly string[];
}

export type SealedSample = RequestOf<'opens'>['samples'][number];

/** `open` says of each, in order, whether the key opens it. */
export async function openSome(
  open: (samples: SealedSample[]) => Promise<readonly boolean[]>,
  enrolments: Pick<EnrolmentSource, 'list' | 'read'>,
): Promise<OpenedSecrets> {
  const samples: SealedSample[] = [];
  for (const owner of await enrolments.list()) {
    if (samples.length === samplesMax) break;
    // A file that can't be read says nothing of the key; who signs in with it is told.
    const enrolment = await enrolments.read(owner).catch(() => undefined);
    if (enrolment !== undefined) samples.push({ owner, enrolment: sealedOf(enrolment) });
  }
  const opened = await open(samples);
  const closed = samples.flatMap(({ owner }, index) => (opened[index] === true ? [] : [owner]));
  return { tried: samples.length, opened: samples.length - closed.length, closed };
}

/** What of a stored factor the vault has to know. */
export function sealedOf({ id, secret, codesFor }: Enrolment): SealedSample['enrolment'] {
  return { id, secret, ...(codesFor !== undefined && { codesFor }) };
}
