import { collectDefaultMetrics, Registry } from 'prom-client';

/** A registry with what every process has: memory, CPU, event loop, garbage collection. */
export function buildMetricsRegistry(labels: Readonly<Record<string, string>>): Registry {
  const registry = new Registry();
  registry.setDefaultLabels(labels);
  collectDefaultMetrics({ register: registry, prefix: 'sallyport_' });
  return registry;
}
