import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { canLeaveNetwork } from '#scripts/demonstration/inherited-listeners.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { waitUntil } from '#test/harness/product.ts';
import { root } from '#test/repo/source-tree.ts';

const demo = join(root, 'scripts', 'demo');
const acceptance = join(root, '..', 'shared', 'acceptance');
/** They may lie beside the checkout; they are no part of it. */
const outsideScripts = existsSync(acceptance) ? ['demo-once', 'mission', 'one-use', 'scenarios'] : [];
/** What is promised after Ctrl-C. */
const goneMs = 5_000;
/** A node that died is promised back in 2 s; the machine may be busy. */
const backMs = 10_000;

const side = z.object({ config: z.string(), pid: z.number(), health: z.string(), metrics: z.string() });
const demoJson = z.object({
  https: z.string(),
  ca_file: z.string(),
  sftp: z.object({ host: z.string(), port: z.number(), host_key: z.string().regex(/^ssh-ed25519 AAAA/) }),
  admin_socket: z.string(),
  users_dir: z.string(),
  files_dir: z.string(),
  audit_file: z.string(),
  mail_dir: z.string(),
  dmz: side,
  main_agent: side,
  users: z.record(z.string(), z.record(z.string(), z.string())),
});

function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0] !== 'Z';
  } catch {
    return false;
  }
}

/** What a process gets that dials from where `pid` is; takes root. */
async function dialFrom(pid: number, target: string): Promise<string> {
  const [host = '', port = ''] = target.split(':');
  const dial = `require('node:net').connect(${port}, '${host}')
    .on('connect', () => console.log('connected'))
    .on('error', ({ code }) => console.log(code))`;
  const args = ['-t', String(pid), '-n', process.execPath, '-e', dial];
  return (await runProgram('/usr/bin/nsenter', args)).stdout;
}

const oneLine = z.object({ ok: z.boolean(), checks: z.array(z.object({ name: z.string() })) });

async function runOnce(...args: string[]): Promise<{ ok: boolean; said: string }> {
  const { status, stdout, stderr } = await runProgram(demo, ['--once', ...args], { cwd: root });
  const last = oneLine.safeParse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''));
  return { ok: status === 0 && last.success && last.data.ok, said: stdout + stderr };
}

describe('scripts/demo', () => {
  let folder: string;
  let child: ChildProcess;
  const read = (): z.output<typeof demoJson> =>
    demoJson.parse(JSON.parse(readFileSync(join(folder, 'demo.json'), 'utf8')));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
    child = spawn(demo, ['--dir', folder, '--https-port', '0', '--sftp-port', '0'], {
      cwd: root,
      stdio: 'ignore',
    });
    await waitUntil(() => existsSync(join(folder, 'demo.json')), 90_000);
  });
  afterAll(async () => {
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  it('tells another one for the same folder that one runs there, and leaves it alone', async () => {
    const other = await runOnce('--dir', folder, '--https-port', '0', '--sftp-port', '0');
    expect(other.ok).toBe(false);
    expect(other.said).toContain(`a demo is running in ${folder}`);
    expect(existsSync(join(folder, 'demo.json'))).toBe(true);
  });

  it('describes itself in demo.json once its self-check has passed', () => {
    const info = read();
    expect(Object.keys(info.users).toSorted()).toEqual(['alice', 'bob', 'carol', 'dave', 'erin', 'frank']);
    expect(Object.keys(info.users['alice'] ?? {})).toEqual(['password', 'totp_secret']);
    expect(Object.keys(info.users['erin'] ?? {})).toEqual(['totp_secret', 'ssh_key_file']);
    expect(readFileSync(info.main_agent.config, 'utf8')).toContain('auto_enable: true');
    for (const one of [info.dmz, info.main_agent]) expect(isAlive(one.pid)).toBe(true);
  });

  it('leaves nothing of its self-check behind', () => {
    const info = read();
    expect(readdirSync(join(info.files_dir, 'alice'))).toEqual([]);
    expect(existsSync(info.mail_dir) ? readdirSync(info.mail_dir) : []).toEqual([]);
  });

  it('answers health and metrics on each side, away from the public doors', async () => {
    const info = read();
    for (const { health, metrics } of [info.dmz, info.main_agent]) {
      expect((await fetch(health)).status).toBe(200);
      expect(await (await fetch(metrics)).text()).toContain('process_resident_memory_bytes');
    }
  });

  it('S-06: the DMZ node has its listening sockets and no network to dial in, unless nobody here may take it away', async () => {
    const { dmz, main_agent } = read();
    const isCutOff = canLeaveNetwork();
    const networkOf = (pid: number | 'self'): string => readlinkSync(`/proc/${pid}/ns/net`);
    expect(networkOf(main_agent.pid)).toBe(networkOf('self'));
    expect(networkOf(dmz.pid) !== networkOf('self')).toBe(isCutOff);
    const main = new URL(main_agent.health);
    const targets = isCutOff ? [`${main.hostname}:${main.port}`, '192.0.2.1:443', '10.0.0.1:22'] : [];
    const dialled = await Promise.all(targets.map((target) => dialFrom(dmz.pid, target)));
    expect(dialled).toEqual(targets.map(() => 'ENETUNREACH\n'));
  });

  it('prints a live code', async () => {
    const result = await runProgram(demo, ['--dir', folder, 'code', 'alice'], { cwd: root });
    expect(result.stdout).toMatch(/^\d{6}\n$/);
    const oath = await runProgram('/usr/bin/oathtool', [
      '-b',
      '--totp',
      read().users['alice']?.['totp_secret'] ?? '',
    ]);
    expect(oath.stdout).toMatch(/^\d{6}\n$/);
  });

  it.each(['dmz', 'main_agent'] as const)('starts %s again when it dies', async (name) => {
    const { pid } = read()[name];
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => read()[name].pid !== pid, backMs);
    await waitUntil(
      async () => (await fetch(read().dmz.health.replace('healthz', 'readyz'))).status === 200,
      backMs,
    );
    expect(read().https).toMatch(/^https:\/\/localhost:\d+$/);
  });

  it('is gone within 5 s of Ctrl-C, children included', async () => {
    const info = read();
    child.kill('SIGINT');
    await waitUntil(() => child.exitCode !== null, goneMs);
    expect([info.dmz.pid, info.main_agent.pid].filter(isAlive)).toEqual([]);
    expect(existsSync(join(folder, 'demo.json'))).toBe(false);
  });

  it.each(outsideScripts)('the outside script %s holds', async (name) => {
    const result = await runProgram(join(acceptance, name), [], { cwd: root });
    expect(result.status, result.stdout + result.stderr).toBe(0);
  });
});

describe('two demos that start in the same second', () => {
  it('both come up, on the usual ports and in folders of their own', async () => {
    const folders = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'sallyport-demo-'))));
    try {
      const both = await Promise.all(folders.map((folder) => runOnce('--dir', folder)));
      expect(
        both.map(({ ok }) => ok),
        both.map(({ said }) => said).join('\n'),
      ).toEqual([true, true]);
    } finally {
      for (const folder of folders) await rm(folder, { recursive: true, force: true });
    }
  });

  it('in one folder one waits for the other', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
    try {
      const both = await Promise.all([0, 1].map(() => runOnce('--dir', folder)));
      expect(
        both.map(({ ok }) => ok),
        both.map(({ said }) => said).join('\n'),
      ).toEqual([true, true]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
