import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildAdminClient } from '#main-agent/cli/admin-client.ts';
import { loadMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import { siteFiles, type SiteFiles } from '#scripts/demonstration/site-files.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { listOpenThings, watchIntervals } from '#test/harness/open-things.ts';
import { unchanged } from '#test/harness/unchanged.ts';

let folder: string;
let files: SiteFiles;
let good: MainAgentConfig;
let taken: Server;
let takenPort: number;

/** What is open before any start; one that failed may still be reading a file when the next begins. */
let idle: readonly string[];
const listOpen = () => listOpenThings(folder);

function start(config: MainAgentConfig) {
  return startMainAgent(config, {
    clock: systemClock,
    log: buildLog('silent', {}),
    inherited: new Map(),
    reread: async () => unchanged(config),
    onStateFailure: () => undefined,
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-starts-'));
  files = siteFiles(folder);
  await provisionSite(files, { httpsPort: 1, sftpPort: 1, users: [] });
  await mkdir(join(folder, 'main', 'run'), { recursive: true });
  await writeFile(join(folder, 'short.key'), 'too short', { mode: 0o600 });
  await writeFile(join(folder, 'good.secret'), `whsec_${Buffer.alloc(32).toString('base64')}`, {
    mode: 0o600,
  });
  good = await loadMainAgentConfig(files.main.config);
  taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  takenPort = (taken.address() as { port: number }).port;
  watchIntervals();
  idle = await listOpen();
});

afterAll(async () => {
  vi.unstubAllGlobals();
  taken.close();
  await rm(folder, { recursive: true, force: true });
});

const nowhere = () => join(folder, 'nowhere', 'file');
const webhook = (secretFile: string) => ({
  url: 'https://hooks.example.com/',
  events: ['*'],
  secretFile,
});
const collector = (ca: string) => ({
  host: '127.0.0.1',
  port: 6514,
  ca,
  certificate: undefined,
  key: undefined,
  events: ['*'],
});
const authority = {
  directory: new URL('https://ca.example.com/directory'),
  email: 'admin@example.com',
  names: ['files.example.com'],
};
const listener = () => ({ type: 'tcp' as const, host: '127.0.0.1', port: takenPort });

/** In the order of the starts: what each can't do without. */
const failures: readonly {
  readonly of: string;
  readonly says: RegExp;
  readonly config: () => MainAgentConfig;
}[] = [
  { of: 'state.db', says: /EISDIR/, config: () => ({ ...good, state: { ...good.state, file: folder } }) },
  {
    of: 'the identity key',
    says: /nowhere.file does not exist/,
    config: () => ({ ...good, identityKey: nowhere() }),
  },
  {
    of: 'the audit file',
    says: /EISDIR/,
    config: () => ({ ...good, audit: { ...good.audit, file: folder } }),
  },
  {
    of: 'the mail relay’s password',
    says: /nowhere.file does not exist/,
    config: () => ({ ...good, smtp: good.smtp && { ...good.smtp, passwordFile: nowhere() } }),
  },
  {
    of: 'the second storage',
    says: /Storage other/,
    config: () => ({
      ...good,
      storages: { ...good.storages, other: { type: 'local', base: nowhere() } },
    }),
  },
  {
    of: 'the vault key',
    says: /nowhere.file does not exist/,
    config: () => ({ ...good, vaultKey: nowhere() }),
  },
  {
    of: 'a vault key that is whole',
    says: /vault key is damaged/,
    config: () => ({ ...good, vaultKey: join(folder, 'short.key') }),
  },
  {
    of: 'the second webhook’s secret',
    says: /nowhere.file does not exist/,
    config: () => ({
      ...good,
      events: { ...good.events, webhooks: [webhook(join(folder, 'good.secret')), webhook(nowhere())] },
    }),
  },
  {
    of: 'the second collector’s authority',
    says: /nowhere.file does not exist/,
    config: () => ({
      ...good,
      audit: { ...good.audit, syslog: [collector(files.dmz.certificate), collector(nowhere())] },
    }),
  },
  {
    of: 'what the certificate authority is trusted by',
    says: /nowhere.file does not exist/,
    config: () => ({ ...good, https: { acme: { ...authority, ca: nowhere() } } }),
  },
  {
    of: 'the admin certificate',
    says: /nowhere.file does not exist/,
    config: () => ({
      ...good,
      admin: { ...good.admin, listen: listener(), certificate: nowhere(), key: files.dmz.key },
    }),
  },
  {
    of: 'the admin socket’s folder',
    says: /admin socket cannot be opened/,
    config: () => ({ ...good, admin: { ...good.admin, socket: join(files.main.config, 'admin.sock') } }),
  },
  {
    of: 'a free port for the admin API',
    says: /admin listener cannot be opened/,
    config: () => ({
      ...good,
      admin: {
        ...good.admin,
        listen: listener(),
        certificate: files.dmz.certificate,
        key: files.dmz.key,
      },
    }),
  },
  {
    of: 'a free port for health',
    says: /EADDRINUSE/,
    config: () => ({ ...good, health: { listen: listener() } }),
  },
];

describe('a start of main', () => {
  it.each(failures)('without $of leaves nothing open', async ({ config, says }) => {
    await expect(start(config())).rejects.toThrow(says);
    await expect.poll(listOpen).toEqual(idle);
  });

  it('that succeeds closes all it has opened, and the next one finds its lock free', async () => {
    for (let round = 0; round < 2; round += 1) {
      const main = await start(good);
      expect((await listOpen()).length).toBeGreaterThan(idle.length + 5);
      await main.close();
      await expect.poll(listOpen).toEqual(idle);
    }
  });

  it('finishes a rename that a kill left, gives names over the socket, and has one record of each', async () => {
    const userFile = (name: string) => join(files.main.users, `${name}.yaml`);
    await writeFile(userFile('alice'), 'username: alice\n');
    const clock = systemClock;
    const open = () => openSqliteState({ file: good.state.file, clock, log: buildLog('silent', {}) });
    const left = await open();
    const rename = {
      id: 'alice',
      to: 'alina',
      stage: 'begun',
      moves: [],
      actor: 'admin',
      reason: 'married',
      startedAtMs: clock.now(),
    } as const;
    await left.commit([{ kind: 'keep-record', list: 'user-rename', record: rename }]);
    await left.close();
    const main = await start(good);
    const admin = buildAdminClient({
      target: { socket: good.admin.socket },
      token: undefined,
      actor: 'root',
    });
    const body = { username: 'alma', reason: 'again' };
    await admin.call('POST', '/v1/users/alina/rename', { body });
    expect(await admin.call('GET', '/v1/users/alma')).toMatchObject({ username: 'alma' });
    await main.close();
    expect(await readdir(files.main.users)).toContain('alma.yaml');
    expect(await readdir(files.main.users)).not.toContain('alice.yaml');
    const state = await open();
    const records = await state.read('audit-after', { sequence: 0, limit: 1_000 });
    await state.close();
    const told = records.flatMap(({ record }) => (record.event === 'user.renamed' ? record.detail : []));
    expect(told).toEqual(['alice is alina from now on: married', 'alina is alma from now on: again']);
  });
});
