import type { AdminReason } from '#main-agent/administrator.ts';
import type { HistorySource } from '#main-agent/audit/history.ts';
import type { FileService } from '#main-agent/files/file-service.ts';
import type { Since, TakingBack } from '#main-agent/files/taking-back.ts';
import { viewNodeChange } from '#main-agent/help-desk/node-change-view.ts';
import type { NodeChange, NodeChangeAdmin, NodeChanges } from '#main-agent/help-desk/node-changes.ts';
import type { NodeAdmin } from '#main-agent/link/node-admin.ts';
import { type Audit, buildRecord } from '#main-agent/state/audit-record.ts';
import { Serial } from '#main-agent/turns.ts';
import type { Clock } from '#shared/clock.ts';
import {
  deedOf,
  findAll,
  type Findings,
  findSince,
  type Numbered,
  readDeeds,
  type Window,
} from './findings.ts';
import { kindOf } from './kinds.ts';
import { comparedMs, undoMs } from './limits.ts';
import type { IncidentReport } from './report.ts';
import { stepsOf } from './steps.ts';

/**
 * The day on which a DMZ box was broken into (S-15, D-164): the node is revoked, what came through it since is told, and undone
 * where it can be. Everything is read from the audit and the state, by main's own clock; nothing is asked of the node.
 *
 * An undoing that is cut off goes on when it is asked for again: what it did is in the audit or seen where it was done.
 */

export interface IncidentAdmin {
  /** A rehearsal tells what an undoing would do, and changes nothing. Rejects `not-found` for a node nobody knows. */
  report(asked: IncidentAsked, why: AdminReason): Promise<IncidentReport>;
}

interface IncidentAsked {
  readonly node: string;
  readonly fromMs: number;
  /** Not any more; undefined: up to now. */
  readonly toMs: number | undefined;
  readonly mode: IncidentReport['mode'];
}

interface IncidentParts {
  readonly nodes: Pick<NodeAdmin, 'list' | 'revoke'>;
  readonly nodeChanges: NodeChangeAdmin;
  readonly files: Pick<FileService, 'takeBack' | 'settled'>;
  readonly history: HistorySource;
  /** Whether there is one of exactly this name. */
  readonly isUser: (name: string) => boolean;
  readonly audit: Audit;
  readonly clock: Clock;
}

type Back = Pick<TakingBack, 'keyOf' | 'undo'>;
type ReportedFile = IncidentReport['files'][number];
type Undo = ReportedFile['undo'];

export function buildIncidentAdmin(parts: IncidentParts): IncidentAdmin {
  // Two at once would undo each other's doings.
  const turns = new Serial();
  return { report: (asked, why) => turns.run(() => report(parts, asked, why)) };
}

async function report(
  parts: IncidentParts,
  { node, fromMs, toMs, mode }: IncidentAsked,
  why: AdminReason,
): Promise<IncidentReport> {
  const { clock, history, isUser } = parts;
  const nodeState = await revoke(parts, node, mode, why);
  // Whoever revoked it, a moment ago perhaps: what its sessions did last may still be on its way to the audit.
  await parts.files.settled();
  const window: Window = { node, fromMs, toMs: toMs ?? clock.now() + 1 };
  const findings = await findAll(history, window, isUser);
  const changes = await changesOf(parts, window, mode, why, findings);
  const judged = await judgeAll(parts, { window, mode, findings }, why);
  const goOnMs = Math.max(judged.lateMs ?? 0, findings.listedFromMs ?? 0);
  const told: Omit<IncidentReport, 'steps'> = {
    node,
    since: iso(fromMs),
    until: iso(window.toMs),
    mode,
    node_state: nodeState,
    known: {
      records: findings.records,
      gaps: findings.gaps.map((gap) => ({
        ...(gap.fromMs !== undefined && { from: iso(gap.fromMs) }),
        ...(gap.toMs !== undefined && { to: iso(gap.toMs) }),
        why: gap.why,
      })),
      never: [...neverRecorded],
      compared_since: iso(fromMs - comparedMs),
    },
    people: viewPeople(findings),
    sessions: [...findings.sessions.values()],
    changes: changes.map(viewNodeChange),
    files: findings.files.toReversed().map((one) => ({
      ...viewFile(one),
      undo: judged.verdicts.get(one.sequence) ?? viewUndo(one, findings),
    })),
    other: findings.other.toReversed().map(viewOther),
    counts: { ...findings.counts, ...judged.counts },
    more: findings.isCut || judged.lateMs !== undefined,
    // One millisecond is told twice rather than in part never.
    ...(goOnMs > 0 && { more_until: iso(goOnMs + 1) }),
  };
  return { ...told, steps: stepsOf(told, isUser) };
}

