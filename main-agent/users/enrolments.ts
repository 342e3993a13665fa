import { readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { BoundedMap } from '#shared/bounded-map.ts';
import { checkYaml } from '#shared/config/check.ts';
import { configError } from '#shared/config/problem.ts';
import { SallyportError } from '#shared/error.ts';
import { stringify } from 'yaml';
import { z } from 'zod';
import { ensureFolder, isErrno, removeDurably, syncFolder, writeDurably } from '#main-agent/durable-file.ts';
import { listIfThere } from './user-folder.ts';
import { isUsername } from './username.ts';
import type { Enrolment, EnrolmentSource } from './user-source.ts';

/**
 * Second factors at rest: one YAML file per user, in a folder of the agent's own beside the admins' tree. Secrets in it
 * are sealed under the vault key, so a copy of the folder alone gives nothing away.
 *
 * A file that can't be read rejects: the caller must not take it for "never enrolled". A new one is prepared under a
 * name that no reader takes for one and renamed when state.db has its id, so that what was refused is never in force.
 */

const enrolmentSchema = z
  .strictObject({
    id: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, { error: 'a ULID' }),
    secret: z.string().regex(/^sealed:v1:[A-Za-z0-9_:.=+/-]{16,1024}$/, { error: 'a sealed secret' }),
    required_on: z.array(z.enum(['https', 'sftp'])).max(2),
    confirmed_at: z.iso.datetime(),
    via: z.strictObject({ node: z.string().max(64), session: z.string().max(128) }),
    recovery_codes: z.array(z.string().regex(/^[A-Za-z0-9_-]{22,128}$/, { error: 'an HMAC' })).max(32),
    codes_for: z.string().refine(isUsername, { error: 'a user name' }).optional(),
  })
  .transform((s): Enrolment => ({
    id: s.id,
    secret: s.secret,
    requiredOn: s.required_on,
    confirmedAt: s.confirmed_at,
    via: s.via,
    recoveryCodes: s.recovery_codes,
    ...(s.codes_for !== undefined && { codesFor: s.codes_for }),
  }));

export function buildYamlEnrolments(options: { readonly directory: string }): EnrolmentSource {
  const { directory } = options;
  const parsed = new BoundedMap<Parsed>(parsedMax);
  const fileOf = (username: string): string | undefined =>
    isUsername(username) ? path.join(directory, `${username}.yaml`) : undefined;
  const preparedOf = (username: string): string | undefined =>
    isUsername(username) ? path.join(directory, `${username}.prepared`) : undefined;

  return {
    async list() {
      const names = await listIfThere(directory);
      return names.flatMap((name) => {
        const username = path.basename(name, '.yaml');
        return name.endsWith('.yaml') && isUsername(username) ? username : [];
      });
    },

    read: (username) => readEnrolment(fileOf(username), parsed),

    async prepare(username, enrolment) {
      const file = preparedOf(username);
      if (file === undefined) {
        throw new SallyportError('bad-request', 'No such user name', { detail: JSON.stringify(username) });
      }
      await ensureFolder(directory, 0o700);
      const fields = {
        id: enrolment.id,
        secret: enrolment.secret,
        required_on: enrolment.requiredOn,
        confirmed_at: enrolment.confirmedAt,
        via: enrolment.via,
        recovery_codes: enrolment.recoveryCodes,
        ...(enrolment.codesFor !== undefined && { codes_for: enrolment.codesFor }),
      };
      const text = stringify(fields, { lineWidth: 0 });
      // What can't be read back must not become the only copy of a factor.
      const checked = checkYaml(text, file, enrolmentSchema);
      if (!checked.ok) throw configError(checked.problems);
      await writeDurably(
        file,
        `# Owned by Sallyport. To take a factor away: sallyport two-factor reset\n${text}`,
        {
          mode: 0o600,
        },
      );
    },

    async promote(username, id) {
      const [file, prepared] = [fileOf(username), preparedOf(username)];
      const enrolment = await readEnrolment(prepared, parsed);
      if (file === undefined || prepared === undefined || enrolment?.id !== id) return undefined;
      await rename(prepared, file);
      await syncFolder(directory);
      return enrolment;
    },

    async remove(username) {
      for (const file of [preparedOf(username), fileOf(username)])
        if (file !== undefined) await removeDurably(file);
    },
  };
}

/** A file as it was read last. It is read each time, and parsed when its text is another one. */
interface Parsed {
  readonly text: string;
  readonly enrolment: Enrolment;
}

/** Some 3 kB each; a user signs in several times in a row, or not for hours. */
const parsedMax = 1_000;

async function readEnrolment(
  file: string | undefined,
  parsed: BoundedMap<Parsed>,
): Promise<Enrolment | undefined> {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const known = parsed.get(file);
  if (known?.text === text) return known.enrolment;
  const checked = checkYaml(text, file, enrolmentSchema);
  if (!checked.ok) throw configError(checked.problems);
  parsed.set(file, { text, enrolment: checked.value });
  return checked.value;
}
