import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { waitUntil } from '#test/harness/product.ts';
import { startPlayedMain, type PlayedMain } from './played-main.ts';

describe('the audit behind the admin API', () => {
  let main: PlayedMain;
  let client: OutboundClient;
  beforeEach(async () => {
    main = await startPlayedMain();
    client = buildOutboundClient({ socketPath: main.socket });
  });
  afterEach(async () => {
    await main.close();
    await client.close();
  });

  async function add(minute: number, facts: Partial<AuditRecord>): Promise<void> {
    const time = `2026-11-24T05:${String(minute).padStart(2, '0')}:00.000Z`;
    await main.state.commit([
      { kind: 'audit', record: { time, event: 'login.refused', outcome: 'refused', ...facts } },
    ]);
  }
  interface Page {
    readonly records: readonly { readonly sequence: number; readonly record: AuditRecord }[];
    readonly next: number;
    readonly more: boolean;
  }
  async function ask(query: string): Promise<Page> {
    const answer = await client.send({ url: new URL(`http://main/v1/audit?${query}`), method: 'GET' });
    expect(answer.status).toBe(200);
    return JSON.parse(answer.body);
  }
  const details = ({ records }: Page): unknown[] =>
    records.filter(({ record }) => record.event !== 'admin.call').map(({ record }) => record.detail);

  async function fill(): Promise<void> {
    await add(0, { detail: 'a', user: 'alice', node: 'dmz1' });
    await add(1, { detail: 'b', user: 'bob', node: 'dmz1', reference: 'ABCD2345' });
    await add(2, { detail: 'c', event: 'login.admitted', outcome: 'ok', user: 'alice', node: 'dmz2' });
    await add(3, { detail: 'd', event: 'file.upload', outcome: 'ok', user: 'alice', node: 'dmz2' });
    await add(4, { detail: 'e', event: 'two-factor.reset', outcome: 'ok', user: 'bob', actor: 'alice' });
  }

  it('is filtered by user or actor, event, outcome, node, reference and time', async () => {
    await fill();
    expect(details(await ask('user=alice'))).toEqual(['a', 'c', 'd', 'e']);
    expect(details(await ask('event=login.*'))).toEqual(['a', 'b', 'c']);
    expect(details(await ask('event=login'))).toEqual([]);
    expect(details(await ask('event=file.upload'))).toEqual(['d']);
    expect(details(await ask('outcome=refused'))).toEqual(['a', 'b']);
    expect(details(await ask('node=dmz2&user=alice'))).toEqual(['c', 'd']);
    expect(details(await ask('reference=ABCD2345'))).toEqual(['b']);
    expect(details(await ask('since=2026-11-24T05:03:00Z&event=*'))).toEqual(['d', 'e']);
    expect(details(await ask('since=2026-11-24T06:01:00%2B01:00&until=2026-11-24T05:03:00Z'))).toEqual([
      'b',
      'c',
    ]);
  });

  it('comes in pages that a cursor leads through, each record once', async () => {
    await fill();
    const seen: unknown[] = [];
    let after = 0;
    for (;;) {
      const page = await ask(`after=${after}&limit=2&node=dmz1`);
      seen.push(...details(page));
      after = page.next;
      if (!page.more) break;
    }
    expect(seen).toEqual(['a', 'b']);
    const wrong = await client.send({ url: new URL('http://main/v1/audit?since=yesterday'), method: 'GET' });
    expect(wrong.status).toBe(400);
  });

  it('one who waits gets the next record that fits, and not the record of the asking', async () => {
    await fill();
    const { next } = await ask('after=0');
    const waiting = ask(`after=${next}&wait=yes`);
    await waitUntil(() => main.state.audit.length > 5, 2000);
    await add(5, { detail: 'f' });
    expect(details(await waiting)).toEqual(['f']);
  });

  it('tail --follow prints records as they come, each on one line, until main stops', async () => {
    await fill();
    const terminal = buildPlayedTerminal();
    const following = runCommand(
      ['--socket', main.socket, 'audit', 'tail', '-f', '-n', '2', '--event', 'login.*'],
      {
        terminal,
        folder: '/nonexistent',
        nowMs: 0,
        actor: 'eva',
      },
    );
    await waitUntil(() => terminal.printed().includes('detail=c'), 2000);
    await add(6, { detail: 'late\n\u001b[31m\u2028' });
    await waitUntil(() => terminal.printed().includes('late'), 2000);
    await main.close();
    expect(await following).toBe(1);
    const lines = terminal.printed().trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[2]).toContain('detail=late\\u000a\\u001b[31m\\u2028');
    main = await startPlayedMain();
  });

  it('tells the heads that the file, the state and the nodes know', async () => {
    const answer = await client.send({ url: new URL('http://main/v1/audit/heads'), method: 'GET' });
    expect(JSON.parse(answer.body)).toMatchObject({
      file: { sequence: 0 },
      state: { last: 0 },
      nodes: [{ node: 'dmz1', worker: 0, sequence: 1 }],
    });
  });
});
