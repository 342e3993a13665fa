import { Counter, Histogram, type Registry } from 'prom-client';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { reasonOf } from './refusal-reasons.ts';

/**
 * What a monitor counts of logins, refusals and transfers, taken from the audit as it is written: so figures and records
 * agree, and nothing is counted that is not a record. Labels are words of ours; what strangers choose is none.
 */
export class AuditCounts {
  readonly #records = new Counter({
    name: 'sallyport_audit_records_total',
    help: 'Audit records by event and outcome',
    labelNames: ['event', 'outcome'],
    registers: [],
  });
  readonly #logins = new Counter({
    name: 'sallyport_logins_total',
    help: 'Sign-ins and their refusals; method: how the second factor was passed, result: the event without "login."',
    labelNames: ['protocol', 'method', 'result'],
    registers: [],
  });
  readonly #refusals = new Counter({
    name: 'sallyport_refusals_total',
    help: 'What was refused, by protocol and reason',
    labelNames: ['protocol', 'reason'],
    registers: [],
  });
  readonly #loginDurations = new Histogram({
    name: 'sallyport_login_seconds',
    help: 'From the first factor to the session, with the time its person took; method: of the second factor',
    labelNames: ['protocol', 'method'],
    buckets: loginSeconds,
    registers: [],
  });
  readonly #durations = new Histogram({
    name: 'sallyport_transfer_seconds',
    help: 'How long whole transfers took',
    labelNames: ['direction', 'protocol'],
    buckets: transferSeconds,
    registers: [],
  });

  constructor() {
    // A monitor sees a counter rise only when it was there before.
    for (const event of ['notice.sent', 'webhook.skipped', 'syslog.skipped', 'mail.skipped'])
      this.#records.inc({ event, outcome: 'failed' }, 0);
  }

  /** Records that stand in the audit file now. */
  take(records: readonly AuditRecord[]): void {
    for (const record of records) {
      const { event, outcome, protocol = 'none', method = 'none', durationMs } = record;
      this.#records.inc({ event, outcome });
      if (event.startsWith('login.'))
        this.#logins.inc({ protocol, method, result: event.slice('login.'.length) });
      if (outcome === 'refused') this.#refusals.inc({ protocol, reason: reasonOf(record) });
      if (event === 'login.admitted' && durationMs !== undefined)
        this.#loginDurations.observe({ protocol, method }, durationMs / 1000);
      const direction = directions.get(event);
      if (direction !== undefined && outcome === 'ok' && durationMs !== undefined)
        this.#durations.observe({ direction, protocol }, durationMs / 1000);
    }
  }

  register(registry: Registry): void {
    registry.registerMetric(this.#records);
    registry.registerMetric(this.#logins);
    registry.registerMetric(this.#refusals);
    registry.registerMetric(this.#loginDurations);
    registry.registerMetric(this.#durations);
  }
}

/** From a program that has its lease to somebody who looks for their phone. */
const loginSeconds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** From a small file on a near network to what fills a working day. */
const transferSeconds = [0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3_600, 28_800];
const directions: ReadonlyMap<string, string> = new Map([
  ['file.upload', 'upload'],
  ['file.download', 'download'],
]);
