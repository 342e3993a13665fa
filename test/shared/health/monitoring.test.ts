import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parse } from 'yaml';
import { eventMail } from '#main-agent/config-events.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { partOf, type Relay, startRelay } from '#test/harness/smtp-relay.ts';
import { startWholeProduct, type WholeProduct } from '#test/harness/whole-product.ts';

const folder = fileURLToPath(new URL('../../../configs/monitoring/', import.meta.url));
const promtool = (...args: readonly string[]): string =>
  execFileSync('/usr/bin/promtool', args, { cwd: folder, encoding: 'utf8' });

const rules = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string().regex(/^Sallyport[A-Za-z]+$/),
          expr: z.string(),
          labels: z.object({ severity: z.enum(['page', 'ticket']) }),
          annotations: z.object({ summary: z.string(), action: z.string() }),
        }),
      ),
    }),
  ),
});

/** What Grafana needs of a board that is put in from a file. */
const gridPosition = z.strictObject({
  x: z.number().int().min(0).max(23),
  y: z.number().int().min(0),
  w: z.number().int().min(1).max(24),
  h: z.number().int().min(1),
});
const rowPanel = z.object({
  id: z.number(),
  type: z.literal('row'),
  title: z.string(),
  gridPos: gridPosition,
});
const queryPanel = z.object({
  id: z.number(),
  type: z.enum(['timeseries', 'stat']),
  title: z.string(),
  datasource: z.strictObject({ type: z.literal('prometheus'), uid: z.literal('${source}') }),
  gridPos: gridPosition,
  targets: z.array(z.strictObject({ refId: z.string(), expr: z.string(), legendFormat: z.string() })).min(1),
});
const boardSchema = z.object({
  uid: z.string(),
  title: z.string(),
  schemaVersion: z.number().int(),
  templating: z.object({
    list: z.array(z.object({ name: z.literal('source'), type: z.literal('datasource') })),
  }),
  panels: z.array(z.union([rowPanel, queryPanel])),
});

const alerts =
  rules.parse(parse(readFileSync(`${folder}sallyport-alerts.yaml`, 'utf8'))).groups[0]?.rules ?? [];
const board = boardSchema.parse(JSON.parse(readFileSync(`${folder}sallyport-board.json`, 'utf8')));
const queries = board.panels.flatMap((panel) => ('targets' in panel ? panel.targets : []));

/** Names of metrics in a query: ours, and what every process has. */
function namesIn(expression: string): readonly string[] {
  return [...expression.matchAll(/\b(?:sallyport|process|nodejs)_[a-z0-9_]+/g)].map(([name]) => name);
}

