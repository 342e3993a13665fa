import { get } from 'node:http';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { Check } from '#shared/health/check.ts';
import { buildHealthServer, type HealthServer, buildMetricsRegistry } from '#shared/health/health-server.ts';
import { buildLog } from '#shared/log.ts';

let server: HealthServer;
afterEach(() => server.close());

async function open(checks: () => readonly Check[]): Promise<void> {
  server = buildHealthServer({
    listen: { host: '127.0.0.1', port: 0 },
    checks,
    registry: buildMetricsRegistry({ node: 'dmz1' }),
    log: buildLog('silent', {}),
  });
  await server.start();
}

async function ask(path: string): Promise<{ status: number | undefined; body: string }> {
  const request = get({ host: '127.0.0.1', port: server.address.port, path, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode, body: Buffer.concat(chunks).toString() };
}

describe('the health listener', () => {
  it('tells a broken process from one that only waits for the other', async () => {
    let checks: Check[] = [{ name: 'link', ok: true, affects: 'ready' }];
    await open(() => checks);
    expect([(await ask('/healthz')).status, (await ask('/readyz')).status]).toEqual([200, 200]);
    checks = [{ name: 'link', ok: false, affects: 'ready', detail: 'main is away' }];
    expect([(await ask('/healthz')).status, (await ask('/readyz')).status]).toEqual([200, 503]);
    expect(JSON.parse((await ask('/healthz')).body)).toEqual({ ok: true, checks });
    checks = [{ name: 'validated-logins', ok: false, affects: 'health' }];
    expect([(await ask('/healthz')).status, (await ask('/readyz')).status]).toEqual([503, 503]);
  });

  it('shows what every process has, under the names that every board knows', async () => {
    await open(() => []);
    const { status, body } = await ask('/metrics');
    expect(status).toBe(200);
    expect(body).toMatch(/^process_cpu_seconds_total\{node="dmz1"\} /m);
    expect(body).toMatch(/^nodejs_eventloop_lag_seconds\{node="dmz1"\} /m);
  });

  it('knows three paths, and survives a check that fails', async () => {
    await open(() => {
      throw new Error('broken check');
    });
    expect((await ask('/')).status).toBe(404);
    expect((await ask('/healthz?x=1')).status).toBe(404);
    expect(await ask('/healthz')).toEqual({ status: 500, body: 'failed\n' });
    expect((await ask('/metrics')).status).toBe(200);
  });
});
