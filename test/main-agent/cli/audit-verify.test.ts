import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { systemClock } from '#shared/clock.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { startPlayedMain, type PlayedMain } from '#test/main-agent/admin/played-main.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';

const log = buildLog('silent', {});

describe('sallyport audit verify', () => {
  let folder: string;
  let file: string;
  let fingerprint: string;
  let head: ChainHead;

  const run = (...args: string[]) => runIn(folder, ...args);
  async function runIn(here: string, ...args: string[]) {
    const terminal = buildPlayedTerminal();
    const code = await runCommand(['audit', ...args], { terminal, folder: here, nowMs: 0, actor: 'eva' });
    return { code, out: terminal.printed(), err: terminal.complained() };
  }

  /** A main's folder as a stopped main leaves it: files, state, a checkpoint. */
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-verify-'));
    const terminal = buildPlayedTerminal();
    await runCommand(['main', 'init'], { terminal, folder, nowMs: 0, actor: 'eva' });
    const config = await loadMainAgentConfig(join(folder, 'main-agent.yaml'));
    const key = parseIdentityKey(new Secret(readFileSync(config.identityKey, 'utf8')));
    fingerprint = key.fingerprint;
    file = config.audit.file;
    const state = await openSqliteState({ file: config.state.file, clock: systemClock, log });
    for (const detail of ['one', 'two', 'three', 'four']) {
      await buildAudit(state).append({
        time: '2026-11-24T08:00:00.000Z',
        event: 'admin.call',
        outcome: 'ok',
        user: detail,
      });
    }
    const feed = await startAuditFeed({ state, ...config.audit, rotateBytes: 400, clock: systemClock, log });
    head = feed.head();
    const outbound = buildOutboundClient();
    const checkpoints = new Checkpoints({
      main: config.name,
      auditFile: file,
      privateKey: key.privateKey,
      targets: [],
      durableHead: () => feed.durableHead(),
      state,
      outbound,
      tellNodes: () => undefined,
      clock: systemClock,
      log,
    });
    await checkpoints.take();
    await feed.close();
    await outbound.close();
    await state.close();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('offline: files, checkpoint and state.db agree, and it says what it could not ask', async () => {
    const { code, out } = await run('verify');
    expect(code).toBe(0);
    expect(out).toMatch(/^4 records in 2 files, unbroken\. Head: 4:[0-9a-f]{64}\n/);
    expect(out).toMatch(/Agree: the checkpoint of \S+; state\.db\n/);
    expect(out).toContain('Not compared: what the DMZ nodes remember: main does not answer');
    expect((await run('verify', '--expect-head', `4:${head.hash}`)).code).toBe(0);
    expect((await run('verify', '--expect-head', `4:${'0'.repeat(64)}`)).err).toContain('--expect-head');
  });

  it('a cut end is found by the checkpoint alone and by state.db alone', async () => {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    writeFileSync(
      file,
      lines
        .slice(0, -1)
        .map((line) => `${line}\n`)
        .join(''),
    );
    const cut = await run('verify');
    expect(cut).toMatchObject({
      code: 1,
      err: expect.stringContaining('the end was cut: the checkpoint of'),
    });
    rmSync(join(folder, 'audit.checkpoints.jsonl'));
    expect((await run('verify')).err).toContain('the end was cut: state.db knows record 4');
    rmSync(join(folder, 'state.db'));
    const silent = await run('verify');
    expect(silent.code).toBe(0);
    expect(silent.out).toMatch(/Not compared: checkpoints[\s\S]*Not compared: state\.db/);
  });

  it('a chain that was written anew from its middle contradicts the checkpoint', async () => {
    for (const name of ['audit.000000000001.jsonl', 'audit.jsonl']) rmSync(join(folder, name));
    const state = await openSqliteState({ file: join(folder, 'other.db'), clock: systemClock, log });
    for (const user of ['one', 'TWO', 'three', 'four'])
      await buildAudit(state).append({
        time: '2026-11-24T08:00:00.000Z',
        event: 'admin.call',
        outcome: 'ok',
        user,
      });
    const feed = await startAuditFeed({
      state,
      file,
      rotateBytes: 400,
      keepMs: 1e15,
      clock: systemClock,
      log,
    });
    await feed.close();
    await state.close();
    const { code, err } = await run('verify');
    expect(code).toBe(1);
    expect(err).toMatch(/audit\.jsonl:\d: differs from what the checkpoint of \S+ knows/);
  });

  it('a checkpoint that main did not sign is not believed', async () => {
    const checkpoints = join(folder, 'audit.checkpoints.jsonl');
    appendFileSync(checkpoints, readFileSync(checkpoints, 'utf8').replace('"sequence":4', '"sequence":3'));
    expect(await run('verify')).toMatchObject({
      code: 1,
      err: expect.stringContaining('not signed by main'),
    });
  });

  it('copies elsewhere are checked against checkpoints kept elsewhere', async () => {
    const copies = join(folder, 'copies');
    mkdirSync(copies);
    for (const name of ['audit.000000000001.jsonl', 'audit.jsonl'])
      copyFileSync(join(folder, name), join(copies, name));
    const copied = join(copies, 'audit.jsonl');
    const kept = join(folder, 'audit.checkpoints.jsonl');
    expect((await run('verify', '--file', copied, '--checkpoint', kept)).out).toContain('give --main-key');
    const known = await run('verify', '--file', copied, '--checkpoint', kept, '--main-key', fingerprint);
    expect(known.out).toContain('Agree: the checkpoint of');
    rmSync(copied);
    const cut = await run('verify', '--file', copied, '--checkpoint', kept, '--main-key', fingerprint);
    expect(cut).toMatchObject({ code: 1, err: expect.stringContaining('the end was cut') });
  });

  it('a running main is asked what it, its state and its nodes know', async () => {
    const node = { node: 'dmz1', worker: 0, sequence: 4, hash: head.hash };
    let main: PlayedMain = await startPlayedMain({
      auditFeed: { head: () => head },
      nodeHeads: () => [node],
    });
    const agreed = await run('verify', '--socket', main.socket);
    expect(agreed.out).toMatch(/Agree: the checkpoint of \S+; main; dmz1\n/);
    await main.close();
    main = await startPlayedMain({
      auditFeed: { head: () => head },
      nodeHeads: () => [{ ...node, sequence: 9 }],
    });
    const cut = await run('verify', '--socket', main.socket);
    expect(cut).toMatchObject({
      code: 1,
      err: expect.stringContaining('the end was cut: dmz1 knows record 9'),
    });
    await main.close();
  });

  it('from any folder, the socket alone says which main is meant', async () => {
    const main = await startPlayedMain({
      configFile: join(folder, 'main-agent.yaml'),
      auditFeed: { head: () => head },
      nodeHeads: () => [],
    });
    try {
      const elsewhere = await runIn('/nonexistent', 'verify', '--socket', main.socket);
      expect(elsewhere.err).toBe('');
      expect(elsewhere.out).toMatch(/Agree: the checkpoint of \S+; main\n/);
    } finally {
      await main.close();
    }
  });

  it('notice prints the mails that it would make, and sends nothing', async () => {
    const configFile = join(folder, 'main-agent.yaml');
    appendFileSync(
      configFile,
      'smtp: { host: 192.0.2.1, from: files@example.com }\n' +
        "events: { mails: [{ name: gone, events: ['*'], users: [two, four], to: [desk@example.com, user] }] }\n",
    );
    const main = await startPlayedMain({ configFile });
    try {
      for (const [index, user] of ['two', 'alice', 'four'].entries())
        await buildAudit(main.state).append({
          time: `2026-11-24T08:00:0${index}.000Z`,
          event: 'file.delete',
          outcome: 'ok',
          user,
          path: `/${user}.pdf`,
        });
      const told = await run(
        'notice',
        'gone',
        '--since',
        '2026-11-24',
        '--socket',
        main.socket,
        '--config',
        configFile,
      );
      expect(told.err).toBe('');
      expect(told.out).toMatch(/^To: desk@example\.com\nSubject: Sallyport: 2 file\.delete\n\n/);
      expect(told.out).toMatch(
        /two {2}file\.delete {2}\/two\.pdf\n.*four {2}file\.delete {2}\/four\.pdf\n\n/,
      );
      expect(told.out).not.toContain('alice');
      const unknown = await run('notice', 'x', '--socket', main.socket, '--config', configFile);
      expect(unknown.err).toContain('there are: gone');
    } finally {
      await main.close();
    }
  });

  it('export prints lines as they stand, filtered, over all files', async () => {
    const all = await run('export');
    expect(all.out).toBe(
      readFileSync(join(folder, 'audit.000000000001.jsonl'), 'utf8') + readFileSync(file, 'utf8'),
    );
    expect((await run('export', '--user', 'two')).out.split('\n')).toHaveLength(2);
    expect((await run('export', '--since', '2026-11-24T08:00:01Z')).out).toBe('');
    expect((await run('export', '--until', '2026-11-25')).out).toBe(all.out);
    expect((await run('export', '--since', 'soon')).code).toBe(2);
    expect((await run('export', '--format', 'jsonl')).out).toBe(all.out);
  });

  it('export prints a table or CEF when asked, and says which forms there are', async () => {
    const table = (await run('export', '--format', 'csv', '--user', 'two')).out.split('\r\n');
    expect(table).toEqual([
      expect.stringMatching(/^sequence,time,event,outcome,user,/),
      expect.stringMatching(/^2,2026-11-24T08:00:00\.000Z,admin\.call,ok,two,,/),
      '',
    ]);
    expect((await run('export', '--format', 'cef', '--user', 'two')).out).toMatch(
      /^CEF:0\|Sallyport\|Sallyport\|[^|]+\|admin\.call\|admin\.call\|3\|rt=\d+ externalId=2 outcome=ok duser=two\n$/,
    );
    expect(await run('export', '--format', 'xml')).toMatchObject({
      code: 2,
      err: expect.stringContaining('jsonl, csv, cef'),
    });
  });
});
