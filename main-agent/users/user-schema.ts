import {
  binLife,
  cidr,
  duration,
  parsedText,
  parseDuration,
  plainName,
  rate,
  size,
} from '#shared/config/value-types.ts';
import { adminRoles } from '#main-agent/administrator.ts';
import { isSallyportError } from '#shared/error.ts';
import { parseVirtualPath, requireComponents } from '#shared/file-service/virtual-path.ts';
import { Secret } from '#shared/secret.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { z } from 'zod';
import { isHashName } from './hash-book.ts';
import { sshKeysMax } from './limits.ts';
import type { MountRetention } from './effective-user.ts';
import { isUsername, usernameExpectation } from './username.ts';

/**
 * One file of the user store: a user's own, a group's, or `_default`. All fields are optional there, because they may be
 * inherited; `null` takes an inherited value away. A list replaces the inherited one, `+list` is appended to it.
 */

const name = z.string().refine(isUsername, { error: usernameExpectation });
const nameList = z.array(name).max(32);
const protocolList = z.array(z.enum(['https', 'sftp'])).max(2);

const passwordHashExpectation =
  'a hash that `sallyport users passwd` or `users import` made ($argon2id$…, $argon2id-over$…), or null';
/** By its name. Never shown in a problem: the key's name marks it as secret. */
const passwordHash = z
  .string()
  .refine(isHashName, { error: passwordHashExpectation })
  // For editors, which see the file and not what main is shown of it.
  .meta({
    maxLength: 512,
    pattern: String.raw`^\$argon2id(-over\$[a-z0-9-]+\$[a-z0-9=,]+\$[A-Za-z0-9+/]+)?\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$`,
  })
  .transform((text) => new Secret(text));

const sshKey = z
  .string()
  .max(8_192)
  .transform((line, context) => {
    try {
      return parsePublicKeyLine(line);
    } catch (error) {
      const why = isSallyportError(error) ? error.detail : String(error);
      context.addIssue({ code: 'custom', message: `an SSH public key line; ${why}`, input: line });
      return z.NEVER;
    }
  });
const sshKeyList = z.array(sshKey).max(sshKeysMax);

const fullDate = parsedText('a date such as 2027-12-31', /^\d{4}-\d{2}-\d{2}$/, (text) => {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text) ? text : undefined;
});

const requiredFrom = parsedText(
  'a date such as 2027-01-15, or a time from the first login such as 14d',
  /^(\d{4}-\d{2}-\d{2}|\d{1,3}[dh])$/,
  (text): { date: string } | { graceMs: number } | undefined => {
    const graceMs = parseDuration(text);
    if (graceMs !== undefined) return { graceMs };
    return fullDate.safeParse(text).success ? { date: text } : undefined;
  },
);

const dayNames = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** `mon-fri`, `sat,sun`, `fri-mon` → 1 (Monday) to 7. */
const days = parsedText('days such as mon-fri or mon,wed,sat-sun', /^[a-z]{3}([,-][a-z]{3})*$/, (text) => {
  const found = new Set<number>();
  for (const part of text.split(',')) {
    const ends = part.split('-').map((day) => dayNames.indexOf(day));
    const [first = -1, last = first] = ends;
    if (ends.length > 2 || first === -1 || last === -1) return undefined;
    for (let day = first; ; day = (day + 1) % 7) {
      found.add(day + 1);
      if (day === last) break;
    }
  }
  return [...found].toSorted((a, b) => a - b);
});

const timeOfDay = parsedText('a time of day such as "07:00"', /^([01]\d|2[0-4]):[0-5]\d$/, (text) => {
  const [hour, minute] = text.split(':').map(Number);
  const minutes = (hour ?? 0) * 60 + (minute ?? 0);
  return minutes <= 24 * 60 ? minutes : undefined;
});

const zone = z.string().refine(
  (text) => {
    try {
      return (
        text !== '' && new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== ''
      );
    } catch {
      return false;
    }
  },
  { error: 'a time zone such as Europe/Berlin' },
);

const hours = z.strictObject({
  days: days.optional(),
  from: timeOfDay.optional(),
  to: timeOfDay.optional(),
  zone: zone.optional(),
});

const twoFactor = z.strictObject({
  required_on: protocolList.optional(),
  '+required_on': protocolList.optional(),
  registration: z.boolean().optional(),
  force_setup: z.boolean().optional(),
  required_from: requiredFrom.nullable().optional(),
  delivered_ttl: duration('1m', '10m').nullable().optional(),
  sftp_password_with_code: z.boolean().optional(),
});

const unlimited = z.literal('none').transform(() => null);

const limits = z.strictObject({
  sessions: z.union([unlimited, z.number().int().min(1).max(10_000)]).optional(),
  upload: z.union([unlimited, rate]).optional(),
  download: z.union([unlimited, rate]).optional(),
});

const allowVerb = z.enum(['list', 'read', 'write', 'overwrite', 'delete', 'rename', 'mkdir']);

