import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { acceptRestoredState, type AcceptanceParts, type Voided } from './acceptance.ts';
import { acceptRestoredOption } from './limits.ts';
import { requireReason } from './restores.ts';
import { findOlderAudit, findOlderState } from './witnesses.ts';

/**
 * Before main writes anything: is state.db older than what the audit files, their checkpoints or a node know? A used
 * recovery code, a revoked token, a session that was signed out would be good again, so main refuses to start until a
 * person accepts the restore with a reason; then nothing of that is good.
 */
interface RestoredParts extends AcceptanceParts {
  readonly stateFile: string;
  /** The reason that `--accept-restored-state` was given. */
  readonly accept: string | undefined;
  readonly log: Log;
}

/** Rejects `config`. Resolves with who lost a part of their second factor by an acceptance. */
export async function openRestored(parts: RestoredParts): Promise<readonly Voided[]> {
  const { restores, starts, log } = parts;
  const given =
    parts.accept === undefined ? undefined : requireReason(parts.accept, `--${acceptRestoredOption}`);
  await restores.start();
  const reason = restores.suspected()?.restoredBy?.reason ?? given;
  const older = await describeOlderState(parts);
  if (older === undefined) {
    if (given !== undefined)
      log.warn(`--${acceptRestoredOption} was given, and nothing is to be accepted: take it out again`);
    const audit = await findOlderAudit(parts.facts);
    await starts.begin();
    if (audit !== undefined) {
      const detail = `${parts.facts.auditFile} ended at record ${audit.endsAt}, state.db has noted ${audit.noted} in it; written again from state.db`;
      log.error({ alarm: 'audit-restored', detail }, 'the audit was put back or cut');
      await restores.noticeOldAudit(detail, audit.noted);
    }
    return [];
  }
  if (reason === undefined) throw refusal(older.detail, restores.suspected()?.isMoved === true);
  log.error({ alarm: 'state-restored', detail: older.detail, reason }, 'an older state is accepted');
  const voided = await acceptRestoredState(parts, { ...older, reason });
  await restores.start();
  return voided;
}

async function describeOlderState(
  parts: RestoredParts,
): Promise<{ readonly known: number; readonly detail: string } | undefined> {
  const { facts, restores, state, stateFile } = parts;
  const suspected = restores.suspected();
  const known = await findOlderState(facts);
  if (known === undefined) return suspected;
  const { last } = await state.read('audit-extent');
  const [end] = last === 0 ? [] : await state.read('audit-after', { sequence: last - 1, limit: 1 });
  const own = `${stateFile} ends at audit record ${last}${at(end?.record)}`;
  const other = `${known.by} has record ${known.sequence}${at(known)}`;
  const detail =
    known.sequence > last
      ? `${own}; ${other}`
      : `${own}, and its record ${known.sequence} is another than the one in ${known.by}`;
  return {
    known: Math.max(known.sequence, suspected?.known ?? 0),
    detail: suspected?.restoredBy === undefined ? detail : suspected.detail,
  };
}

function at(one: Pick<AuditRecord, 'time'> | { readonly time: string | undefined } | undefined): string {
  return one?.time === undefined ? '' : ` of ${one.time}`;
}

function refusal(detail: string, isMoved: boolean): SallyportError {
  const accepting = `start main once with --${acceptRestoredOption} "why": then everybody signs in anew, and what could have been used since is void`;
  return isMoved
    ? new SallyportError('config', 'This main was moved to another box', {
        detail,
        hint: `start it there. If it never ran there, or is to come back: stop it there, and here ${accepting}`,
      })
    : new SallyportError('config', 'The state is older than what is known of it', {
        detail,
        hint: `put the newest state.db back, or ${accepting}`,
      });
}
