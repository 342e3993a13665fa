import { get } from 'node:http';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import type { Affects, Examination } from '#shared/health/check.ts';
import { buildHealthServer, type HealthServer, buildMetricsRegistry } from '#shared/health/health-server.ts';
import { buildLog } from '#shared/log.ts';

let server: HealthServer;
afterEach(() => server.close());

async function open(examine: () => Examination, host = '127.0.0.1'): Promise<void> {
  server = buildHealthServer({
    listen: { host, port: 0 },
    examine: async () => examine(),
    registry: buildMetricsRegistry({ node: 'dmz1' }),
    log: buildLog('silent', {}),
  });
  await server.start();
}

async function ask(path: string, host = '127.0.0.1'): Promise<{ status: number | undefined; body: string }> {
  const request = get({ host, port: server.address.port, path, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode, body: Buffer.concat(chunks).toString() };
}

const bad = (affects: Affects, state: 'bad' | 'warning' = 'bad'): Examination => ({
  findings: [{ check: 'link', state, affects, detail: 'main is away', hint: 'start it' }],
  unlooked: [{ check: 'firewall', why: 'nobody may' }],
});

describe('the health listener', () => {
  it.each([
    ['a fault here that users do not feel', bad('health'), 503, 200],
    ['another node that is away', bad('ready'), 200, 503],
    ['a fault that keeps users out', bad('both'), 503, 503],
    ['what is to be mended soon', bad('both', 'warning'), 200, 200],
  ])('tells what is wrong from who can be served: %s', async (_title, found, health, ready) => {
    await open(() => found);
    expect([(await ask('/healthz')).status, (await ask('/readyz')).status]).toEqual([health, ready]);
  });

  it('says on this box what it is and what to do, and what nobody looked at', async () => {
    await open(() => bad('health'));
    expect(JSON.parse((await ask('/healthz')).body)).toEqual({
      ok: false,
      checks: [
        {
          name: 'link',
          ok: false,
          state: 'bad',
          affects: 'health',
          detail: 'main is away',
          hint: 'start it',
        },
      ],
      unlooked: [{ name: 'firewall', why: 'nobody may' }],
    });
  });

  it('says elsewhere only which check it is', async () => {
    const host = Object.values(networkInterfaces())
      .flatMap((each) => each ?? [])
      .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
    // A box with the loopback alone has nobody elsewhere.
    if (host === undefined) return open(() => bad('health'));
    await open(() => bad('health'), '0.0.0.0');
    expect(JSON.parse((await ask('/healthz', host)).body)).toEqual({
      ok: false,
      checks: [{ name: 'link', ok: false, state: 'bad', affects: 'health' }],
      unlooked: [{ name: 'firewall' }],
    });
  });

  it('shows what every process has', async () => {
    await open(() => bad('health'));
    const { status, body } = await ask('/metrics');
    expect(status).toBe(200);
    expect(body).toMatch(/^process_cpu_seconds_total\{node="dmz1"\} /m);
    expect(body).toMatch(/^nodejs_eventloop_lag_seconds\{node="dmz1"\} /m);
  });

  it('knows three paths, and survives a look that fails', async () => {
    await open(() => {
      throw new Error('broken check');
    });
    expect((await ask('/')).status).toBe(404);
    expect((await ask('/healthz?x=1')).status).toBe(404);
    expect(await ask('/healthz')).toEqual({ status: 500, body: 'failed\n' });
    expect((await ask('/metrics')).status).toBe(200);
  });
});