/** What a session can do of which there is no record, so that nobody takes the lists for more than they are. */
const neverRecorded = [
  'which folders were listed, and which names, sizes and checksums were asked for',
  'key probes: whether a key that was offered without a signature is somebody’s',
  'what a node read of what passed through it: all of the content above, passwords and codes as they were typed',
] as const;

async function revoke(
  { nodes }: Pick<IncidentParts, 'nodes'>,
  node: string,
  mode: IncidentReport['mode'],
  why: AdminReason,
): Promise<IncidentReport['node_state']> {
  const known = nodes.list().find(({ name }) => name === node);
  // One that was taken out of the configuration is asked about most.
  if (known === undefined) return { state: 'not configured' };
  if (known.state === 'revoked') return { state: 'revoked before' };
  if (mode === 'rehearsed') return { state: 'trusted' };
  return { state: 'revoked now', sessions_ended: await nodes.revoke(node, why) };
}

async function changesOf(
  { nodeChanges }: IncidentParts,
  { node, fromMs, toMs }: Window,
  mode: IncidentReport['mode'],
  why: AdminReason,
  findings: Findings,
): Promise<readonly NodeChange[]> {
  const all: NodeChange[] = [];
  for (let since = fromMs; ;) {
    const page: NodeChanges = await (mode === 'undone'
      ? nodeChanges.revoke(node, since, toMs, why)
      : nodeChanges.list(node, since, toMs));
    all.push(...page.changes);
    const lastMs = Math.max(...page.changes.map(({ atMs }) => atMs));
    if (!page.isCut || lastMs <= since) break;
    since = lastMs;
  }
  const unknown = findings.changes.flatMap(({ record }) => forgottenChange(record, all));
  return [...all, ...unknown].toSorted((one, other) => other.atMs - one.atMs);
}

/** One that the audit has and the state has forgotten. */
function forgottenChange(
  { event, outcome, user, time, clientIp, sessionKey, detail }: Numbered['record'],
  known: readonly NodeChange[],
): NodeChange[] {
  const kind = changeKinds[event];
  const atMs = Date.parse(time);
  if (kind === undefined || outcome !== 'ok' || user === undefined) return [];
  if (known.some((one) => one.kind === kind && one.user === user && Math.abs(one.atMs - atMs) < sameChangeMs))
    return [];
  const note = 'the state does not know it any more';
  return [
    {
      kind,
      user,
      atMs,
      ...(sessionKey !== undefined && { session: sessionKey }),
      ...(clientIp !== undefined && { clientIp }),
      ...(detail !== undefined && { subject: detail }),
      state: 'gone',
      note,
    },
  ];
}

/** The record and the note of one change are made one after the other. */
const sameChangeMs = 5_000;
const changeKinds: Readonly<Partial<Record<string, NodeChange['kind']>>> = {
  'two-factor.enrolled': 'enrolled',
  'account.enrolled': 'enrolled',
  'account.recovery-codes': 'recovery-codes',
  'account.password': 'password',
  'account.ssh-key-added': 'ssh-key-added',
  'account.ssh-key-removed': 'ssh-key-removed',
};

interface Judging {
  readonly window: Window;
  readonly mode: IncidentReport['mode'];
  readonly findings: Findings;
}

interface Judged {
  /** By number, of what is listed. */
  readonly verdicts: ReadonlyMap<number, Undo>;
  /** How many became what, listed or not. */
  readonly counts: Readonly<Record<string, number>>;
  /** When what was judged last was done, where there was no time for the rest. */
  readonly lateMs?: number;
}

/**
 * Newest first: what was done last hides what was done before. All of the window: what is listed is bounded, and a node
 * could push its deeds out of there with others that cost it nothing.
 */
