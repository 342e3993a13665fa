import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the door counts. Labels are few and ours; nothing a stranger sends becomes one. */
export interface HttpsMetrics {
  answered(status: number, seconds: number): void;
  connections(change: 1 | -1): void;
}

/** From what is in memory to what is given up; longer ones are transfers, which main times. */
const answerSeconds = [0.01, 0.05, 0.25, 1, 5, 30];

export function buildHttpsMetrics(registry: Registry | undefined): HttpsMetrics {
  if (registry === undefined) return { answered: () => undefined, connections: () => undefined };
  const requests = new Counter({
    name: 'sallyport_https_answers_total',
    help: 'Answers of the HTTPS door by status',
    labelNames: ['status'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'sallyport_https_answer_seconds',
    help: 'From the head of a request to the end of its answer; a transfer takes as long as its client',
    buckets: answerSeconds,
    registers: [registry],
  });
  const open = new Gauge({
    name: 'sallyport_https_connections',
    help: 'Open connections of the HTTPS door',
    registers: [registry],
  });
  return {
    answered: (status, seconds) => {
      requests.inc({ status });
      durations.observe(seconds);
    },
    connections: (change) => open.inc(change),
  };
}
