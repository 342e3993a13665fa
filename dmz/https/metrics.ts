import { Counter, Gauge, type Registry } from 'prom-client';

/** What the door counts. Labels are few and ours; nothing a stranger sends becomes one. */
export interface HttpsMetrics {
  answered(status: number): void;
  connections(change: 1 | -1): void;
}

export function buildHttpsMetrics(registry: Registry | undefined): HttpsMetrics {
  if (registry === undefined) return { answered: () => undefined, connections: () => undefined };
  const requests = new Counter({
    name: 'sallyport_https_answers_total',
    help: 'Answers of the HTTPS door by status',
    labelNames: ['status'],
    registers: [registry],
  });
  const open = new Gauge({
    name: 'sallyport_https_connections',
    help: 'Open connections of the HTTPS door',
    registers: [registry],
  });
  return { answered: (status) => requests.inc({ status }), connections: (change) => open.inc(change) };
}