describe('what monitoring is told to look at', () => {
  let product: WholeProduct;
  let relay: Relay;
  const notice = eventMail.parse({
    name: 'incoming',
    events: ['file.upload'],
    folders: ['/'],
    names: ['*.pdf'],
    to: ['desk@example.com'],
    within: '1s',
  });
  const unset = { name: undefined, user: undefined, passwordFile: undefined };
  /** As both nodes say them, with what a histogram's and a summary's lines are called. */
  let known: ReadonlySet<string>;
  let ours: ReadonlySet<string>;

  beforeAll(async () => {
    relay = await startRelay();
    product = await startWholeProduct({
      users: [buildDemoUser('dora')],
      changeMain: (config) => ({
        ...config,
        smtp: { ...unset, host: '127.0.0.1', port: relay.port, tls: 'none', from: 'files@example.com' },
        events: { ...config.events, mails: [notice] },
      }),
    });
    const texts = [await product.metrics('dmz'), await product.metrics('main')];
    const typed = texts.flatMap((text) => [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]);
    ours = new Set(typed.flatMap(([, name = '']) => (name.startsWith('sallyport_') ? [name] : [])));
    known = new Set(
      typed.flatMap(([, name = '', type]) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
  });
  afterAll(async () => {
    await product.close();
    relay.close();
  });

  it('is there: each metric of a rule or a panel is one that a node has', () => {
    const asked = [...alerts, ...queries].flatMap(({ expr }) => namesIn(expr));
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
    expect(asked.length).toBeGreaterThan(30);
  });

  it('has a name that each board knows where it is not ours, at both nodes', async () => {
    for (const node of ['dmz', 'main'] as const) {
      const text = await product.metrics(node);
      expect(text).toMatch(/^process_cpu_seconds_total\{/m);
      expect(text).toMatch(/^nodejs_eventloop_lag_seconds\{/m);
      expect(text).toMatch(/^sallyport_link_up\{.*\} 1$/m);
    }
  });

  it('is measured: room, ends of certificates and the audit have a value', async () => {
    const [dmz, main] = [await product.metrics('dmz'), await product.metrics('main')];
    for (const place of ['state', 'audit', 'storage local']) {
      const [free, size] = ['free', 'size'].map((of) =>
        Number(
          new RegExp(`^sallyport_disk_${of}_bytes\\{place="${place}".*\\} (\\S+)$`, 'm').exec(main)?.[1],
        ),
      );
      expect(free).toBeGreaterThan(0);
      expect(size).toBeGreaterThanOrEqual(free ?? Number.NaN);
    }
    const endsAt = /^sallyport_certificate_end_timestamp_seconds\{listener="https".*\} (\S+)$/m.exec(
      dmz,
    )?.[1];
    expect(Number(endsAt) * 1_000).toBeGreaterThan(Date.now());
    expect(main).toMatch(/^sallyport_state_bytes\{.*\} [1-9]/m);
    expect(main).toMatch(/^sallyport_audit_head\{.*\} [1-9]/m);
    expect(main).toMatch(/^sallyport_audit_records_total\{event="[a-z.-]+",outcome="ok".*\} [1-9]/m);
  });

  it('is mailed to whom an upload is of interest, which is in the audit and among the figures', async () => {
    const client = new ssh2.Client();
    try {
      await new Promise<void>((resolve, reject) => {
        client.once('ready', resolve).once('error', reject);
        const sock = connect(product.sftpPort, '127.0.0.1');
        client.connect({ sock, username: 'dora', password: product.password('dora') });
      });
      const sftp = await promisify(client.sftp.bind(client))();
      for (const name of ['/notes.txt', '/plan.pdf'])
        await promisify<string, string, void>(sftp.writeFile.bind(sftp))(name, 'content');
    } finally {
      client.end();
    }
    await expect.poll(() => relay.mails.length).toBe(1);
    expect(relay.mails[0]).toMatchObject({ from: 'files@example.com', to: ['desk@example.com'] });
    expect(partOf(relay.mails[0]?.raw ?? '', 'text/plain')).toMatch(
      /dora  file\.upload  \/plan\.pdf  7 bytes/,
    );
    const sent = async () => (await product.audit()).filter(({ event }) => event === 'notice.sent');
    await expect.poll(sent).toMatchObject([{ outcome: 'ok', rule: 'incoming' }]);
    const counted = /^sallyport_audit_records_total\{event="notice\.sent",outcome="ok".*\} 1$/m;
    await expect.poll(() => product.metrics('main')).toMatch(counted);
    expect(await product.metrics('main')).toMatch(
      /^sallyport_audit_reader_waiting_records\{reader="mail incoming"/m,
    );
  });

  it('is all there is to see: the board shows each figure of ours', () => {
    const shown = new Set(queries.flatMap(({ expr }) => namesIn(expr)));
    // Not on it: of use to those who ask for something else.
    const elsewhere = ['sallyport_audit_head', 'sallyport_users', 'sallyport_proxy_protocol_refused_total'];
    const missing = [...ours].filter(
      (name) => !shown.has(name) && !shown.has(`${name}_bucket`) && !elsewhere.includes(name),
    );
    expect(missing).toEqual([]);
  });
});

describe('the alert rules', () => {
  it('are rules to promtool', () => {
    expect(promtool('check', 'rules', 'sallyport-alerts.yaml')).toContain('SUCCESS');
  });

  it('speak when they should and are silent otherwise, as promtool plays it', () => {
    expect(promtool('test', 'rules', 'sallyport-alerts.test.yaml')).toContain('SUCCESS');
  });

  it('have names of their own', () => {
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });
});

describe('the board', () => {
  it('has panels that do not lie on each other, with numbers of their own', () => {
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
    const cells = board.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(board.panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });

  it('asks in queries that Prometheus can read', () => {
    // Grafana puts a length of time there.
    const groups = [
      {
        name: 'board',
        rules: queries.map(({ expr }, n) => ({
          record: `board:query_${n}`,
          expr: expr.replaceAll('$__rate_interval', '5m'),
        })),
      },
    ];
    const scratch = mkdtempSync(join(tmpdir(), 'sallyport-board-'));
    try {
      const file = join(scratch, 'queries.yaml');
      writeFileSync(file, JSON.stringify({ groups }));
      expect(promtool('check', 'rules', file)).toContain('SUCCESS');
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});
