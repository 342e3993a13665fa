import type { AuditEvent } from '#main-agent/state/audit-record.ts';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuditReader } from '#main-agent/audit/audit-reader.ts';
import { buildEventFilter, type EventFilter } from '#main-agent/notify/event-filter.ts';
import { parseWebhookSecret } from '#main-agent/notify/webhook-message.ts';
import { buildWebhook } from '#main-agent/notify/webhook.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { waitUntil } from '#test/harness/product.ts';

/** Short waits, and a backlog that a test can fill. */
const bounds = vi.hoisted(() => ({ retryMs: 1, backlog: 100 }));
vi.mock(import('#main-agent/audit/limits.ts'), async (original) => ({
  ...(await original()),
  get readerRetryMsMin() {
    return bounds.retryMs as 1_000;
  },
}));
vi.mock(import('#main-agent/notify/limits.ts'), async (original) => ({
  ...(await original()),
  get eventBacklogMax() {
    return bounds.backlog as 100_000;
  },
}));

const log = buildLog('silent', {});
const secret = Buffer.from('a secret of enough octets');
const nowMs = Date.parse('2026-11-24T08:00:00.000Z');
const clock = { now: () => nowMs, monotonic: () => nowMs };

interface Delivery {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

describe('webhooks', () => {
  let folder: string;
  let state: StateStore;
  let server: Server;
  let outbound: OutboundClient;
  let received: Delivery[];
  /** How the receiver answers; default: takes it. */
  let answer: (response: ServerResponse) => void;
  const hooks: AuditReader[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-webhooks-'));
    bounds.retryMs = 1;
    bounds.backlog = 100;
    state = await openState();
    outbound = buildOutboundClient();
    received = [];
    answer = (response) => void response.writeHead(204).end();
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (piece: Buffer) => (body += piece.toString()));
      request.on('end', () => {
        received.push({ headers: request.headers, body });
        answer(response);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    for (const hook of hooks.splice(0)) await hook.close();
    server.closeAllConnections();
    server.close();
    await outbound.close();
    await state.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const openState = (): Promise<StateStore> =>
    openSqliteState({ file: join(folder, 'state.db'), clock: systemClock, log });
  const port = (): number => (server.address() as AddressInfo).port;
  async function start(filter: Partial<EventFilter> = {}) {
    const url = new URL(`http://127.0.0.1:${port()}/hook?token=never-shown`);
    const wants = buildEventFilter({ events: ['*'], ...filter }, () => undefined);
    const settings = { url, wants, secret: new Secret(secret) };
    const hook = buildWebhook(url.href, settings, { main: 'main1', state, outbound, clock, log });
    hooks.push(hook);
    await hook.start();
    return hook;
  }
  async function happen(...details: string[]): Promise<void> {
    for (const detail of details) {
      const [event, ...rest] = detail.split(' ') as [AuditEvent, ...string[]];
      const record = { time: '2026-11-24T07:59:59.000Z', event, outcome: 'ok', user: 'alice' } as const;
      await state.commit([{ kind: 'audit', record: { ...record, detail: rest.join(' ') } }]);
    }
  }
  const bodies = (): { type: string; data: { detail: string; sequence: number } }[] =>
    received.map(({ body }) => JSON.parse(body));
  const arrived = (): string[] => bodies().map(({ type, data }) => `${type} ${data.detail}`);
  const until = (holds: () => boolean): Promise<void> => waitUntil(holds, 5_000);

  it('get what happens from now on, in order, signed over id, time and body', async () => {
    await happen('login.refused before');
    await start();
    await happen('login.refused one', 'file.upload two\u202e');
    await until(() => received.length === 2);
    expect(bodies()).toEqual([
      {
        type: 'login.refused',
        timestamp: '2026-11-24T07:59:59.000Z',
        data: { main: 'main1', sequence: 2, outcome: 'ok', user: 'alice', detail: 'one' },
      },
      expect.objectContaining({ data: expect.objectContaining({ detail: 'two\u202e' }) }),
    ]);
    for (const { headers, body } of received) {
      expect(body).not.toMatch(/\u202e/);
      const id = String(headers['webhook-id']);
      const seconds = String(headers['webhook-timestamp']);
      const mac = createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64');
      expect(headers['webhook-signature']).toBe(`v1,${mac}`);
      expect(Number(seconds) * 1000).toBe(nowMs);
    }
    expect(received.map(({ headers }) => headers['webhook-id'])).toEqual(['main1-2', 'main1-3']);
  });

  it('get the events they asked for and no others, and never an assertion', async () => {
    await start({ events: ['login.*', 'file.upload'] });
    await state.commit([
      {
        kind: 'audit',
        record: { time: 't', event: 'login.admitted', outcome: 'ok', assertion: 'eyJ-signed', detail: 'a' },
      },
    ]);
    await happen('session.ended x', 'file.upload b', 'file.uploads c', 'loginx d', 'login.refused e');
    await until(() => received.length === 3);
    expect(arrived()).toEqual(['login.admitted a', 'file.upload b', 'login.refused e']);
    expect(received.some(({ body }) => body.includes('eyJ'))).toBe(false);
  });

  it('that fail or redirect are tried again with the same id until they take it; nothing overtakes', async () => {
    let tries = 0;
    answer = (response) => {
      tries += 1;
      if (tries === 1) response.writeHead(500).end();
      else if (tries === 2)
        response.writeHead(302, { location: `http://127.0.0.1:${port()}/elsewhere` }).end();
      else if (tries === 3) response.destroy();
      else response.writeHead(200).end();
    };
    const hook = await start();
    await happen('a one', 'a two');
    await until(() => received.length === 5);
    expect(arrived()).toEqual(['a one', 'a one', 'a one', 'a one', 'a two']);
    expect(new Set(received.slice(0, 4).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    await until(() => hook.problem() === undefined);
  });

  it('tell in the status why nothing arrives, by host alone', async () => {
    answer = (response) => void response.writeHead(503).end();
    const hook = await start();
    await happen('a one');
    await until(() => hook.problem() !== undefined);
    expect(hook.problem()).toBe(`webhook 127.0.0.1:${port()}: it answered with status 503`);
  });

  it('one that hangs does not hold up the stop of main, and gets its event after the next start', async () => {
    answer = () => undefined;
    const hook = await start();
    await happen('a one');
    await until(() => received.length === 1);
    await hook.close();
    expect(received).toHaveLength(1);
    answer = (response) => void response.writeHead(204).end();
    await start();
    await until(() => received.length === 2);
    expect(arrived()).toEqual(['a one', 'a one']);
  });

  it('down for a while, over a restart of main: all that happened comes, in order', async () => {
    const down = port();
    bounds.retryMs = 3_600_000;
    const first = await start();
    await happen('a one');
    await until(() => received.length === 1);
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    await happen('a two', 'a three');
    await until(() => first.problem() !== undefined);
    await first.close();
    await state.close();

    state = await openState();
    server.listen(down, '127.0.0.1');
    await once(server, 'listening');
    await happen('a four');
    await start();
    await until(() => received.length === 4);
    expect(arrived()).toEqual(['a one', 'a two', 'a three', 'a four']);
  });

  it('S-09: what waits is bounded; what is skipped is a record of its own', async () => {
    answer = (response) => void response.writeHead(503).end();
    bounds.retryMs = 3_600_000;
    bounds.backlog = 10;
    const first = await start();
    await happen('a 1');
    await until(() => first.problem() !== undefined);
    await happen(...Array.from({ length: 20 }, (_, n) => `a ${n + 2}`));
    await first.close();
    received.length = 0;
    answer = (response) => void response.writeHead(204).end();
    await start();
    await until(() => received.length === 10);
    expect(arrived()).toEqual([
      ...Array.from({ length: 9 }, (_, n) => `a ${n + 13}`),
      expect.stringMatching(/^webhook\.skipped records 1 to 12 were not sent to 127/),
    ]);
  });

  it('a secret is text or whsec_ and base64, and long enough', () => {
    expect(parseWebhookSecret(Buffer.from('sixteen octets!!\n'))).toEqual(Buffer.from('sixteen octets!!'));
    expect(parseWebhookSecret(Buffer.from(`whsec_${secret.toString('base64')}`))).toEqual(secret);
    expect(() => parseWebhookSecret(Buffer.from('fifteen octets!'))).toThrow('too short');
  });
});
