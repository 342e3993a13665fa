import type { Method, Protocol } from '#shared/login.ts';
import type { Clock } from '#shared/clock.ts';

/**
 * `cut`: a transfer that its client did not end: its connection, or the node, went away, or somebody here ended it.
 * `partial`: one that its client ended before the whole was moved.
 */
export const auditOutcomes = ['ok', 'refused', 'failed', 'cut', 'partial'] as const;
type AuditOutcome = (typeof auditOutcomes)[number];

/** What a record tells of. Records of an earlier version may have others. */
export type AuditEvent =
  | 'account.enrolled'
  | 'account.recovery-codes'
  | 'account.password'
  | 'account.ssh-key-added'
  | 'account.ssh-key-removed'
  | 'account.password-link'
  | 'account.password-revoked'
  | 'account.ssh-key-revoked'
  | 'account.password-rehashed'
  | 'account.not-written'
  | 'account.step-up-refused'
  | 'admin.call'
  | 'admin.refused'
  | 'audit.contradicted'
  | 'audit.restore-acknowledged'
  | 'audit.restored'
  | 'audit.retired'
  | 'audit.summed'
  | 'backup.made'
  | 'ban.added'
  | 'ban.removed'
  | 'certificate.issued'
  | 'certificate.failed'
  | 'clock.confirmed'
  | 'clock.suspect'
  | 'device.ended'
  | 'device.revoked'
  | 'edge.banned'
  | 'edge.fault'
  | 'edge.forged'
  | 'edge.gap'
  | 'edge.limit'
  | 'edge.listener'
  | 'edge.protocol-abuse'
  | 'edge.refused'
  | 'fault'
  | 'incident.undone'
  | 'hostkeys.exported'
  | 'hostkeys.imported'
  | 'hostkeys.made'
  | 'hostkeys.rotated'
  | 'hostkeys.shared'
  | 'hostkeys.signed'
  | 'file.upload'
  | 'file.download'
  | 'file.delete'
  | 'file.rename'
  | 'file.copy'
  | 'file.mkdir'
  | 'file.attributes'
  | 'file.restore'
  | 'file.purge'
  | 'file.refused'
  | 'lease.ended'
  | 'link.other-main'
  | 'link.protocol-violation'
  | 'login.admitted'
  | 'login.refused'
  | 'login.code-refused'
  | 'login.throttled'
  | 'login.overloaded'
  | 'mail.skipped'
  | 'syslog.skipped'
  | 'webhook.skipped'
  | 'node.revoked'
  | 'node.unrevoked'
  | 'node.rotated'
  | 'notice.sent'
  | 'retention.ran'
  | 'session.ended'
  | 'state.contradicted'
  | 'state.restore-acknowledged'
  | 'state.restored'
  | 'two-factor.adopted'
  | 'two-factor.bypass-code'
  | 'two-factor.enrolled'
  | 'two-factor.imported'
  | 'two-factor.kept'
  | 'two-factor.orphan-back'
  | 'two-factor.orphaned'
  | 'two-factor.proof-refused'
  | 'two-factor.reminded'
  | 'two-factor.reset'
  | 'two-factor.returned'
  | 'two-factor.unlocked'
  | 'user.forgotten'
  | 'user.renamed';

/**
 * One security decision or file event: who, what, from where, through which node, by which rule, how it ended.
 * Never a secret. Written in the same transaction as what it records; `audit.jsonl` is fed from there in order.
 */
export interface AuditRecord {
  /** RFC 3339 UTC with milliseconds. */
  readonly time: string;
  readonly event: AuditEvent;
  readonly outcome: AuditOutcome;
  /** Who is acted on. */
  readonly user?: string;
  /** Who acts, when it is not the user: `socket:alice`, `system`. */
  readonly actor?: string;
  readonly node?: string;
  readonly protocol?: Protocol;
  readonly clientIp?: string;
  readonly agent?: string;
  readonly method?: Method;
  /** The rule that decided, for the admin. */
  readonly rule?: string;
  /** What a stranger was shown; `sallyport audit show` finds the record by it. */
  readonly reference?: string;
  readonly sessionKey?: string;
  /** The login assertion, as signed. */
  readonly assertion?: string;
  readonly path?: string;
  readonly toPath?: string;
  /** Moved; of a download: sent of the file, where what was sent again after a lost link counts once. */
  readonly bytes?: number;
  /** Of a transfer that did not move all: how long the file is, or the upload was to be. */
  readonly size?: number;
  /** Of such a download: what the client's connection has taken, as the node says. */
  readonly acknowledged?: number;
  readonly sha256?: string;
  /** Of a transfer; of a sign-in from its first factor on, with the time its person took. */
  readonly durationMs?: number;
  readonly detail?: string;
  /** In `audit.summed`: how many records of each event were counted instead of written. */
  readonly summed?: Readonly<Record<string, number>>;
  /** Where an event of a DMZ node stands in that node's own count. */
  readonly edge?: EdgePosition;
}