async function judgeAll(
  parts: IncidentParts,
  { window, mode, findings }: Judging,
  why: AdminReason,
): Promise<Judged> {
  const { clock, files, history } = parts;
  const verdicts = new Map<number, Undo>();
  const counts: Record<string, number> = {};
  if (mode === 'listed') return { verdicts, counts };
  const listed = new Set(findings.files.map(({ sequence }) => sequence));
  const back = files.takeBack(window.node, mode !== 'undone');
  const endMs = clock.monotonic() + undoMs;
  let lastMs = window.toMs;
  for await (const page of readDeeds(history, window, findings.undone)) {
    const since = await findSince(history, window, page, (user, path) => back.keyOf(user, path));
    for (const one of page.toReversed()) {
      if (clock.monotonic() > endMs) return { verdicts, counts, lateMs: lastMs };
      const undo = await judge(parts, one, { node: window.node, mode, back, since }, why);
      counts[undo.state] = (counts[undo.state] ?? 0) + 1;
      if (listed.has(one.sequence)) verdicts.set(one.sequence, undo);
      lastMs = Date.parse(one.record.time);
    }
  }
  return { verdicts, counts };
}

async function judge(
  parts: IncidentParts,
  one: Numbered,
  {
    node,
    mode,
    back,
    since,
  }: {
    readonly node: string;
    readonly mode: IncidentReport['mode'];
    readonly back: Back;
    readonly since: Since;
  },
  why: AdminReason,
): Promise<Undo> {
  const deed = deedOf(one);
  if (deed === undefined) return { state: 'none', note: kindOf(one.record.event).undo };
  const { state, note } = await back.undo(deed, since);
  if (state !== 'undone') return { state, note };
  if (mode === 'rehearsed') return { state: 'would be', note };
  await writeDown(parts, node, one, note, why);
  return { state: 'undone', note };
}

/** Of what was not judged in this run. */
function viewUndo(one: Numbered, { undone }: Findings): Undo {
  if (undone.has(one.sequence)) return { state: 'before', note: 'an earlier run undid it' };
  return { state: deedOf(one) === undefined ? 'none' : 'can be', note: kindOf(one.record.event).undo };
}

/** Durable before the next is undone: whoever runs it again does not begin anew. */
async function writeDown(
  { audit, clock }: IncidentParts,
  node: string,
  { sequence, record: { user, path, toPath } }: Numbered,
  note: string,
  { actor, reason }: AdminReason,
): Promise<void> {
  await audit.append(
    buildRecord({ clock }, 'incident.undone', 'ok', {
      actor,
      node,
      rule: `record ${sequence}`,
      ...(user !== undefined && { user }),
      ...(path !== undefined && { path }),
      ...(toPath !== undefined && { toPath }),
      detail: `${note}: ${reason}`,
    }),
  );
}

function viewPeople({ people }: Findings): IncidentReport['people'] {
  const order = (user: string): string => `${people.get(user)?.isUser === true ? 0 : 1}${user}`;
  const view = (all: ReadonlyMap<string, boolean>) =>
    Array.from(all, ([value, isNew]) => ({ value, new: isNew }));
  return Array.from(people, ([user, one]) => ({
    user,
    signed_in: one.signedIn,
    factors: [...one.factors],
    refused: Object.fromEntries(one.refused),
    password_seen: one.isPasswordSeen,
    addresses: view(one.addresses),
    agents: view(one.agents),
    first: one.first,
    last: one.last,
  })).toSorted((one, other) => (order(one.user) < order(other.user) ? -1 : 1));
}

function viewFile({ sequence, record }: Numbered): Omit<ReportedFile, 'undo'> {
  const { event, time, user = '', path = '', toPath, outcome, bytes, sha256, sessionKey, clientIp } = record;
  return {
    record: sequence,
    at: time,
    user,
    what: kindOf(event).what,
    path,
    to_path: toPath,
    outcome,
    bytes,
    sha256,
    session: sessionKey,
    client_ip: clientIp,
  };
}

function viewOther({ sequence, record }: Numbered): IncidentReport['other'][number] {
  const { event, time, user, outcome, clientIp, detail, rule } = record;
  const { what, undo } = kindOf(event);
  return {
    record: sequence,
    at: time,
    event,
    what,
    outcome,
    user,
    client_ip: clientIp,
    detail: detail ?? rule,
    undo,
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