/** Where the user sees a mount, as components. */
const mountPath = parsedText('an absolute path such as / or /inbox', /^\//, (text) => {
  try {
    return text.split('/').includes('..') ? undefined : parseVirtualPath(text).components;
  } catch {
    return undefined;
  }
});

export const usernamePlaceholder = '{username}';
export const groupPlaceholder = '{group}';

/** A folder below the storage's base with the placeholders still in it. */
function mountRoot(mayUseGroup: boolean) {
  const expectation = mayUseGroup
    ? 'a folder below the storage, such as shared/{group}'
    : 'a folder below the storage, such as "{username}"; {group} stands for a name in group files only';
  return z
    .string()
    .max(4096)
    .refine(
      (text) => {
        if (!mayUseGroup && text.includes(groupPlaceholder)) return false;
        try {
          return rootComponents(text, 'user', 'group') !== undefined;
        } catch {
          return false;
        }
      },
      { error: expectation },
    );
}

/** The folder for one user. Throws `bad-path` for a name that may not be one. */
export function rootComponents(root: string, username: string, group: string): readonly string[] {
  const filled = root.replaceAll(usernamePlaceholder, username).replaceAll(groupPlaceholder, group);
  return requireComponents(filled.split('/').filter((part) => part !== '' && part !== '.')).components;
}

/** Of a file alone, not of a path. */
const namePattern = z
  .string()
  .max(255)
  .regex(/^[^/]+$/, { error: 'a file name, in which * and ? stand for any characters and for one' });
const namePatterns = z.array(namePattern).min(1).max(32);

const never = z.literal('never').transform(() => null);

/** A day at least: rules are carried out once a day. */
const retention = z
  .strictObject({
    delete_after: z.union([never, duration('1d', '36500d')]),
    only: namePatterns.optional(),
    except: namePatterns.optional(),
    empty_folders: z.enum(['keep', 'delete']).optional(),
  })
  .transform((s): MountRetention => ({
    afterMs: s.delete_after ?? undefined,
    only: s.only,
    except: s.except ?? [],
    emptyFolders: s.empty_folders === 'delete',
  }));

function mountList(storages: readonly string[], mayUseGroup: boolean) {
  const storage = plainName.refine((text) => storages.includes(text), {
    error: `a storage of main-agent.yaml: ${storages.join(', ')}`,
  });
  return z
    .array(
      z.strictObject({
        path: mountPath,
        storage: storage.optional(),
        root: mountRoot(mayUseGroup),
        allow: z.array(allowVerb).max(8),
        uploads: z.enum(['atomic', 'direct']).optional(),
        bin: binLife.optional(),
        bin_quota: z.enum(['counted', 'free']).optional(),
        bin_sftp: z.boolean().optional(),
        retention: retention.optional(),
      }),
    )
    .max(64);
}

function templateFields(storages: readonly string[], mayUseGroup: boolean) {
  const files = mountList(storages, mayUseGroup);
  const cidrs = z.array(cidr).max(256);
  return {
    groups: nameList.optional(),
    '+groups': nameList.optional(),
    display_name: z
      .string()
      .min(1)
      .max(255)
      .regex(/^\P{Cc}*$/u, { error: 'one line of text' })
      .optional(),
    email: z
      .string()
      .max(254)
      .regex(/^[^\s@<>",;]+@[^\s@<>",;]+$/, { error: 'an e-mail address' })
      .nullable()
      .optional(),
    phone: z
      .string({ error: 'a phone number in quotes, such as "+15551230000"' })
      .regex(/^\+?[0-9]{4,15}$/, { error: 'a phone number such as "+15551230000"' })
      .nullable()
      .optional(),
    ssh_keys: sshKeyList.optional(),
    '+ssh_keys': sshKeyList.optional(),
    two_factor: twoFactor.optional(),
    protocols: protocolList.optional(),
    '+protocols': protocolList.optional(),
    status: z.enum(['active', 'disabled']).optional(),
    admin_role: z.enum(adminRoles).nullable().optional(),
    administers: nameList.optional(),
    '+administers': nameList.optional(),
    expires: fullDate.nullable().optional(),
    allow_from: cidrs.nullable().optional(),
    '+allow_from': cidrs.optional(),
    hours: hours.nullable().optional(),
    files: files.optional(),
    '+files': files.optional(),
    quota: z.union([unlimited, size]).optional(),
    limits: limits.optional(),
  };
}

/** The three kinds of file. Only a user's own file has a name and a password; only a group's knows `{group}`. */
export function buildUserSchemas(storages: readonly string[]) {
  const plain = templateFields(storages, false);
  return {
    user: z.strictObject({ username: name, password: passwordHash.nullable().optional(), ...plain }),
    default: z.strictObject(plain),
    group: z.strictObject(templateFields(storages, true)),
  };
}

export type UserSchemas = ReturnType<typeof buildUserSchemas>;
export type UserFields = z.output<UserSchemas['user']>;
export type TemplateFields = z.output<UserSchemas['group']>;
