import type { NodeLink } from '#main-agent/link/handlers.ts';
import {
  type AccountNotice,
  notifyUser,
  type AccountNotifier,
} from '#main-agent/two-factor/code-delivery.ts';
import type { StoredAccountChange } from '#main-agent/state/name-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { requireRoom, type OwnCredentials } from '#main-agent/users/own-credentials.ts';
import { KeyLock } from '#main-agent/turns.ts';
import { purposeOf } from '#shared/assertion/account-change.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { AccountChange, OwnSshKey, Params, Result } from '#shared/link/messages.ts';
import type { Method, StepUpPurpose } from '#shared/login.ts';
import { Secret } from '#shared/secret.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import { passwordCredential } from '#main-agent/sessions/credential.ts';
import { viewOwnKey } from './own-views.ts';
import { requireChangeAllowed, sshKeyId } from './self-service.ts';
import type { AnySession, FullSession } from '#main-agent/sessions/session.ts';
import { factsOf } from '#main-agent/sessions/session-facts.ts';
import type { PreparedSession, Sessions } from '#main-agent/sessions/sessions.ts';
import { viewSession } from '#main-agent/sessions/session-view.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import type { Challenges } from '#main-agent/login/challenges.ts';
import { endWaivers, type Leases } from '#main-agent/sessions/leases.ts';
import type { Clock } from '#shared/clock.ts';
import type { StepUpCheck, StepUpProof } from './step-up-check.ts';
import { keyCommentCharactersMax } from './limits.ts';
import type { StepUps } from './step-ups.ts';

/**
 * What users change about their own account (D-23). One commit spends the evidence, notes the change with node, session
 * and time (S-15) and gives the session a new id; the user's file is written after it. A crash between the two leaves a
 * spent code and a note of a change that did not happen, never a change without evidence.
 */

type Changed = Result<'account.change'>;

/** A change that was found sensible. */
type Plan =
  | { readonly kind: 'password'; readonly next: Secret; readonly etag: string | undefined }
  | { readonly kind: 'add-ssh-key' | 'remove-ssh-key'; readonly key: SshPublicKey }
  | { readonly kind: 'recovery-codes' };

interface Deed {
  readonly kind: StoredAccountChange['kind'];
  readonly subject: string;
  readonly notice: AccountNotice['kind'];
  /** The session's credential from here on. */
  readonly credential?: string;
  readonly alongside?: readonly Change[];
}

const spending: ReadonlySet<Change['kind'] | undefined> = new Set(['use-time-step', 'use-code']);

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly passwords: Passwords;
  readonly challenges: Challenges;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly stepUps: StepUps;
  readonly credentials: OwnCredentials;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
}

export class AccountChanges {
  readonly #parts: Parts;
  readonly #check: StepUpCheck;
  /** A user's changes one after the other: each looks at what the one before left. */
  readonly #turns = new KeyLock();

  constructor(parts: Parts, check: StepUpCheck) {
    this.#parts = parts;
    this.#check = check;
  }

  async open(session: FullSession, purpose: StepUpPurpose): Promise<Result<'account.step-up'>> {
    const { config, stepUps } = this.#parts;
    requireChangeAllowed(config, session, purpose);
    const kinds = await this.#check.codesFor(session.username, purpose);
    const { challenge, nonce } = stepUps.open(session, purpose);
    const digits = config.twoFactor.totp.digits === 6 ? ('digits6' as const) : ('digits8' as const);
    return { challenge, nonce, shapes: kinds.map((kind) => (kind === 'totp' ? digits : kind)) };
  }

