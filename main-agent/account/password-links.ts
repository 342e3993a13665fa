import { createHash } from 'node:crypto';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Challenges } from '#main-agent/login/challenges.ts';
import type { ProbeBudget } from '#main-agent/login/probe-budget.ts';
import { buildRefusal } from '#main-agent/login/refusal.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import { passwordCredential } from '#main-agent/sessions/credential.ts';
import { endWaivers, type Leases } from '#main-agent/sessions/leases.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { StoredPasswordLink } from '#main-agent/state/kept-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { KeyLock } from '#main-agent/turns.ts';
import {
  notifyUser,
  type AccountNotifier,
  type SendPasswordLink,
} from '#main-agent/two-factor/code-delivery.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { RandomBytes } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { writeOwnFile } from './account-changes.ts';
import { passwordLinksMax } from './limits.ts';
import { isAllowedThrough } from './self-service.ts';

/**
 * Links by which users set a password without having one: an admin has one mailed (D-146). It sets the password and
 * opens nothing: whoever has it still signs in as everybody does. It works once, for a time, and only while everything
 * is as it was when it was made: the password, the address it went to, and who has the name. A newer one ends it.
 *
 * Trust: tokens and new passwords are strangers'. What is wrong with a link is for the audit; its holder hears one word.
 */

export interface PasswordLinkAdmin {
  /**
   * Mails one. Rejects `conflict` when it could not work (no address, no relay, account shut), `delivery-failed` when
   * the relay does not take the mail: then there is no link.
   */
  issue(
    username: string,
    options: AdminReason & { readonly ttlMs: number },
  ): Promise<{ readonly address: string; readonly expiresAtMs: number }>;
}

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor' | 'publicUrl' | 'smtp'>;
  readonly users: UserSource;
  readonly departures: Pick<Departures, 'findProblem' | 'formerUntilMs'>;
  readonly state: StateStore;
  readonly passwords: Passwords;
  readonly challenges: Challenges;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly credentials: OwnCredentials;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  readonly notifier: AccountNotifier | undefined;
  readonly sendPasswordLink: SendPasswordLink | undefined;
  /** Tries of tokens that are nobody's, by node: each is a record in the audit. */
  readonly strayLinks: ProbeBudget;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/** 256 bits: nobody finds one by trying. */
const tokenBytes = 32;

