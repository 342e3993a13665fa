import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import { siteFiles } from '#scripts/demonstration/site-files.ts';
import { buildLog } from '#shared/log.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { unchanged } from '#test/harness/unchanged.ts';

const monthMs = 31 * 24 * 3_600_000;

it('a rule of a user file deletes what its dry run named, and the audit has both', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-retention-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const files = siteFiles(folder);
  await provisionSite(files, { httpsPort: 1, sftpPort: 1, users: [] });
  await mkdir(join(folder, 'main', 'run'), { recursive: true });
  const rule = '{ delete_after: 30d, only: ["*.pdf"] }';
  const mount = `{ path: /in, root: "{username}", allow: [list, read], retention: ${rule} }`;
  await writeFile(join(files.main.users, 'alice.yaml'), `username: alice\nfiles:\n  - ${mount}\n`);
  await mkdir(join(files.files, 'alice'), { recursive: true });
  // More than a page of the API has.
  const many = Array.from({ length: 1000 }, (_, index) => `${index}.pdf`);
  for (const name of ['old.pdf', 'old.txt', ...many]) await writeFile(join(files.files, 'alice', name), 'x');
  await symlink('/etc', join(files.files, 'alice', 'link'));
  const config = await loadMainAgentConfig(files.main.config);
  const main = await startMainAgent(config, {
    // Nobody can make a file old for the disk: it is main that is a month later.
    clock: { now: () => Date.now() + monthMs, monotonic: () => performance.now() },
    log: buildLog('silent', {}),
    inherited: new Map(),
    reread: async () => unchanged(config),
    onStateFailure: () => undefined,
  });
  let printed = '';
  try {
    const call = async (...args: readonly string[]): Promise<string> => {
      const terminal = buildPlayedTerminal();
      const line = ['--socket', files.main.socket, 'retention', ...args];
      const status = await runCommand(line, { terminal, folder, nowMs: Date.now(), actor: 'eva' });
      printed = terminal.printed();
      expect(status, printed).toBe(0);
      return printed;
    };
    expect(await call('run', '--dry-run')).toContain('Nothing is deleted.\n');
    expect(await call('preview')).toContain('alice:/in/old.pdf');
    const named = await call('run', '--dry-run', '--unlisted');
    expect(named).toContain('alice:/in/old.pdf');
    expect(named).toContain('1001 in all, 1001 bytes.\n1 entries that no listing shows stay.');
    for (const name of many) expect(named).toContain(`alice:/in/${name}`);
    expect(existsSync(join(files.files, 'alice', 'old.pdf'))).toBe(true);
    expect(await call('run', '--reason', 'asked for')).toContain('1001 more are due and listed now');
    expect(await call('run', '--unlisted', '--reason', 'asked for')).toContain('Deleted 1001 (1001 bytes)');
    expect(existsSync(join(files.files, 'alice', 'old.pdf'))).toBe(false);
    expect(existsSync(join(files.files, 'alice', 'old.txt'))).toBe(true);
  } finally {
    await main.close();
  }
  const records = (await readFile(files.main.audit, 'utf8')).split('\n').filter((line) => line !== '');
  const told = (event: string) => records.filter((line) => line.includes(`"${event}"`));
  const deleted = told('file.delete').filter((line) => line.includes('"rule":"retention"'));
  expect(deleted).toHaveLength(1001);
  expect(deleted.join('\n')).toContain('"path":"/in/old.pdf"');
  const previews = told('GET /v1/retention/plan').map((line) => /(\d+ to go \(\w+\))/.exec(line)?.[1]);
  expect(previews.filter((one) => one !== undefined)).toEqual([
    '0 to go (now)',
    '1001 to go (next)',
    '1001 to go (now)',
  ]);
  expect(told('retention.ran').at(-1)).toMatch(/1001 deleted.*asked for/);
});
