import type { RandomBytes } from '#shared/random-id.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { stepAt, type TotpSettings } from '#main-agent/two-factor/totp.ts';
import type { AccountNotice } from '#main-agent/two-factor/code-delivery.ts';
import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import { recoveryId } from '#main-agent/vault/stored-factors.ts';
import { makeUlid, timeOf } from '#main-agent/vault/ulid.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { acceptRestoredOption, changesPerCommit, recordsPerCommit } from './limits.ts';
import type { Restores } from './restores.ts';
import type { Starts } from './starts.ts';
import { readBeyond, type AuditFacts, type ToldRecord } from './witnesses.ts';

/**
 * Makes an older state.db one that may be in force (D-85): nothing that could have been spent, ended or taken away
 * since its end is good any more. Where the audit files go on from the state without a gap they say what happened;
 * where they don't, or somebody knows of later records than they have, all of a kind is void. What always goes:
 * sessions, leases, remembered browsers, bypass and sent codes, and every time step up to now. Whoever is told (by
 * mail) lost a part of their second factor.
 */

export interface AcceptanceParts {
  readonly facts: AuditFacts;
  readonly state: StateStore;
  readonly enrolments: EnrolmentSource;
  /** The configured nodes: name to link key. */
  readonly nodes: ReadonlyMap<string, string>;
  readonly restores: Restores;
  readonly starts: Starts;
  readonly totp: TotpSettings;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

export interface Voided {
  readonly username: string;
  readonly kind: Extract<AccountNotice['kind'], 'recovery-codes-void' | 'two-factor-void'>;
}

/**
 * `known`: the newest record that somebody knows. Each step may be done twice: a crash before the last commit leaves a
 * main that still has to be told to accept.
 */
export async function acceptRestoredState(
  parts: AcceptanceParts,
  { known, detail, reason }: { readonly known: number; readonly detail: string; readonly reason: string },
): Promise<readonly Voided[]> {
  const { facts, state, restores, starts } = parts;
  const { last } = await state.read('audit-extent');
  const happened = new Happened();
  const told = await readBeyond(facts, last, (one) => happened.take(one));
  // A mark is used up by its acceptance; a flag may have been left where it was given.
  const isFlag = restores.suspected()?.restoredBy === undefined;
  const isOld =
    happened.reasons.has(reason) || restores.list().some(({ accepted }) => accepted?.reason === reason);
  if (isFlag && isOld) {
    throw new SallyportError('config', 'This reason was given for another restore', {
      detail,
      hint: `was --${acceptRestoredOption} left in the unit? Give the reason of this restore`,
    });
  }
  const isTold = told.continues && told.last >= known;

  await restores.expect(detail, known);
  await voidSharedEvidence(parts, happened, isTold);
  const [end] = last === 0 ? [] : await state.read('audit-after', { sequence: last - 1, limit: 1 });
  const endedAtMs = end === undefined ? Infinity : Date.parse(end.record.time);
  const voided = await voidFactors(parts, happened, { isTold, endedAtMs });
  if (told.continues) await fillIn(parts, last);
  const upTo = Math.max(known, told.last);
  await state.commit([{ kind: 'skip-audit-numbers', upTo }]);
  const extent = isTold ? 'as the audit tells' : 'all, for the audit does not tell';
  await state.commit([
    ...(await starts.prepare(restores.suspected()?.knownStart ?? 0)),
    ...restores.accept(`${detail}; void: ${extent}`, upTo, reason),
  ]);
  return voided;
}

/** What the records beyond the state say, as far as it decides what is void. */
class Happened {
  /** Of restores that were accepted since. */
  readonly reasons = new Set<string>();
  readonly revokedTokens = new Set<string>();
  readonly revokedNodes = new Set<string>();
  /** Users whose factor was taken away or made anew, by the last of either. */
  readonly factors = new Map<string, 'reset' | 'made'>();
  /** Users who used a recovery code of their last enrolment. */
  readonly usedRecovery = new Set<string>();

  take({ record }: ToldRecord): void {
    if (record.outcome !== 'ok') return;
    if (record.event === 'admin.call') this.#takeCall(record);
    if (record.event === 'state.restored') this.reasons.add(record.rule ?? '');
    const { user, event, method } = record;
    if (user === undefined) return;
    if (method === 'recovery') this.usedRecovery.add(user);
    if (event === 'two-factor.reset' || event === 'user.forgotten') this.factors.set(user, 'reset');
    if (event === 'two-factor.enrolled' || event === 'account.recovery-codes') {
      this.factors.set(user, 'made');
      this.usedRecovery.delete(user);
    }
  }

  /** A call's note names what it was about: `token 7XK2…`, `node dmz1`. */
  #takeCall({ rule, detail = '' }: AuditRecord): void {
    const subject = detail.split(' ')[1] ?? '';
    if (rule === 'DELETE /v1/tokens/{id}') this.revokedTokens.add(subject);
    if (rule === 'POST /v1/nodes/{node}/revoke') this.revokedNodes.add(subject);
    if (rule === 'DELETE /v1/nodes/{node}/revoke') this.revokedNodes.delete(subject);
  }
}