  change(
    params: Params<'account.change'>,
    session: FullSession,
    link: NodeLink,
    asker?: Asker,
  ): Promise<Changed> {
    return this.#turns.run(session.username, async () => {
      // Nothing is spent for who has gone, and somebody before us in the line may have ended it.
      asker?.requireWaiting();
      if (session.ended.aborted) throw new SallyportError('no-session', 'You are signed out');
      requireChangeAllowed(this.#parts.config, session, purposeOf(params.change));
      // Before the evidence: what can't be done must not cost a code.
      const plan = await this.#plan(params.change, params.current, session);
      const proof = await this.#check.prove(params, session, link, asker);
      if (proof.outcome === 'again') return proof;
      return this.#do(plan, proof, params.assertion, session, link);
    });
  }

  async #plan(change: AccountChange, current: string, session: FullSession): Promise<Plan> {
    const { config, credentials, passwords, vault } = this.#parts;
    const { username } = session;
    switch (change.kind) {
      case 'password': {
        const next = new Secret(change.value);
        passwords.requireGood(next, username);
        if (change.value === current)
          throw new SallyportError('too-weak', 'That is the password you have now', {
            data: { weakness: 'unchanged' },
          });
        return { kind: 'password', next, etag: await credentials.etag(username) };
      }
      case 'add-ssh-key': {
        const key = parseKey(change.value);
        requireRoom(session.user().sshKeys, key);
        return { kind: 'add-ssh-key', key };
      }
      case 'remove-ssh-key': {
        const key = session.user().sshKeys.find((one) => sshKeyId(one) === change.value);
        if (key === undefined) throw new SallyportError('not-found', 'There is no such key');
        if (!(await credentials.ownKeys(username)).has(key.fingerprint))
          throw new SallyportError('not-allowed', 'Your administrator gave this key; ask there');
        return { kind: 'remove-ssh-key', key };
      }
      case 'recovery-codes':
        if ((await vault.status(username)).state !== 'enrolled')
          throw new SallyportError('conflict', 'Two-factor authentication is not set up');
        if (config.twoFactor.enrolment.recoveryCodes === 0)
          throw new SallyportError('not-allowed', 'There are no recovery codes here', {
            detail: 'enrolment.recovery_codes is 0',
          });
        return { kind: 'recovery-codes' };
    }
  }

  async #do(
    plan: Plan,
    proof: StepUpProof,
    assertion: string,
    session: FullSession,
    link: NodeLink,
  ): Promise<Changed> {
    const { credentials, leases } = this.#parts;
    const { username } = session;
    const commit = (deed: Deed): Promise<Committed | Changed> =>
      this.#commit(deed, proof, assertion, session, link);
    switch (plan.kind) {
      case 'password':
        return this.#changePassword(plan, session, commit);
      case 'add-ssh-key': {
        const { key } = plan;
        const { fingerprint: subject } = key;
        const done = await commit({ kind: 'ssh-key-added', subject, notice: 'ssh-key-added' });
        if ('outcome' in done) return done;
        await this.#write(session, () => credentials.addKey(username, key));
        const { atMs, node } = done.noted;
        return this.#changed(done, { sshKey: viewOwnKey(key, true, { atMs, node }) });
      }
      case 'remove-ssh-key': {
        const { fingerprint } = plan.key;
        const done = await commit({
          kind: 'ssh-key-removed',
          subject: fingerprint,
          notice: 'ssh-key-removed',
        });
        if ('outcome' in done) return done;
        await this.#write(session, () => credentials.removeKey(username, fingerprint));
        await leases.endWhere((one) => one.username === username && one.credential === fingerprint);
        return this.#changed(done);
      }
      case 'recovery-codes':
        return this.#renewRecoveryCodes(proof, assertion, session, link);
    }
  }

  /** Whoever knew the old one is out: sessions, leases, devices, logins under way. */
  async #changePassword(
    { next, etag }: Extract<Plan, { kind: 'password' }>,
    session: FullSession,
    commit: (deed: Deed) => Promise<Committed | Changed>,
  ): Promise<Changed> {
    const { challenges, credentials, leases, passwords, sessions } = this.#parts;
    const { username, node, clientIp } = session;
    const hash = await passwords.hash(next, username, { node, clientIp, known: true });
    const credential = passwordCredential(hash.expose());
    const done = await commit({
      kind: 'password',
      subject: credential,
      notice: 'password-changed',
      credential,
      alongside: endWaivers(username),
    });
    if ('outcome' in done) return done;
    leases.forget(username);
    challenges.endAllOf(username);
    await this.#write(session, () => credentials.setPassword(username, hash, etag));
    await sessions.endAllOf(username, 'the password was changed', done.live.key);
    return this.#changed(done);
  }

  async #renewRecoveryCodes(
    proof: StepUpProof,
    assertion: string,
    session: FullSession,
    link: NodeLink,
  ): Promise<Changed> {
    const { config, vault } = this.#parts;
    const renewed = this.#prepare(session, link);
    const deedOf = (id: string): Deed => ({
      kind: 'recovery-codes',
      subject: id,
      notice: 'recovery-codes-renewed',
    });
    const result = await vault
      .renewRecoveryCodes({
        username: session.username,
        recoveryCodes: config.twoFactor.enrolment.recoveryCodes,
        evidence: proof.evidence,
        alongside: (id) => this.#notes(deedOf(id), proof.method, assertion, renewed).changes,
      })
      .catch((error: unknown) => {
        renewed.cancel();
        throw error;
      });
    if (!result.ok) return this.#failed(result.failed, renewed, session);
    const done = this.#open(deedOf(''), renewed, session);
    return this.#changed(done, { recoveryCodes: result.recoveryCodes.map((one) => one.expose()) });
  }

  async #commit(
    deed: Deed,
    proof: StepUpProof,
    assertion: string,
    session: FullSession,
    link: NodeLink,
  ): Promise<Committed | Changed> {
    const renewed = this.#prepare(session, link, deed.credential);
    const { changes, noted } = this.#notes(deed, proof.method, assertion, renewed);
    const result = await this.#parts.state
      .commit([...proof.evidence, ...changes, ...(deed.alongside ?? [])])
      .catch((error: unknown) => {
        renewed.cancel();
        throw error;
      });
    if (!result.ok) return this.#failed(result.failed, renewed, session);
    return { ...this.#open(deed, renewed, session), noted };
  }

  /** The session goes on under a new id (a step up always gives one). */
  #prepare(session: FullSession, link: NodeLink, credential?: string): PreparedSession {
    const { sessions } = this.#parts;
    const facts = factsOf(sessions, session);
    return sessions.prepare(
      { ...facts, worker: link.worker, ...(credential === undefined ? {} : { credential }) },
      {
        instead: session,
        sessionsMax: Infinity,
        ...(credential === undefined ? {} : { credentialBefore: facts.credential }),
      },
    );
  }

  #notes(
    deed: Deed,
    method: Method,
    assertion: string,
    renewed: PreparedSession,
  ): { readonly changes: readonly Change[]; readonly noted: StoredAccountChange } {
    const { username, node, protocol, clientIp, key } = renewed.stored;
    const { kind, subject } = deed;
    const noted = {
      kind,
      username,
      node,
      session: key,
      clientIp,
      atMs: this.#parts.clock.now(),
      subject,
    };
    return {
      noted,
      changes: [
        renewed.change,
        { kind: 'note-account-change', change: noted },
        {
          kind: 'audit',
          record: buildRecord(this.#parts, `account.${kind}`, 'ok', {
            user: username,
            node,
            protocol,
            clientIp,
            sessionKey: key,
            method,
            rule: method === 'none' ? 'password' : `password and code: ${method}`,
            detail: subject,
            assertion,
          }),
        },
      ],
    };
  }

  async #failed(
    failed: Change['kind'] | undefined,
    renewed: PreparedSession,
    session: FullSession,
  ): Promise<Changed> {
    renewed.cancel();
    if (spending.has(failed)) return this.#check.lostRace(session);
    if (failed === 'replace-session') throw new SallyportError('no-session', 'You are signed out');
    throw new SallyportError('conflict', 'Your account was changed at the same moment; try again', {
      detail: `the change's commit failed at ${failed ?? 'no factor'}`,
    });
  }

  #open({ notice }: Deed, renewed: PreparedSession, session: FullSession): Opened {
    const { stepUps } = this.#parts;
    const { node, clientIp } = session;
    stepUps.end(session.key);
    const user = session.user();
    const live = renewed.open();
    notifyUser(this.#parts, user, notice, { node, clientIp });
    return { live, id: renewed.id };
  }

  async #changed(
    { live, id }: Opened,
    more: { readonly recoveryCodes?: string[]; readonly sshKey?: OwnSshKey } = {},
  ): Promise<Changed> {
    return { outcome: 'changed', view: await viewSession(this.#parts, live, id), ...more };
  }

  /** Into the user's file. The commit says that it happened; if it did not, the audit says so too. */
  #write({ username: user, node, clientIp }: FullSession, work: () => Promise<unknown>): Promise<void> {
    return writeOwnFile(this.#parts, { user, node, clientIp }, work);
  }
}

/** What a commit says has happened; where it then has not, the audit says so, too. Rejects `conflict`. */
export async function writeOwnFile(
  parts: Pick<Parts, 'state' | 'clock'>,
  facts: { readonly user: string; readonly node: string; readonly clientIp: string },
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    const detail = isSallyportError(error) ? (error.detail ?? error.code) : String(error);
    const record = buildRecord(parts, 'account.not-written', 'failed', { ...facts, detail });
    await parts.state.commit([{ kind: 'audit', record }]);
    throw new SallyportError('conflict', 'That could not be saved; sign in and try again', {
      detail,
      cause: error,
    });
  }
}

interface Opened {
  readonly live: AnySession;
  readonly id: string;
}
interface Committed extends Opened {
  readonly noted: StoredAccountChange;
}

function parseKey(line: string): SshPublicKey {
  let key: SshPublicKey;
  try {
    key = parsePublicKeyLine(line);
  } catch (error) {
    const known = isSallyportError(error) ? error : undefined;
    const why = known?.detail ?? '';
    throw new SallyportError('too-weak', `That is no SSH key for here: ${why.slice(0, 200)}`, {
      data: { weakness: 'key-unreadable', ...known?.data },
      cause: error,
    });
  }
  if (key.comment.length > keyCommentCharactersMax)
    throw new SallyportError('too-weak', `The key's comment is longer than ${keyCommentCharactersMax}`, {
      data: { weakness: 'key-comment' },
    });
  return key;
}
