import { endWaivers } from '#main-agent/sessions/leases.ts';
import { forgetWrongCodes } from '#main-agent/vault/vault.ts';
import { parseImportedSecret } from '#main-agent/two-factor/imported-secret.ts';
import { stepAt } from '#main-agent/two-factor/totp.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { Secret } from '#shared/secret.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Clock } from '#shared/clock.ts';

export interface TwoFactorImport extends AdminReason {
  /** Undefined: whom the otpauth URI names. */
  readonly user: string | undefined;
  /** Base32, or an otpauth URI. */
  readonly secret: Secret;
  readonly replace: boolean;
  /** Says what would come of it, and changes nothing. */
  readonly isDryRun: boolean;
}

/** `username`: whom it is about, if that is known. */
export type TwoFactorImportOutcome =
  | { readonly username: string; readonly isReplaced: boolean }
  | { readonly username?: string; readonly problem: string };

/** What the enrolment says it came through: no node can have this name. */
const importedVia = '(imported)';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly departures: Departures;
  readonly vault: Vault;
  readonly sessions: Sessions;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
}

/**
 * Takes over an authenticator that the user has set up with another system. The code of this moment may have been used
 * there, so the first one that is good here is the next. No recovery codes are made: nobody is there to read them.
 */
export async function importSecret(
  parts: Parts,
  { user: typed, secret: text, replace, isDryRun, actor, reason }: TwoFactorImport,
  endAll: (username: string, why: string) => Promise<void>,
): Promise<TwoFactorImportOutcome> {
  const { clock, config, departures, sessions, users, vault } = parts;
  const { autoEnable, autoEnableProtocols, totp } = config.twoFactor;
  const imported = parseImportedSecret(text, totp);
  if (typeof imported === 'string') return { problem: imported };
  const name = typed ?? imported.account;
  if (name === undefined) return { problem: 'no user is named' };
  const user = users.resolve(name);
  if (user === undefined) return { problem: 'there is no such user' };
  const { username } = user;
  const waits = departures.findProblem(username);
  if (waits !== undefined) return { username, problem: waits };
  const { state } = await vault.status(username);
  if (state !== 'none' && !replace)
    return { username, problem: 'has a second factor; --replace takes this one instead' };
  const isReplaced = state !== 'none';
  if (isDryRun) return { username, isReplaced };

  const requiredOn = autoEnable ? autoEnableProtocols : [];
  const result = await vault.enrol({
    username,
    secret: imported.secret,
    step: stepAt(clock.now(), totp),
    requiredOn,
    recoveryCodes: 0,
    via: { node: importedVia, session: '' },
    replace,
    alongside: () => [
      ...endWaivers(username),
      forgetWrongCodes(username),
      {
        kind: 'audit',
        record: buildRecord(parts, 'two-factor.imported', 'ok', {
          user: username,
          actor,
          detail: reason,
          rule: isReplaced ? 'in place of the one before' : 'the first one',
        }),
      },
    ],
  });
  if (!result.ok)
    return { username, problem: 'somebody changed the second factor meanwhile; look, and try again' };
  if (isReplaced) await endAll(username, 'the second factor was replaced');
  else if (user.twoFactor.requiredOn.length > 0 || requiredOn.length > 0)
    await sessions.endWhereMethod(username, withoutFactor, 'a second factor is required now');
  notifyUser(parts, user, 'two-factor-enrolled');
  return { username, isReplaced };
}

const withoutFactor: ReadonlySet<string> = new Set(['none', 'trusted-network']);
