import { codeScope, type WrongCodes } from '#main-agent/state/factor-records.ts';
import type { Change } from '#main-agent/state/state-store.ts';
import type { Protocol } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';

/**
 * The only door to stored second factors. Secrets are in a process of their own (`process/`): they go in and never come
 * out, answers are yes or no.
 *
 * Evidence is not spent here but in the caller's transaction: `verify` hands out the changes that spend it, and a
 * session is opened in the same commit or not at all (S-03).
 */
export interface Vault {
  /**
   * Whether codes could be looked at now, whosever they are: rejects `busy` where `load` and `verify` would, for a vault
   * that is away, and for a code of an authenticator's shape while the clock can't be trusted.
   */
  requireReady(code: Secret | undefined): Promise<void>;
  status(username: string): Promise<FactorStatus>;
  /** What is stored at this moment. Not to be kept over a wait: a rule that says *still* looks again (D-113). */
  load(username: string): Promise<Factor>;
  /** A fresh secret, to be shown once; the vault keeps it under the name of the set-up, and main does not. */
  beginSetup(username: string): Promise<{ readonly setup: string; readonly secret: Secret<Buffer> }>;
  /** Never rejects: a vault that is away has forgotten it. */
  endSetup(setup: string): Promise<void>;
  /**
   * Compares a code with the secret of a set-up. The step it is right at, or undefined. Rejects `setup-expired` when
   * the vault has begun anew meanwhile.
   */
  prove(setup: string, code: Secret): Promise<number | undefined>;
  /** Saves a proven secret: prepared as a file, then one commit together with `alongside`, then the file is in force. */
  enrol(request: EnrolRequest): Promise<EnrolResult>;
  /** The one way a factor goes away. One commit together with `alongside`, then the file. */
  reset(username: string, alongside: readonly Change[]): Promise<void>;
  /**
   * New recovery codes for the present enrolment, which goes on under a new id: a restored older file brings no old
   * code back. In the order of `enrol`.
   */
  renewRecoveryCodes(request: RenewalRequest): Promise<RenewalResult>;
  /**
   * Lays the factor ready under another name of the same user, with its recovery codes; it is in force there when the
   * state has it (`rename-user`) and the file was promoted. Resolves with the enrolment's id, undefined where there is no
   * factor. Rejects `conflict` for a broken one.
   */
  prepareRename(username: string, to: string): Promise<string | undefined>;
  /** Makes a bypass code; the changes put it in force. */
  makeBypassCode(
    username: string,
    options: { readonly ttlMs: number; readonly reEnrol: boolean },
  ): Promise<{ readonly code: Secret; readonly changes: readonly Change[] }>;
}

export type VaultCodeKind = 'totp' | 'recovery' | 'bypass';

/** One look at a user's factor. */
export interface Factor {
  readonly status: FactorStatus;
  /**
   * Compares a code with what was stored at the look, in the kinds that are offered. Changes nothing. Rejects `busy` for
   * a TOTP code while the clock can't be trusted, and while the vault is away: then nobody has looked at the code.
   * What was stored may be another by the time it answers: the evidence holds only as far as its commit says (D-113).
   */
  verify(code: Secret, kinds: readonly VaultCodeKind[]): Promise<CodeVerdict>;
}

/** After a right code, or by an admin: no wrong one counts any more, and a lock is lifted. */
export function forgetWrongCodes(username: string): Change {
  return { kind: 'clear-failures', scope: codeScope(username) };
}

/** `broken`: the stored file and what the state store remembers disagree; only a reset helps. */
export interface FactorStatus {
  readonly state: 'none' | 'enrolled' | 'broken';
  /** Why it is broken, for the admin. */
  readonly problem?: string;
  readonly id?: string;
  readonly confirmedAt?: string;
  readonly via?: { readonly node: string; readonly session: string };
  /** What the enrolment itself requires (auto-enable). */
  readonly requiredOn: readonly Protocol[];
  readonly recoveryCodesLeft: number;
  readonly firstLoginAtMs: number | undefined;
  /** An outstanding bypass code. */
  readonly bypass: { readonly reEnrol: boolean; readonly expiresAtMs: number } | undefined;
  /** How many wrong codes came since the last right one, and until when the factor is or was locked for them. */
  readonly wrongCodes: WrongCodes;
}

export type CodeVerdict =
  | {
      readonly kind: 'right';
      readonly method: VaultCodeKind;
      /** Spends the code; fails when somebody else did first. */
      readonly evidence: readonly Change[];
      /** Only for a bypass code: the session may replace the factor. */
      readonly reEnrol: boolean;
    }
  /** Right, but spent: a step at or before the last used one, or a recovery code used before. */
  | { readonly kind: 'used' }
  /** Right only for a clock this far off. `burn` makes that code worthless for ever. */
  | { readonly kind: 'drifted'; readonly driftSteps: number; readonly burn: readonly Change[] }
  | { readonly kind: 'wrong' };

export interface EnrolRequest {
  readonly username: string;
  /** Of a set-up that was proven, or what was brought from another system. */
  readonly secret: Secret<Buffer> | { readonly setup: string };
  /** The step of the proving code; spent with it. */
  readonly step: number;
  readonly requiredOn: readonly Protocol[];
  readonly recoveryCodes: number;
  readonly via: { readonly node: string; readonly session: string };
  /** May replace a factor that exists. */
  readonly replace: boolean;
  /** Made for the id of the enrolment. */
  readonly alongside: (enrolment: string) => readonly Change[];
}

export interface RenewalRequest {
  readonly username: string;
  readonly recoveryCodes: number;
  /** What `verify` gave for the code that proves the wish. */
  readonly evidence: readonly Change[];
  /** Made for the enrolment's id after the renewal. */
  readonly alongside: (enrolment: string) => readonly Change[];
}

export type RenewalResult =
  | { readonly ok: true; readonly recoveryCodes: readonly Secret[] }
  /** Which change was refused; undefined: there is no factor. */
  | { readonly ok: false; readonly failed: Change['kind'] | undefined };

export type EnrolResult =
  | { readonly ok: true; readonly recoveryCodes: readonly Secret[] }
  | { readonly ok: false; readonly reason: 'already-enrolled' | 'refused' };
