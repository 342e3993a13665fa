/**
 * File events for the audit. A receipt never holds running bytes up. An operation is answered once its receipt is durable,
 * and a repeat of it, which a node sends to the main after one that was killed, is told once: so whatever was answered
 * has its record, and has one. Where the state's disk takes no record, its operation is not answered until it does (D-175),
 * and the record is tried again for as long as this process lives. When the audit falls far behind, the next operation
 * waits before it begins to end.
 */
import { hash } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import type { Protocol } from '#shared/login.ts';
import type { Log } from '#shared/log.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { Audit, AuditEvent, AuditRecord, ToldOnce } from '#main-agent/state/audit-record.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import { receiptRetryMs, receiptsInFlightMax } from './limits.ts';
import { wait } from './wait.ts';

type FileEvent = Extract<AuditEvent, `file.${string}` | 'retention.ran'>;

interface Receipt {
  readonly event: FileEvent;
  readonly outcome?: AuditRecord['outcome'];
  readonly path: VirtualPath;
  readonly toPath?: VirtualPath;
  readonly bytes?: number;
  readonly size?: number;
  readonly acknowledged?: number;
  readonly sha256?: string;
  readonly startedAtMs?: number;
  /** What decided, where it was refused. */
  readonly rule?: string;
  readonly detail?: string;
  /** What it tells of, within its session, where a later process may be asked to do it again. */
  readonly once?: string;
}

export interface TransferCount {
  readonly direction: 'upload' | 'download';
  readonly protocol: Protocol;
  readonly outcome: AuditRecord['outcome'];
  readonly count: number;
  readonly bytes: number;
}

export class Receipts {
  readonly #audit: Audit;
  readonly #clock: Clock;
  readonly #log: Log;
  /** How many transfers ended how since the start, by direction, protocol and outcome. */
  readonly #ended = new Map<string, TransferCount>();
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #startedAtMs: number;
  readonly #closing = new AbortController();

  constructor(audit: Audit, clock: Clock, log: Log) {
    this.#audit = audit;
    this.#clock = clock;
    this.#log = log;
    this.#startedAtMs = clock.now();
  }

  /** Durable when it resolves with true, false only when this process ends; never rejects: what it tells of is done. */
  write(session: FullSession, receipt: Receipt): Promise<boolean> {
    const now = this.#clock.now();
    const { path, toPath, startedAtMs, outcome, once, ...facts } = receipt;
    this.#count(session.protocol, receipt);
    const record: AuditRecord = {
      ...facts,
      time: new Date(now).toISOString(),
      outcome: outcome ?? 'ok',
      user: session.username,
      node: session.node,
      protocol: session.protocol,
      clientIp: session.clientIp,
      sessionKey: session.key,
      path: path.toString(),
      ...(toPath !== undefined && { toPath: toPath.toString() }),
      ...(startedAtMs !== undefined && { durationMs: Math.max(0, now - startedAtMs) }),
    };
    const writing = this.#appendAtLast(record, once === undefined ? undefined : this.#toldOnce(record, once));
    this.#inFlight.add(writing);
    return writing.finally(() => this.#inFlight.delete(writing));
  }

  /** Numbers are the node's to choose: one that it used for something else keeps no record back. */
  #toldOnce({ sessionKey, event, path, toPath }: AuditRecord, once: string): ToldOnce {
    const of = hash('sha256', JSON.stringify([sessionKey, once, event, path, toPath]), 'base64url');
    return { of, sinceMs: this.#startedAtMs };
  }

  /** Of what happens to a user's files without a session of theirs: tried once, durable when it resolves with true. */
  async writeOf(
    user: string | undefined,
    { path, toPath, event, outcome = 'ok', bytes, rule, detail, once }: Receipt,
    actor = 'system',
  ): Promise<boolean> {
    const record: AuditRecord = {
      event,
      time: new Date(this.#clock.now()).toISOString(),
      outcome,
      ...(user !== undefined && { user }),
      actor,
      path: path.toString(),
      ...(toPath !== undefined && { toPath: toPath.toString() }),
      ...(bytes !== undefined && { bytes }),
      ...(rule !== undefined && { rule }),
      ...(detail !== undefined && { detail }),
    };
    return this.#append(record, once === undefined ? undefined : this.#toldOnce(record, once));
  }

  transferCounts(): readonly TransferCount[] {
    return [...this.#ended.values()];
  }

  #count(protocol: Protocol, { event, outcome = 'ok', bytes = 0 }: Receipt): void {
    if (event !== 'file.upload' && event !== 'file.download') return;
    const direction = event === 'file.upload' ? 'upload' : 'download';
    const key = `${direction} ${protocol} ${outcome}`;
    const before = this.#ended.get(key) ?? { direction, protocol, outcome, count: 0, bytes: 0 };
    this.#ended.set(key, { ...before, count: before.count + 1, bytes: before.bytes + bytes });
  }

  async #appendAtLast(record: AuditRecord, once: ToldOnce | undefined): Promise<boolean> {
    for (;;) {
      if (await this.#append(record, once)) return true;
      if (this.#closing.signal.aborted) return false;
      await wait(receiptRetryMs, this.#closing.signal);
    }
  }

  async #append(record: AuditRecord, once?: ToldOnce): Promise<boolean> {
    try {
      await this.#audit.append(record, once);
      return true;
    } catch (error) {
      this.#log.error({ err: error, record }, 'a file receipt could not be written to the audit');
      return false;
    }
  }

  /** Waits only when too many receipts are on their way. */
  async room(): Promise<void> {
    while (this.#inFlight.size >= receiptsInFlightMax) await Promise.race(this.#inFlight);
  }

  /** When those that are on their way by now are durable. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** What the disk does not take now is lost with this process. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.settled();
  }
}
