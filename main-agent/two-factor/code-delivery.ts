import type { Secret } from '#shared/secret.ts';
import type { Clock } from '#shared/clock.ts';

/**
 * How a one-time code reaches its user, and how a user hears of a change of their own account. The parts that send
 * implement it; the login only says what to send and to whom, and the address always comes from the user store.
 */

export type Transport = 'email' | 'sms';

export interface CodeMessage {
  readonly username: string;
  readonly address: string;
  readonly transport: Transport;
  readonly code: Secret;
  readonly clientIp: string;
  readonly expiresInMs: number;
}

export interface CodeDelivery {
  /** Resolves when the relay or the gateway has accepted it; rejects when it has not. */
  deliver(message: CodeMessage): Promise<void>;
}

/** Rejects also when it takes longer; the late outcome is ignored. */
export function deliverWithin(delivery: CodeDelivery, message: CodeMessage, limitMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not accepted within ${limitMs} ms`)), limitMs);
    delivery
      .deliver(message)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

export interface PasswordLinkMessage {
  readonly username: string;
  readonly address: string;
  readonly url: Secret;
  readonly expiresAtMs: number;
}

/** Resolves when the relay has accepted it; rejects `delivery-failed` when it has not. */
export type SendPasswordLink = (message: PasswordLinkMessage) => Promise<void>;

/** What a user is told by mail when it happens to their account. Never holds a code or anything like one. */
export interface AccountNotice {
  readonly username: string;
  readonly address: string;
  readonly kind:
    | 'two-factor-enrolled'
    | 'two-factor-reset'
    | 'recovery-code-used'
    | 'many-wrong-codes'
    | 'factor-disabled'
    | 'device-copied'
    | 'two-factor-due'
    | 'password-changed'
    | 'ssh-key-added'
    | 'ssh-key-removed'
    | 'recovery-codes-renewed'
    | 'changes-revoked'
    | 'recovery-codes-void'
    | 'two-factor-void';
  readonly atMs: number;
  readonly node?: string;
  readonly clientIp?: string;
  /** Of `two-factor-due`: when the requirement begins. */
  readonly requiredFromMs?: number;
}

export interface AccountNotifier {
  /** Best effort: never throws and never delays a verdict. */
  notify(notice: AccountNotice): void;
}

/** Tells the user by mail, if they have an address. */
export function notifyUser(
  { clock, notifier }: { readonly notifier: AccountNotifier | undefined; readonly clock: Clock },
  { username, email }: { readonly username: string; readonly email: string | undefined },
  kind: AccountNotice['kind'],
  facts: Pick<AccountNotice, 'node' | 'clientIp' | 'requiredFromMs'> = {},
): void {
  if (email === undefined) return;
  notifier?.notify({ username, address: email, kind, atMs: clock.now(), ...facts });
}