async function voidSharedEvidence(
  { state, nodes, totp, clock }: AcceptanceParts,
  happened: Happened,
  isTold: boolean,
): Promise<void> {
  const tokens = await state.read('kept-token');
  // Some may have been used since; whoever waits gets another one.
  const links = await state.read('kept-password-link');
  const gone = tokens.filter(({ id }) => !isTold || happened.revokedTokens.has(id));
  const revoked = [...happened.revokedNodes].flatMap((id): Change[] => {
    const identity = nodes.get(id);
    if (identity === undefined) return [];
    const nowMs = clock.now();
    const reason = 'was revoked after the state that was restored';
    const record = { id, identity, reason, createdBy: 'system', createdAtMs: nowMs };
    return [{ kind: 'keep-record', list: 'revoked-node', record }];
  });
  await commitAll(state, [
    // A code of a step to come is accepted `skewSteps` early, so it may have been used already.
    { kind: 'void-evidence', step: stepAt(clock.now(), totp) + totp.skewSteps },
    ...gone.map(({ id }): Change => ({ kind: 'drop-record', list: 'token', id })),
    ...links.map(({ id }): Change => ({ kind: 'drop-record', list: 'password-link', id })),
    ...revoked,
  ]);
}

async function voidFactors(
  parts: AcceptanceParts,
  happened: Happened,
  { isTold, endedAtMs }: { readonly isTold: boolean; readonly endedAtMs: number },
): Promise<readonly Voided[]> {
  const { enrolments, state } = parts;
  const voided: Voided[] = [];
  const names = new Set([...(await enrolments.list()), ...happened.factors.keys()]);
  const changes: Change[] = [];
  for (const username of names) {
    const file = await enrolments.read(username).catch(() => undefined);
    const { enrolment: present, newestEnrolment: newest } = await state.read('two-factor-state', {
      user: username,
    });
    const isInForce = file !== undefined && file.id === present;
    const isNewer = file !== undefined && (newest === undefined || file.id > newest);
    const what = happened.factors.get(username);
    if (what === 'reset') {
      // A newer file, of before the reset, is made known first: so it is one of before, and not to be taken over.
      if (isNewer) changes.push({ kind: 'set-enrolment', user: username, id: file.id, expected: present });
      const expected = isNewer ? file.id : present;
      changes.push({ kind: 'set-enrolment', user: username, id: undefined, expected });
      if (present !== undefined) voided.push({ username, kind: 'two-factor-void' });
      continue;
    }
    // Taken over already by an acceptance that a crash cut off.
    const isAdopted = isInForce && timeOf(file.id) > endedAtMs;
    if (what === 'made' && !isNewer && !isAdopted) {
      // The file is of before, too: an id without a file keeps it from counting until an admin has reset it.
      const id = makeUlid(parts.clock.now(), parts.random, newest);
      changes.push({ kind: 'set-enrolment', user: username, id, expected: present });
      voided.push({ username, kind: 'two-factor-void' });
      continue;
    }
    if (file === undefined || !(isInForce || isNewer)) continue;
    if (isNewer) changes.push(...adopt(parts, username, file, present));
    if (!isTold || happened.usedRecovery.has(username)) {
      const spent = await spendRecoveryCodes(state, username, file);
      changes.push(...spent);
      if (spent.length > 0) voided.push({ username, kind: 'recovery-codes-void' });
    }
    if (changes.length >= changesPerCommit) await commitAll(state, changes.splice(0));
  }
  await commitAll(state, changes);
  return voided;
}

/** An authenticator that was set up after the state's end is the user's own. */
function adopt(
  { clock, totp }: AcceptanceParts,
  user: string,
  { id }: Enrolment,
  expected: string | undefined,
): readonly Change[] {
  const step = stepAt(clock.now(), totp) + totp.skewSteps;
  return [
    { kind: 'set-enrolment', user, id, expected },
    { kind: 'use-time-step', user, enrolment: id, step },
  ];
}

async function spendRecoveryCodes(
  state: Pick<StateStore, 'read'>,
  user: string,
  { recoveryCodes }: Enrolment,
): Promise<readonly Change[]> {
  const ids = recoveryCodes.map(recoveryId);
  const used = new Set(await state.read('used-codes', { user, ids }));
  return ids.filter((id) => !used.has(id)).map((id) => ({ kind: 'use-code', user, id }));
}

/** The files' records beyond the state, so that their chain goes on from the state. */
async function fillIn({ facts, state }: AcceptanceParts, last: number): Promise<void> {
  let changes: Change[] = [];
  await readBeyond(facts, last, async ({ sequence, record }) => {
    changes.push({ kind: 'restore-audit', sequence, record });
    if (changes.length < recordsPerCommit) return;
    await state.commit(changes);
    changes = [];
  });
  await state.commit(changes);
}

async function commitAll(state: Pick<StateStore, 'commit'>, changes: readonly Change[]): Promise<void> {
  for (let start = 0; start < changes.length; start += changesPerCommit) {
    const result = await state.commit(changes.slice(start, start + changesPerCommit));
    if (!result.ok) throw new Error(`the restored state was not made safe: ${result.failed} failed`);
  }
}
