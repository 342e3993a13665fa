import { createHash } from 'node:crypto';
import type { Secret } from '#shared/secret.ts';
import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import type { EffectiveUser, Mount } from './effective-user.ts';
import type { FileFields } from './user-file.ts';
import { rootComponents, type TemplateFields } from './user-schema.ts';

/**
 * `_default` → groups in order → the user's own file. The rule of each field stands in `overlay`: a scalar or a list of
 * a later layer wins, `+list` is appended, sections are merged key by key, null takes away what was inherited.
 */

export interface Layer {
  readonly fields: FileFields;
  /** Fills `{group}`; empty in other files. */
  readonly group: string;
}

type MountFields = NonNullable<TemplateFields['files']>[number];
interface PlacedMount {
  readonly fields: MountFields;
  readonly group: string;
}

type TwoFactor = EffectiveUser['twoFactor'];

interface Merged {
  readonly displayName: string | undefined;
  readonly email: string | undefined;
  readonly phone: string | undefined;
  readonly passwordHash: Secret | undefined;
  readonly sshKeys: readonly SshPublicKey[];
  readonly twoFactor: TwoFactor;
  readonly protocols: EffectiveUser['protocols'];
  readonly status: EffectiveUser['status'];
  readonly adminRole: EffectiveUser['adminRole'];
  readonly administers: readonly string[];
  readonly expires: string | undefined;
  readonly allowFrom: readonly string[] | undefined;
  readonly hours: NonNullable<TemplateFields['hours']> | undefined;
  readonly files: readonly PlacedMount[];
  readonly quotaBytes: number | undefined;
  readonly limits: EffectiveUser['limits'];
}

/** What a user has whom no file says more about: may sign in, is asked for no second factor, sees no files. */
const nothing: Merged = {
  displayName: undefined,
  email: undefined,
  phone: undefined,
  passwordHash: undefined,
  sshKeys: [],
  twoFactor: {
    requiredOn: [],
    registration: false,
    forceSetup: false,
    requiredFrom: undefined,
    deliveredTtlMs: undefined,
    sftpPasswordWithCode: false,
  },
  protocols: ['https', 'sftp'],
  status: 'active',
  adminRole: undefined,
  administers: [],
  expires: undefined,
  allowFrom: undefined,
  hours: undefined,
  files: [],
  quotaBytes: undefined,
  limits: { sessions: undefined, uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined },
};

function overlay(base: Merged, { fields, group }: Layer): Merged {
  const place = (mounts: readonly MountFields[] | undefined) =>
    mounts?.map((mount): PlacedMount => ({ fields: mount, group }));
  return {
    displayName: scalar(base.displayName, fields.display_name),
    email: scalar(base.email, fields.email),
    phone: scalar(base.phone, fields.phone),
    passwordHash: scalar(base.passwordHash, fields.password),
    sshKeys: list(base.sshKeys, fields.ssh_keys, fields['+ssh_keys']),
    twoFactor: overlayTwoFactor(base.twoFactor, fields.two_factor),
    protocols: distinct(list(base.protocols, fields.protocols, fields['+protocols'])),
    status: fields.status ?? base.status,
    adminRole: scalar(base.adminRole, fields.admin_role),
    administers: distinct(list(base.administers, fields.administers, fields['+administers'])),
    expires: scalar(base.expires, fields.expires),
    allowFrom: overlayPlaces(base.allowFrom, fields),
    hours: fields.hours === null ? undefined : overlaySection(base.hours, fields.hours),
    files: list(base.files, place(fields.files), place(fields['+files'])),
    quotaBytes: scalar(base.quotaBytes, fields.quota),
    limits: {
      sessions: scalar(base.limits.sessions, fields.limits?.sessions),
      uploadBytesPerSecond: scalar(base.limits.uploadBytesPerSecond, fields.limits?.upload),
      downloadBytesPerSecond: scalar(base.limits.downloadBytesPerSecond, fields.limits?.download),
    },
  };
}

