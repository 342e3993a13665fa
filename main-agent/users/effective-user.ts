import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import type { Protocol } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import type { AdminRole } from '#main-agent/administrator.ts';

/** A user after inheritance (`_default` → groups → own file), checked and parsed; what every decision reads. */
export interface EffectiveUser {
  readonly username: string;
  readonly displayName: string;
  readonly email: string | undefined;
  readonly phone: string | undefined;
  readonly groups: readonly string[];
  /** The name of the hash (`hash-book.ts`), which itself is the vault's; undefined = no password login. */
  readonly passwordHash: Secret | undefined;
  readonly sshKeys: readonly SshPublicKey[];
  readonly twoFactor: {
    /** The admin's wish alone; the enrolment may add to it. */
    readonly requiredOn: readonly Protocol[];
    readonly registration: boolean;
    readonly forceSetup: boolean;
    /** A date (RFC 3339 full-date) or a grace from the first login. */
    readonly requiredFrom: { readonly date: string } | { readonly graceMs: number } | undefined;
    readonly deliveredTtlMs: number | undefined;
    readonly sftpPasswordWithCode: boolean;
  };
  readonly protocols: readonly Protocol[];
  readonly status: 'active' | 'disabled';
  /** The most that an admin token of this person may do; undefined: tokens of theirs do nothing. */
  readonly adminRole?: AdminRole | undefined;
  /** Groups whose users are theirs, where they act as `group-admin`. */
  readonly administers?: readonly string[] | undefined;
  /** RFC 3339 full-date; the last day the account works. */
  readonly expires: string | undefined;
  /** CIDRs; undefined = anywhere, empty = nowhere. */
  readonly allowFrom: readonly string[] | undefined;
  readonly hours: LoginHours | undefined;
  readonly mounts: readonly Mount[];
  readonly quotaBytes: number | undefined;
  readonly limits: {
    readonly sessions: number | undefined;
    readonly uploadBytesPerSecond: number | undefined;
    readonly downloadBytesPerSecond: number | undefined;
  };
  /** Hash of all that feeds this object: equal means nothing changed. */
  readonly version: string;
}

export interface LoginHours {
  /** 1 = Monday … 7 = Sunday. */
  readonly days: readonly number[];
  /** Minutes since midnight in `zone`. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** IANA time zone. */
  readonly zone: string;
}

export type Allow = 'list' | 'read' | 'write' | 'overwrite' | 'delete' | 'rename' | 'mkdir';

export interface Mount {
  /** Where the user sees it, as components. */
  readonly path: readonly string[];
  readonly storage: string;
  /** Folder below the storage's base, `{username}` already replaced, as components. */
  readonly root: readonly string[];
  readonly allow: ReadonlySet<Allow>;
  readonly uploads: 'atomic' | 'direct';
  /** Absent: what is deleted is gone. */
  readonly bin?: MountBin | undefined;
  /** Absent: it says nothing of how long files stay. */
  readonly retention?: MountRetention | undefined;
}

/** How long files stay in the mount's folder and below, whoever put them there. */
export interface MountRetention {
  /** Since the file changed last; undefined: never deleted, whatever other mounts say. */
  readonly afterMs: number | undefined;
  /** Names it is about, with `*` and `?`; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Names it is not about. */
  readonly except: readonly string[];
  /** Folders that were empty for as long go, too. */
  readonly emptyFolders: boolean;
}

export interface MountBin {
  readonly keepMs: number;
  /** What is kept counts to the quota of who deleted it. */
  readonly isCounted: boolean;
  /** Also what is deleted over SFTP. */
  readonly sftp: boolean;
}

/** `expires` names the last day an account works, in UTC. */
export function isExpired(expires: string | undefined, nowMs: number): boolean {
  return expires !== undefined && nowMs >= Date.parse(`${expires}T00:00:00Z`) + 24 * 3_600_000;
}
