import { describe, expect, it } from 'vitest';
import { Registry } from 'prom-client';
import { AuditCounts } from '#main-agent/audit/audit-counts.ts';
import { registerMetrics } from '#main-agent/metrics.ts';
import { Deliveries, describeDeliveryProblem } from '#main-agent/notify/deliveries.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';

describe('deliveries of codes', () => {
  const message = (transport: 'sms' | 'email') => ({
    username: 'bob',
    address: '+15551230000',
    transport,
    code: new Secret('123456'),
    clientIp: '203.0.113.9',
    expiresInMs: 60_000,
  });

  it('are counted by transport and result, and the last failure is told until one goes well', async () => {
    let works = false;
    const deliveries = new Deliveries(
      {
        deliver: async ({ transport }) => {
          if (transport === 'email' || works) return;
          throw new SallyportError('delivery-failed', 'not sent', { detail: 'gw.example: status 500' });
        },
      },
      () => Date.UTC(2026, 10, 29),
    );
    expect(describeDeliveryProblem(deliveries.last('sms'))).toBeUndefined();
    await expect(deliveries.deliver(message('sms'))).rejects.toMatchObject({ code: 'delivery-failed' });
    await deliveries.deliver(message('email'));
    expect(describeDeliveryProblem(deliveries.last('sms'))).toBe(
      'the last one failed, 2026-11-29T00:00:00.000Z: gw.example: status 500',
    );
    expect(describeDeliveryProblem(deliveries.last('email'))).toBeUndefined();
    works = true;
    await deliveries.deliver(message('sms'));
    expect(describeDeliveryProblem(deliveries.last('sms'))).toBeUndefined();

    const registry = new Registry();
    const idle = {
      waiting: 0,
      expectedMs: 0,
      turnMs: 0,
      served: 0,
      refused: new Map<string, number>(),
      gone: new Map<string, number>(),
    };
    registerMetrics(registry, {
      links: { states: () => [] },
      sessions: () => 0,
      capacity: () => idle,
      deliveries,
      transfers: () => [],
      auditCounts: new AuditCounts(),
      audit: async () => ({ last: 0, file: 0, readers: [] }),
      bans: () => [],
      users: () => [],
      passwordAlone: async () => 0,
      factors: async () => ({}),
      problems: async () => 0,
      room: async () => [],
      stateBytes: async () => 0,
      certificateEndsAtMs: () => undefined,
    });
    const text = await registry.metrics();
    for (const line of [
      'sallyport_code_deliveries_total{transport="sms",result="failed"} 1',
      'sallyport_code_deliveries_total{transport="sms",result="ok"} 1',
      'sallyport_code_deliveries_total{transport="email",result="ok"} 1',
    ])
      expect(text).toContain(line);
    expect(await registry.metrics()).toBe(text);
  });
});
