import { X509Certificate } from 'node:crypto';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { EdgeReport } from '#dmz/link/edge-reports.ts';
import type { SourceGuard } from '#dmz/guard/source-guard.ts';
import type { LinkListener } from '#dmz/link/listener.ts';
import type { SftpServer } from '#dmz/sftp/server.ts';

/** Figures of the node's `/metrics` that belong to no single door. Labels are ours; nothing a stranger sends becomes one. */

/** Counts what is reported to main, also what main gets as a count alone. */
export function registerEdgeEvents(registry: Registry): (report: EdgeReport) => void {
  const events = new Counter({
    name: 'sallyport_edge_events_total',
    help: 'What the doors refused, banned and limited',
    labelNames: ['kind', 'protocol'],
    registers: [registry],
  });
  return ({ kind, protocol }) => events.inc({ kind, protocol: protocol ?? 'none' });
}

export function registerMetrics(
  registry: Registry,
  {
    listener,
    guard,
    sftp,
    certificatePem,
  }: {
    readonly listener: Pick<LinkListener, 'link' | 'waiting'>;
    readonly guard: Pick<SourceGuard, 'banCounts'>;
    readonly sftp: SftpServer;
    /** Undefined: main has not given one yet. */
    readonly certificatePem: () => string | undefined;
  },
): void {
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_certificate_end_timestamp_seconds',
      help: 'When the certificate of a listener ends',
      labelNames: ['listener'],
      aggregator: 'min',
      registers: [],
      collect() {
        const pem = certificatePem();
        if (pem === undefined) return;
        this.set({ listener: 'https' }, new X509Certificate(pem).validToDate.getTime() / 1000);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_link_up',
      help: '1 when main is connected',
      aggregator: 'min',
      registers: [],
      collect() {
        this.set(listener.link.isUp ? 1 : 0);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_link_waiting',
      help: 'What waits: requests for an answer of main or for a link, transfers for a lane, events for main’s audit',
      labelNames: ['for'],
      registers: [],
      collect() {
        for (const [what, count] of Object.entries(listener.waiting)) this.set({ for: what }, count);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_door_bans',
      help: 'Addresses and networks that the doors shut out now; policy: by order of main',
      labelNames: ['why'],
      // Each worker has all of the node's.
      aggregator: 'max',
      registers: [],
      collect() {
        for (const [why, count] of Object.entries(guard.banCounts())) this.set({ why }, count);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'sallyport_sftp_connections',
      help: 'Open SSH connections',
      labelNames: ['state'],
      registers: [],
      collect() {
        const { connections, authenticated } = sftp.counts();
        this.set({ state: 'authenticated' }, authenticated);
        this.set({ state: 'unauthenticated' }, connections - authenticated);
      },
    }),
  );
}
