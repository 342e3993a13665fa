import { Counter, Gauge, type Registry } from 'prom-client';
import type { TransferCount } from '#main-agent/files/receipts.ts';
import type { Deliveries } from '#main-agent/notify/deliveries.ts';
import type { MainLinks } from '#main-agent/link/links.ts';
import type { Capacity } from '#main-agent/passwords/overload.ts';

/** Figures of main's `/metrics` that are read when they are asked for. */
export function registerMetrics(
  registry: Registry,
  {
    links,
    sessions,
    capacity,
    deliveries,
    transfers,
  }: {
    readonly links: Pick<MainLinks, 'states'>;
    readonly sessions: () => number;
    readonly capacity: () => Capacity;
    readonly deliveries: Pick<Deliveries, 'counts'>;
    readonly transfers: () => readonly TransferCount[];
  },
): void {
  registerTransfers(registry, transfers);
  registry.registerMetric(
    new Counter({
      name: 'sallyport_code_deliveries_total',
      help: 'One-time codes that were sent, by transport and whether the relay or gateway took them',
      labelNames: ['transport', 'result'],
      registers: [],
      collect() {
        this.reset();
        for (const { transport, result, count } of deliveries.counts())
          this.inc({ transport, result }, count);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_link_up',
      help: '1 for each joined worker link',
      labelNames: ['node', 'worker'],
      registers: [],
      collect() {
        this.reset();
        for (const { node, worker, up } of links.states())
          this.set({ node, worker: String(worker) }, up ? 1 : 0);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_sessions',
      help: 'Live sessions',
      registers: [],
      collect() {
        this.set(sessions());
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_password_checks_waiting',
      help: 'Sign-ins that wait for the check of a password',
      registers: [],
      collect() {
        this.set(capacity().waiting);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_password_check_seconds',
      help: 'What one turn at checking a password takes now; two are at work at once',
      registers: [],
      collect() {
        this.set(capacity().turnMs / 1000);
      },
    }),
  );
  registry.registerMetric(
    new Counter({
      name: 'sallyport_password_checks_total',
      help: 'Turns at checking a password that ended',
      registers: [],
      collect() {
        this.reset();
        this.inc(capacity().served);
      },
    }),
  );
  registry.registerMetric(
    new Counter({
      name: 'sallyport_logins_without_turn_total',
      help: 'Sign-ins that main had no capacity for: refused, or no longer waited for when their turn came',
      labelNames: ['node', 'why'],
      registers: [],
      collect() {
        this.reset();
        const { refused, gone } = capacity();
        for (const [node, count] of refused) this.inc({ node, why: 'refused' }, count);
        for (const [node, count] of gone) this.inc({ node, why: 'gone' }, count);
      },
    }),
  );
}

function registerTransfers(registry: Registry, transfers: () => readonly TransferCount[]): void {
  const labelNames = ['direction', 'outcome'] as const;
  registry.registerMetric(
    new Counter({
      name: 'sallyport_transfers_total',
      help: 'Transfers that ended; cut: not by their client, partial: by it before their end',
      labelNames,
      registers: [],
      collect() {
        this.reset();
        for (const { direction, outcome, count } of transfers()) this.inc({ direction, outcome }, count);
      },
    }),
  );
  registry.registerMetric(
    new Counter({
      name: 'sallyport_transferred_bytes_total',
      help: 'Bytes of them',
      labelNames,
      registers: [],
      collect() {
        this.reset();
        for (const { direction, outcome, bytes } of transfers()) this.inc({ direction, outcome }, bytes);
      },
    }),
  );
}
