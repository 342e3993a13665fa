import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadDmzConfig, type DmzConfig } from '#dmz/config.ts';
import { startDmz } from '#dmz/system.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import { siteFiles } from '#scripts/demonstration/site-files.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { listOpenThings, watchIntervals } from '#test/harness/open-things.ts';
import { unchanged } from '#test/harness/unchanged.ts';

let folder: string;
let good: DmzConfig;
let taken: Server;
let takenPort: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-starts-'));
  const files = siteFiles(folder);
  await provisionSite(files, { httpsPort: 1, sftpPort: 1, users: [] });
  const config = await loadDmzConfig(files.dmz.config);
  const free = { type: 'tcp' as const, host: '127.0.0.1', port: 0 };
  good = {
    ...config,
    link: { ...config.link, listen: free },
    https: { ...config.https, listen: free },
    sftp: { ...config.sftp, listen: free },
    health: { listen: free },
  };
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

/** What is open before any start; one that failed may still be reading a file when the next begins. */
let idle: readonly string[];
const listOpen = () => listOpenThings(folder);

function start(config: DmzConfig) {
  return startDmz(config, {
    clock: systemClock,
    log: buildLog('silent', {}),
    inherited: new Map(),
    configFile: '/nonexistent/dmz.yaml',
    reread: async () => unchanged(config),
  });
}

const nowhere = () => join(folder, 'nowhere');
const listen = () => ({ type: 'tcp' as const, host: '127.0.0.1', port: takenPort });

/** In the order of the starts: what each can't do without. */
const failures: readonly {
  readonly of: string;
  readonly says: RegExp;
  readonly config: () => DmzConfig;
}[] = [
  {
    of: 'the certificate',
    says: /nowhere does not exist/,
    config: () => ({ ...good, https: { ...good.https, certificate: nowhere() } }),
  },
  {
    of: 'a host key',
    says: /nowhere does not exist/,
    config: () => ({ ...good, sftp: { ...good.sftp, hostKeys: [nowhere()] } }),
  },
  {
    of: 'a free port for the link',
    says: /EADDRINUSE/,
    config: () => ({ ...good, link: { ...good.link, listen: listen() } }),
  },
  {
    of: 'a free port for HTTPS',
    says: /EADDRINUSE/,
    config: () => ({ ...good, https: { ...good.https, listen: listen() } }),
  },
  {
    of: 'a free port for SFTP',
    says: /EADDRINUSE/,
    config: () => ({ ...good, sftp: { ...good.sftp, listen: listen() } }),
  },
  {
    of: 'a free port for health',
    says: /EADDRINUSE/,
    config: () => ({ ...good, health: { listen: listen() } }),
  },
];

describe('a start of a DMZ node', () => {
  it.each(failures)('without $of leaves nothing open', async ({ config, says }) => {
    await expect(start(config())).rejects.toThrow(says);
    await expect.poll(listOpen).toEqual(idle);
  });

  it('that succeeds closes all it has opened', async () => {
    const node = await start(good);
    expect((await listOpen()).length).toBeGreaterThan(idle.length + 3);
    await node.close();
    await expect.poll(listOpen).toEqual(idle);
  });
});
