import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { ClockGuard } from '#main-agent/two-factor/clock-guard.ts';
import type { AccountNotice, AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { DriftWatch } from '#main-agent/two-factor/drift-watch.ts';
import type { PendingSetups } from '#main-agent/two-factor/pending-setups.ts';
import type { RandomBytes } from '#main-agent/two-factor/random.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { randomReference } from '#shared/random-id.ts';
import type { Assertions } from './assertions.ts';
import type { Challenges } from './challenges.ts';
import type { Devices } from '#main-agent/sessions/devices.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { LoginConfig } from './login-config.ts';
import type { Overload } from '#main-agent/passwords/overload.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import type { ProbeBudget } from './probe-budget.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { StepUps } from '#main-agent/account/step-ups.ts';

/** What the steps of a login work with; built once by `build-login.ts`. */
export interface LoginParts {
  readonly config: LoginConfig;
  readonly users: UserSource;
  readonly departures: Departures;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly passwords: Passwords;
  readonly overload: Overload;
  readonly assertions: Assertions;
  readonly challenges: Challenges;
  readonly probes: ProbeBudget;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly devices: Devices;
  readonly delivered: DeliveredCodes;
  readonly setups: PendingSetups;
  readonly stepUps: StepUps;
  readonly credentials: OwnCredentials;
  readonly guard: ClockGuard;
  readonly driftWatch: DriftWatch;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: RandomBytes;
}

/** An audit record of now. */
export function buildRecord(
  parts: Pick<LoginParts, 'clock'>,
  event: string,
  outcome: AuditRecord['outcome'],
  facts: Omit<AuditRecord, 'time' | 'event' | 'outcome'>,
): AuditRecord {
  return { time: new Date(parts.clock.now()).toISOString(), event, outcome, ...facts };
}

/** The one refusal (S-07): the same words whatever the reason; the rule is for the audit, found by the reference. */
export function buildRefusal(
  rule: string,
  cause?: unknown,
): { readonly reference: string; readonly error: SallyportError } {
  const reference = randomReference();
  return {
    reference,
    error: new SallyportError('refused', 'Sign-in refused', { detail: rule, reference, cause }),
  };
}

/** Tells the user by mail, if they have an address. */
export function notifyUser(
  parts: Pick<LoginParts, 'notifier' | 'clock'>,
  user: EffectiveUser,
  kind: AccountNotice['kind'],
  facts: Pick<AccountNotice, 'node' | 'clientIp' | 'requiredFromMs'> = {},
): void {
  if (user.email === undefined) return;
  parts.notifier?.notify({
    username: user.username,
    address: user.email,
    kind,
    atMs: parts.clock.now(),
    ...facts,
  });
}
