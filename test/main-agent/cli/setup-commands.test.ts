import { execFile } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runNodeCommand } from '#dmz/cli/run.ts';
import { loadDmzConfig } from '#dmz/config.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { rotateNode } from '#main-agent/cli/enrol-node.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { systemClock } from '#shared/clock.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { buildPlayedTerminal, type PlayedTerminal } from '#test/harness/played-terminal.ts';

const repository = join(import.meta.dirname, '..', '..', '..');

describe('setting up two boxes', () => {
  let folder: string;
  let mainFolder: string;
  let nodeFolder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-pair-'));
    mainFolder = join(folder, 'm');
    nodeFolder = join(folder, 'd');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function main(terminal: PlayedTerminal, ...args: string[]) {
    const code = await runCommand(args, { terminal, folder: mainFolder, nowMs: 0, actor: 'eva' });
    return { code, out: terminal.printed(), err: terminal.complained() };
  }
  async function node(...args: string[]) {
    const terminal = buildPlayedTerminal();
    const code = await runNodeCommand(args, { terminal, folder: nodeFolder, nowMs: 1_795_500_000_000 });
    return { code, out: terminal.printed(), err: terminal.complained() };
  }
  const quiet = buildPlayedTerminal;
  const initMain = () => main(quiet(), 'main', 'init', '--dir', mainFolder);
  async function initNode(name = 'dmz1'): Promise<{ line: string; words: string }> {
    const { out } = await node(
      'init',
      '--public-url',
      'https://files.example.com',
      '--link-listen',
      '10.0.1.5:8444',
      '--name',
      name,
      '--dir',
      join(folder, name),
      '--json',
    );
    return JSON.parse(out) as { line: string; words: string };
  }

  it('init, enrol, trust: each ends up with exactly the other’s keys pinned', async () => {
    expect((await initMain()).code).toBe(0);
    const { line, words } = await initNode();
    const enrolled = await main(quiet(), 'nodes', 'enrol', line, '--json');
    expect(enrolled.code).toBe(0);
    expect(enrolled.err).toContain(words);
    const answer = JSON.parse(enrolled.out) as { words: string; main: { line: string; words: string } };
    expect(answer.words).toBe(words);
    const trusted = await node('trust', answer.main.line, '--dir', join(folder, 'dmz1'), '--json');
    expect(JSON.parse(trusted.out)).toMatchObject({ changed: true, words: answer.main.words });

    const mainConfig = await loadMainAgentConfig(join(mainFolder, 'main-agent.yaml'));
    const nodeConfig = await loadDmzConfig(join(folder, 'dmz1', 'dmz.yaml'));
    const keyOf = (file: string) => parseIdentityKey(new Secret(readFileSync(file, 'utf8')));
    expect(nodeConfig.link.main.identity).toBe(keyOf(mainConfig.identityKey).fingerprint);
    expect(mainConfig.dmzNodes).toEqual([
      {
        name: 'dmz1',
        hostKey: 'main',
        address: { host: '10.0.1.5', port: 8444 },
        identity: keyOf(nodeConfig.link.identityKey).fingerprint,
        signingKey: keyOf(nodeConfig.link.signingKey).privateKey.export({ format: 'jwk' }).x,
      },
    ]);
  });

  it('main init makes keys only their owner may read, and leaves a main that is there alone', async () => {
    await initMain();
    const config = await loadMainAgentConfig(join(mainFolder, 'main-agent.yaml'));
    for (const file of [config.identityKey, config.vaultKey]) expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(config.vaultKey).size).toBe(32);
    expect((await initMain()).code).toBe(5);
  });

  it('main init lets nobody in with a password alone', async () => {
    await initMain();
    const defaults = parse(readFileSync(join(mainFolder, 'users', '_default.yaml'), 'utf8')) as object;
    expect(defaults).toMatchObject({ two_factor: { required_on: ['https', 'sftp'], force_setup: true } });
  });

  it('main init --systemd keeps keys, what main writes and what it serves apart; enrol finds the key', async () => {
    const state = join(folder, 'state');
    const where = ['--dir', mainFolder, '--state', state];
    expect((await main(quiet(), 'main', 'init', '--systemd', ...where)).code).toBe(0);
    const config = await loadMainAgentConfig(join(mainFolder, 'main-agent.yaml'));
    expect(config).toMatchObject({
      identityKey: join(mainFolder, 'credentials', 'link-key'),
      vaultKey: join(mainFolder, 'credentials', 'vault-key'),
      users: { directory: join(state, 'users'), enrolmentsDirectory: join(state, 'enrolments') },
      state: { file: join(state, 'state.db') },
      audit: { file: join(state, 'audit.jsonl') },
      storages: { local: { base: '/srv/sallyport' } },
      admin: { socket: '/run/sallyport/admin.sock' },
    });
    expect(statSync(join(state, 'users', '_default.yaml')).mode & 0o777).toBe(0o600);
    expect((await main(quiet(), 'nodes', 'enrol', (await initNode()).line)).code).toBe(0);
  });

  it('enrol keeps comments, adds further nodes, and knows one that is there', async () => {
    await initMain();
    const file = join(mainFolder, 'main-agent.yaml');
    appendFileSync(file, '# a comment of mine\n');
    const first = await initNode('dmz1');
    const second = await initNode('dmz2');
    for (const { line } of [first, second, first]) {
      expect((await main(quiet(), 'nodes', 'enrol', line)).code).toBe(0);
    }
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('# a comment of mine');
    expect(text).toContain('# Encrypts TOTP secrets');
    expect((await loadMainAgentConfig(file)).dmzNodes.map(({ name }) => name)).toEqual(['dmz1', 'dmz2']);
  });

  it('a node of the same name with other keys is refused until told to replace it', async () => {
    await initMain();
    const { line } = await initNode();
    await main(quiet(), 'nodes', 'enrol', line);
    rmSync(join(folder, 'dmz1'), { recursive: true });
    const anew = (await initNode()).line;
    expect((await main(quiet(), 'nodes', 'enrol', anew)).code).toBe(5);
    expect((await main(quiet(), 'nodes', 'enrol', anew, '--replace')).code).toBe(0);
    const { dmzNodes } = await loadMainAgentConfig(join(mainFolder, 'main-agent.yaml'));
    expect(dmzNodes).toHaveLength(1);
    expect(anew).toContain(dmzNodes[0]?.identity ?? 'none');
  });

  it('at a terminal the words are asked about, and "no" enrols nothing', async () => {
    await initMain();
    const { line, words } = await initNode();
    const person = buildPlayedTerminal({ answers: ['n'] });
    const refused = await main(person, 'nodes', 'enrol', line);
    expect(refused.code).toBe(4);
    expect(refused.err).toContain(words);
    expect((await loadMainAgentConfig(join(mainFolder, 'main-agent.yaml'))).dmzNodes).toEqual([]);
    expect((await main(buildPlayedTerminal({ answers: ['y'] }), 'nodes', 'enrol', line)).code).toBe(0);
  });

  it('refuses what is not a pairing line, and a folder without a main', async () => {
    expect((await main(quiet(), 'nodes', 'enrol', 'x')).code).toBe(2);
    const { line } = await initNode();
    expect((await main(quiet(), 'nodes', 'enrol', line, '--config', join(folder, 'none.yaml'))).code).toBe(3);
  });

  it('config check says what is wrong, with the place', async () => {
    await initMain();
    const file = join(mainFolder, 'main-agent.yaml');
    expect((await main(quiet(), 'config', 'check')).code).toBe(0);
    writeFileSync(file, `${readFileSync(file, 'utf8')}sessionz: {}\n`, { mode: 0o600 });
    const { code, err } = await main(quiet(), 'config', 'check');
    expect(code).toBe(1);
    expect(err).toMatch(/main-agent\.yaml:\d+:1: sessionz: unknown key/);
  });

  it('audit verify works on the file alone and names the first broken record', async () => {
    await initMain();
    const state = buildMemoryState();
    const file = join(mainFolder, 'audit.jsonl');
    const feed = await startAuditFeed({
      state,
      file,
      rotateBytes: 1e9,
      keepMs: 1e15,
      clock: systemClock,
      log: buildLog('silent', {}),
    });
    for (const detail of ['one', 'two']) {
      await buildAudit(state).append({ time: 't', event: 'admin.call', outcome: 'ok', detail });
    }
    await feed.close();
    const { code, out } = await main(quiet(), 'audit', 'verify');
    expect(code).toBe(0);
    const [, head = ''] = /Head: (\S+)/.exec(out) ?? [];
    expect((await main(quiet(), 'audit', 'verify', '--expect-head', head)).code).toBe(0);
    writeFileSync(file, readFileSync(file, 'utf8').replace('one', 'ONE'));
    const broken = await main(quiet(), 'audit', 'verify', '--file', file);
    expect(broken).toMatchObject({ code: 1, err: expect.stringContaining('audit.jsonl:2:') });
    expect((await main(quiet(), 'audit', 'verify', '--file', 'none')).code).toBe(3);
    expect((await main(quiet(), 'audit', 'verify', '--expect-head', 'x')).code).toBe(2);
  });

  it('rotated keys are written where main reads them, and only in the place of those that signed for them', () => {
    const file = join(folder, 'rotated.yaml');
    const before = `# ours\ndmz_nodes:\n  - { name: dmz1, address: "10.0.1.5:8444", identity: old, signing_key: s1 } # the first\n`;
    writeFileSync(file, before);
    const line = { name: 'dmz1', identity: 'new', signing_key: 's2', signedBy: 'another' };
    expect(rotateNode(file, line)).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(rotateNode(file, { ...line, signedBy: 'old' })).toBe(true);
    expect(readFileSync(file, 'utf8')).toBe(
      before.replace('identity: old, signing_key: s1', 'identity: new, signing_key: s2'),
    );
  });

  it('scripts/sallyport runs both sides, from any folder and through a link', async () => {
    const run = promisify(execFile);
    const script = join(repository, 'scripts', 'sallyport');
    expect((await run(script, ['--help'], { cwd: folder })).stdout).toContain('Exit codes');
    expect((await run(script, ['node', '--help'], { cwd: folder })).stdout).toContain('DMZ box');
    const failed = await run(script, ['status', '--socket', join(folder, 'none'), '--json']).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('link-down') });
  });
});
