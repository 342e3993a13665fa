import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';

describe('outbound requests', () => {
  const servers: Server[] = [];
  const clients: OutboundClient[] = [];
  afterEach(async () => {
    for (const one of clients.splice(0)) await one.close();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });
  async function listen(server: Server, where: string | number): Promise<number> {
    servers.push(server);
    if (typeof where === 'string') server.listen(where);
    else server.listen(where, '127.0.0.1');
    await once(server, 'listening');
    return typeof where === 'string' ? 0 : (server.address() as AddressInfo).port;
  }
  function client(options: Parameters<typeof buildOutboundClient>[0] = {}): OutboundClient {
    const built = buildOutboundClient(options);
    clients.push(built);
    return built;
  }

  it('returns status, headers and body, a redirect as it is', async () => {
    const port = await listen(
      createServer((_, response) =>
        response.writeHead(302, { location: '/other', 'x-a': ['1', '2'] }).end('body'),
      ),
      0,
    );
    const answer = await client().send({
      url: new URL(`http://127.0.0.1:${port}/`),
      method: 'POST',
      body: 'x',
    });
    expect(answer).toMatchObject({ status: 302, body: 'body', headers: { location: '/other' } });
  });

  it('talks to a unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-out-'));
    const socketPath = join(folder, 's.sock');
    await listen(
      createServer((request, response) => response.end(request.url)),
      socketPath,
    );
    const answer = await client({ socketPath }).send({
      url: new URL('http://main/v1/status'),
      method: 'GET',
    });
    expect(answer.body).toBe('/v1/status');
    rmSync(folder, { recursive: true });
  });

  it('gives up after its time, and on an answer without end', async () => {
    const silent = await listen(createServer(), 0);
    await expect(
      client().send({ url: new URL(`http://127.0.0.1:${silent}/`), method: 'GET', timeoutMs: 30 }),
    ).rejects.toMatchObject({ code: 'deadline' });
    const endless = await listen(
      createServer((_, response) => {
        const piece = Buffer.alloc(256 * 1024);
        const push = (): void => {
          while (!response.destroyed && response.write(piece));
        };
        response.on('drain', push);
        push();
      }),
      0,
    );
    await expect(
      client().send({ url: new URL(`http://127.0.0.1:${endless}/`), method: 'GET' }),
    ).rejects.toMatchObject({ code: 'link-down', detail: expect.stringContaining('larger') });
  });
});