export class PasswordLinks implements PasswordLinkAdmin {
  readonly #parts: Parts;
  /** At most one a user. */
  readonly #links = new Map<string, StoredPasswordLink>();
  readonly #turns = new KeyLock();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Takes over those of before. */
  async start(): Promise<void> {
    for (const link of await this.#parts.state.read('kept-password-link')) this.#links.set(link.id, link);
  }

  async issue(username: string, { ttlMs, actor, reason }: AdminReason & { readonly ttlMs: number }) {
    const { clock, config, random, sendPasswordLink: send, state } = this.#parts;
    const user = this.#requireReachable(username);
    const { email: address } = user;
    const isConfigured = config.publicUrl !== undefined && config.smtp !== undefined;
    if (!isConfigured || send === undefined || address === undefined) {
      throw new SallyportError('conflict', 'No link can be mailed', {
        detail:
          address === undefined ? `${username} has no email` : 'main-agent.yaml lacks public_url or smtp',
        hint:
          address === undefined
            ? `sallyport users set ${username} email=…`
            : 'public_url is where users sign in, such as https://files.example.com',
      });
    }
    const url = `${config.publicUrl}/set-password`;
    return this.#turns.run(username, async () => {
      await this.#sweep();
      const token = random(tokenBytes).toString('base64url');
      const link: StoredPasswordLink = {
        id: username,
        hash: hashOf(token),
        address,
        credential: credentialOf(user),
        createdBy: actor,
        createdAtMs: clock.now(),
        expiresAtMs: clock.now() + ttlMs,
      };
      const until = new Date(link.expiresAtMs).toISOString();
      const facts = { user: username, actor, detail: `${reason}; to ${address}, until ${until}` };
      await state.commit([
        { kind: 'keep-record', list: 'password-link', record: link },
        { kind: 'audit', record: buildRecord(this.#parts, 'account.password-link', 'ok', facts) },
      ]);
      this.#links.set(username, link);
      try {
        // After `#`, so that the token is in no request, no log and no Referer, and fetching the page spends nothing.
        await send({ username, address, url: new Secret(`${url}#${token}`), expiresAtMs: link.expiresAtMs });
      } catch (error) {
        await this.#drop(username);
        throw error;
      }
      return { address, expiresAtMs: link.expiresAtMs };
    });
  }

  /** Rejects `refused`, `too-weak` (the link is still good), `rate-limited`, `conflict`. */
  async redeem(
    { token, password, client }: Params<'login.set-password'>,
    { node }: NodeLink,
    asker?: Asker,
  ): Promise<Result<'login.set-password'>> {
    const { credentials, passwords, state, strayLinks } = this.#parts;
    const hash = hashOf(token);
    const username = this.#links.values().find((one) => one.hash === hash)?.id;
    if (username === undefined) {
      strayLinks.take(node);
      return this.#refuse('no such link: used, replaced or never made', { node, clientIp: client.ip });
    }
    const facts = { user: username, node, clientIp: client.ip };
    return this.#turns.run(username, async () => {
      asker?.requireWaiting();
      // Before the look: what is changed later fails the writing.
      const etag = await credentials.etag(username);
      const problem = this.#findProblem(username, hash, facts);
      if (problem !== undefined) return this.#refuse(problem, facts);
      const next = await passwords.hash(new Secret(password), username, {
        node,
        clientIp: client.ip,
        known: false,
      });
      const late = this.#findProblem(username, hash, facts);
      if (late !== undefined) return this.#refuse(late, facts);
      const subject = passwordCredential(next.expose());
      const atMs = this.#parts.clock.now();
      const result = await state.commit([
        { kind: 'drop-record', list: 'password-link', id: username },
        ...endWaivers(username),
        {
          kind: 'note-account-change',
          change: { kind: 'password', username, node, session: '', clientIp: client.ip, atMs, subject },
        },
        {
          kind: 'audit',
          record: buildRecord(this.#parts, 'account.password', 'ok', {
            ...facts,
            protocol: 'https',
            rule: 'a mailed link',
            detail: subject,
          }),
        },
      ]);
      this.#links.delete(username);
      if (!result.ok) return this.#refuse('used at the same moment', facts);
      await this.#write(username, next, etag, facts);
      return { username };
    });
  }

  async #write(
    username: string,
    next: Secret,
    etag: string | undefined,
    facts: { readonly node: string; readonly clientIp: string },
  ): Promise<void> {
    const { challenges, credentials, leases, sessions, users } = this.#parts;
    leases.forget(username);
    challenges.endAllOf(username);
    await writeOwnFile(this.#parts, { user: username, ...facts }, () =>
      credentials.setPassword(username, next, etag),
    );
    await sessions.endAllOf(username, 'the password was changed');
    const user = users.find(username);
    if (user !== undefined) notifyUser(this.#parts, user, 'password-changed', facts);
  }

  #requireReachable(username: string): EffectiveUser {
    const { config, departures, users } = this.#parts;
    const user = users.find(username);
    if (user === undefined) throw new SallyportError('not-found', `There is no user ${username}`);
    const detail =
      departures.findProblem(username) ??
      (config.twoFactor.selfService.password === 'off' ? 'self_service.password is off' : undefined) ??
      (user.status === 'disabled' ? 'the account is disabled' : undefined);
    if (detail === undefined) return user;
    throw new SallyportError('conflict', 'A link would not work', { detail });
  }

  /** Why the link sets nothing here and now, for the admin. */
  #findProblem(
    username: string,
    hash: string,
    { node, clientIp }: { readonly node: string; readonly clientIp: string },
  ): string | undefined {
    const { clock, config, departures, findBan, users } = this.#parts;
    const link = this.#links.get(username);
    const user = users.find(username);
    const nowMs = clock.now();
    if (link === undefined || link.hash !== hash) return 'used or replaced meanwhile';
    if (nowMs >= link.expiresAtMs) return 'the link is too old';
    if (user === undefined) return 'the user is gone';
    if (link.createdAtMs <= (departures.formerUntilMs(username) ?? -Infinity))
      return 'made for somebody who had the name before';
    if (credentialOf(user) !== link.credential) return 'the password was set meanwhile';
    if (user.email !== link.address) return 'the address was changed meanwhile';
    if (!isAllowedThrough(config.twoFactor.selfService.password, node))
      return `self_service.password does not allow node ${node}`;
    // A user of SFTP alone has a password, too, and no other way to set it.
    const [protocol = 'https' as const] = user.protocols;
    return findBan(username, clientIp) ?? findAccountProblem(user, { protocol, clientIp, nowMs });
  }

  async #refuse(
    rule: string,
    facts: { readonly user?: string; readonly node: string; readonly clientIp: string },
  ): Promise<never> {
    const { reference, error } = buildRefusal(rule);
    const record = buildRecord(this.#parts, 'account.password-link', 'refused', {
      ...facts,
      protocol: 'https',
      rule,
      reference,
    });
    await this.#parts.state.commit([{ kind: 'audit', record }]);
    throw error;
  }

  async #sweep(): Promise<void> {
    const nowMs = this.#parts.clock.now();
    const old = [...this.#links.values()].filter((one) => nowMs >= one.expiresAtMs);
    for (const { id } of old) await this.#drop(id);
    if (this.#links.size >= passwordLinksMax)
      throw new SallyportError('conflict', 'No link can be mailed', {
        detail: `there are ${passwordLinksMax} that nobody has used yet`,
      });
  }

  async #drop(username: string): Promise<void> {
    const change: Change = { kind: 'drop-record', list: 'password-link', id: username };
    await this.#parts.state.commit([change]);
    this.#links.delete(username);
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

function credentialOf({ passwordHash }: EffectiveUser): string {
  return passwordHash === undefined ? 'none' : passwordCredential(passwordHash.expose());
}