function overlayTwoFactor(base: TwoFactor, fields: TemplateFields['two_factor']): TwoFactor {
  if (fields === undefined) return base;
  return {
    requiredOn: distinct(list(base.requiredOn, fields.required_on, fields['+required_on'])),
    registration: fields.registration ?? base.registration,
    forceSetup: fields.force_setup ?? base.forceSetup,
    requiredFrom: scalar(base.requiredFrom, fields.required_from),
    deliveredTtlMs: scalar(base.deliveredTtlMs, fields.delivered_ttl),
    sftpPasswordWithCode: fields.sftp_password_with_code ?? base.sftpPasswordWithCode,
  };
}

/** Absent = anywhere, and anywhere with something appended is that something. */
function overlayPlaces(
  base: readonly string[] | undefined,
  fields: TemplateFields,
): readonly string[] | undefined {
  const inherited = scalar(base, fields.allow_from);
  const appended = fields['+allow_from'];
  return appended === undefined ? inherited : [...(inherited ?? []), ...appended];
}

function overlaySection<T extends object>(base: T | undefined, fields: T | undefined): T | undefined {
  return base === undefined || fields === undefined ? (fields ?? base) : { ...base, ...fields };
}

function scalar<T>(base: T | undefined, value: T | null | undefined): T | undefined {
  return value === undefined ? base : (value ?? undefined);
}

function list<T>(
  base: readonly T[],
  replacement: readonly T[] | undefined,
  appended: readonly T[] | undefined,
): readonly T[] {
  const kept = replacement ?? base;
  return appended === undefined ? kept : [...kept, ...appended];
}

function distinct<T>(values: readonly T[]): readonly T[] {
  return new Set(values).size === values.length ? values : [...new Set(values)];
}

interface BuildOptions {
  readonly username: string;
  /** All groups in the order they were laid over each other. */
  readonly groups: readonly string[];
  /** First to last: `_default`, groups, own file. */
  readonly layers: readonly Layer[];
  readonly defaultUploads: Mount['uploads'];
  /** Undefined: what is deleted is gone. */
  readonly defaultBinMs: number | undefined;
  /** Whatever the layers say: a broken file in which `status: disabled` can be read. */
  readonly forceDisabled: boolean;
}

export function buildEffectiveUser(options: BuildOptions): EffectiveUser {
  const { username, groups } = options;
  const merged = options.layers.reduce(overlay, nothing);
  const { hours, files, ...rest } = merged;
  const user = {
    ...rest,
    username,
    displayName: merged.displayName ?? username,
    groups,
    status: options.forceDisabled ? 'disabled' : merged.status,
    hours:
      hours === undefined
        ? undefined
        : {
            days: hours.days ?? [1, 2, 3, 4, 5, 6, 7],
            fromMinute: hours.from ?? 0,
            toMinute: hours.to ?? 24 * 60,
            zone: hours.zone ?? 'UTC',
          },
    mounts: files.map((mount) => buildMount(mount, options)),
  } satisfies Omit<EffectiveUser, 'version'>;
  return { ...user, version: hashUser(user) };
}

function buildMount({ fields, group }: PlacedMount, options: BuildOptions): Mount {
  const keepMs = scalar(options.defaultBinMs, fields.bin);
  return {
    path: fields.path,
    storage: fields.storage ?? 'local',
    root: rootComponents(fields.root, options.username, group),
    allow: new Set(fields.allow),
    uploads: fields.uploads ?? options.defaultUploads,
    ...(keepMs !== undefined && {
      bin: { keepMs, isCounted: fields.bin_quota !== 'free', sftp: fields.bin_sftp ?? false },
    }),
    ...(fields.retention !== undefined && { retention: fields.retention }),
  };
}

/** Secrets and keys count by their value although they do not print. */
function hashUser(user: Omit<EffectiveUser, 'version'>): string {
  const { passwordHash, sshKeys, mounts, ...plain } = user;
  const feed = [
    plain,
    passwordHash?.expose(),
    sshKeys.map((key) => key.fingerprint),
    mounts.map((mount) => ({ ...mount, allow: [...mount.allow] })),
  ];
  return createHash('sha256').update(JSON.stringify(feed)).digest('base64url');
}