interface EdgePosition {
  readonly worker: number;
  /** The node's process; its count starts at 1 with each. */
  readonly boot: string;
  readonly sequence: number;
  /** In `edge.gap`: how many events from `sequence` on never came. */
  readonly missing?: number;
  /** The node's own clock, and its signature of the event (shared/link/edge-event.ts). */
  readonly atMs?: number;
  readonly signature?: string;
}

/** An audit record of now. */
export function buildRecord(
  { clock }: { readonly clock: Clock },
  event: AuditEvent,
  outcome: AuditRecord['outcome'],
  facts: Omit<AuditRecord, 'time' | 'event' | 'outcome'>,
): AuditRecord {
  return { time: new Date(clock.now()).toISOString(), event, outcome, ...facts };
}

/** How far the chain of records goes (audit/chain.ts): the last one. */
export interface ChainHead {
  readonly sequence: number;
  /** SHA-256 of the line without its newline, hex. */
  readonly hash: string;
}

/** What a record tells of, over all processes. What was told since `sinceMs` this process told: that it has done more. */
export interface ToldOnce {
  readonly of: string;
  readonly sinceMs: number;
}

/** Standalone records; records that belong to a change go into that change's transaction (StateStore.commit). */
export interface Audit {
  /**
   * Durable when it resolves. `once`: nothing is written if an earlier process told that in the last `keepReceiptsMs`.
   */
  append(record: AuditRecord, once?: ToldOnce): Promise<void>;
}

/** What of the audit stands in the store. */
export interface AuditExtent {
  /** Numbers of the oldest and the newest record; 0 = none. */
  readonly first: number;
  readonly last: number;
  /** As noted last. */
  readonly head: ChainHead | undefined;
}

/** How far a node's process has counted its events. */
export interface EdgeCount {
  readonly boot: string;
  readonly sequence: number;
}

export type AuditChange =
  | { readonly kind: 'audit'; readonly record: AuditRecord }
  /**
   * Fails if this was noted before `sinceMs`. What an audit record in the same commit tells of, so that it is told by one
   * process.
   */
  | ({ readonly kind: 'note-receipt'; readonly atMs: number } & ToldOnce)
  /** Never fails. The head of the audit files, so that they can be compared with it. */
  | { readonly kind: 'note-audit-head'; readonly head: ChainHead }
  /** Never fails. A record that stands in the audit files under this number and in an older store does not. */
  | { readonly kind: 'restore-audit'; readonly sequence: number; readonly record: AuditRecord }
  /** Never fails. Numbers up to this one are known elsewhere: none of them is given again. */
  | { readonly kind: 'skip-audit-numbers'; readonly upTo: number }
  /** Never fails. Only for records that are durable in the audit files. */
  | { readonly kind: 'prune-audit'; readonly before: number }
  /** Fails if this boot's count stands there already. */
  | {
      readonly kind: 'note-edge-event';
      readonly node: string;
      readonly worker: number;
      readonly count: EdgeCount;
    }
  /** Never fails. Up to where a webhook or collector has certainly been told. */
  | { readonly kind: 'note-audit-reader'; readonly reader: string; readonly sequence: number };

export interface AuditQueries {
  /** Records after a sequence number, in order. */
  'audit-after'(of: {
    readonly sequence: number;
    readonly limit: number;
  }): readonly { readonly sequence: number; readonly record: AuditRecord }[];
  'find-audit'(of: { readonly reference: string }): readonly AuditRecord[];
  'audit-extent'(): AuditExtent;
  /** The last event of a node's worker that is audited. */
  'edge-position'(of: { readonly node: string; readonly worker: number }): EdgeCount | undefined;
  /** The last record a webhook or collector was told of; undefined = none ever. */
  'audit-reader-position'(of: { readonly reader: string }): number | undefined;
}
