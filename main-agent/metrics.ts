import { Gauge, type Registry } from 'prom-client';
import type { MainLinks } from '#main-agent/link/links.ts';

/** Figures of main's `/metrics` that are read when they are asked for. */
export function registerMetrics(registry: Registry, links: MainLinks, sessions: () => number): void {
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
}
