import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, runProgram } from '#test/harness/clients/process.ts';
import { root } from '#test/repo/source-tree.ts';

/**
 * scripts/release on a box in a folder: small releases, whose code refuses a configuration with a word they name and
 * whose health is what they name, and a systemctl that writes down what it is told.
 */

type Health = 'ready' | 'alive' | 'silent';

let box: string;
let server: Server;

const base = (...parts: string[]): string => join(box, 'opt/sallyport', ...parts);
const current = (): string => readlinkSync(base('current'));
const unit = (name: string): string => join(box, 'usr/lib/systemd/system', name);
const told = (): string[] =>
  readFileSync(join(box, 'told'), 'utf8')
    .split('\n')
    .filter((line) => line !== '');

beforeEach(async () => {
  within = '60';
  box = mkdtempSync(join(tmpdir(), 'sallyport-release-'));
  write('etc/sallyport/dmz.yaml', 'node: dmz1\n');
  write('told', '');
  server = createServer((request, response) => {
    const health = existsSync(base('current/health'))
      ? readFileSync(base('current/health'), 'utf8')
      : 'silent';
    if (health === 'silent') request.socket.destroy();
    else response.writeHead(request.url === '/readyz' && health === 'alive' ? 503 : 200).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const watch = `{ argv[]=node watch.ts dmz http://127.0.0.1:${port}/healthz ; }`;
  write(
    'bin/systemctl',
    `#!/bin/sh
echo "$*" >>${box}/told
# The power goes out, in the middle of a switch.
if [ -e ${base('.switching')} ] && [ "$(cat ${box}/cut 2>/dev/null)" = "$1" ]; then
  rm ${box}/cut
  kill -KILL $PPID
  exit
fi
case "$*" in
*is-active*) [ -e ${box}/active ] ;;
*ExecStart*) echo "${watch}" ;;
*NRestarts*) cat ${base('current/restarts')} 2>/dev/null || echo 0 ;;
stop*)
  rm -f ${box}/active
  cp ${box}/var/state.db ${box}/stopped-with 2>/dev/null
  ;;
start* | restart*)
  : >${box}/active
  cp ${box}/run/systemd/system/*/restored.conf ${box}/started-with 2>/dev/null
  # As a release does that brings a migration.
  if [ -e ${box}/migrates ]; then
    rm ${box}/migrates
    ${process.execPath} -e 'new (require("node:sqlite").DatabaseSync)("${box}/var/state.db").exec("PRAGMA user_version = 8")'
  fi
  ;;
esac
`,
  );
  write('bin/journalctl', '#!/bin/sh\necho "a line of the journal"\n');
  for (const name of ['systemctl', 'journalctl']) chmodSync(join(box, 'bin', name), 0o755);
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  rmSync(box, { recursive: true, force: true });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(box, path)), { recursive: true });
  writeFileSync(join(box, path), text);
}

/** A tree as a package brings it. */
function makeTree(
  version: string,
  {
    health = 'ready',
    refuses = 'nothing',
    restarts = '0',
    side = 'dmz',
    schema = 7,
  }: {
    readonly health?: Health;
    readonly refuses?: string;
    readonly restarts?: string;
    readonly side?: 'dmz' | 'main-agent';
    /** The newest of main's state that it reads. */
    readonly schema?: number;
  } = {},
): string {
  const tree = `payload-${version}`;
  // As dpkg: new files of the same names.
  rmSync(join(box, tree), { recursive: true, force: true });
  write(`${tree}/package.json`, JSON.stringify({ version, type: 'module' }, null, 2));
  write(`${tree}/health`, health);
  write(`${tree}/restarts`, restarts);
  write(
    `${tree}/${side}/main.ts`,
    `import { readFileSync } from 'node:fs';
     if (!readFileSync(process.argv[3], 'utf8').includes('${refuses}')) process.exit();
     console.error('line 1: ${refuses} is not known');
     process.exit(2);`,
  );
  write(`${tree}/scripts/state.ts`, `console.log('${box}/var/state.db\\n${schema}')`);
  write(
    `${tree}/configs/systemd/${side}.service`,
    `unit of ${version}\nExecStart=/node \\\n  main.ts --config x\nRestart=always\n`,
  );
  write(`${tree}/configs/systemd/${side}-only-in-${version}.socket`, '');
  mkdirSync(join(box, tree, 'scripts'), { recursive: true });
  cpSync(join(root, 'scripts/release'), join(box, tree, 'scripts/release'));
  mkdirSync(join(box, tree, 'node_modules/.bin'), { recursive: true });
  symlinkSync(process.execPath, join(box, tree, 'node_modules/.bin/node'));
  return join(box, tree);
}

/** What is to come up has all the time a busy machine takes; what is not to has little. */
let within = '60';

function release(tree: string, ...args: readonly string[]): Promise<Outcome> {
  return runProgram(join(tree, 'scripts/release'), ['--root', box, '--within', within, ...args], {
    env: { PATH: `${box}/bin:${process.env['PATH'] ?? ''}` },
  });
}

/** As the package's script does it. */
async function install(
  version: string,
  ...options: Parameters<typeof makeTree> extends [string, ...infer R] ? R : never
) {
  const tree = makeTree(version, ...options);
  expect((await release(tree, 'stage')).stderr).toBe('');
  return release(base('releases', version), 'switch', version);
}

describe('a release of a packaged node', () => {
  it('is put beside the others with its units, and nothing is started that did not run', async () => {
    const { status, stderr } = await install('1.0.0');
    expect({ status, stderr }).toEqual({ status: 0, stderr: 'sallyport: 1.0.0 is current\n' });
    expect(current()).toBe('releases/1.0.0');
    expect(readFileSync(unit('dmz.service'), 'utf8')).toContain('unit of 1.0.0\n');
    expect(readlinkSync(unit('dmz-link.socket.d'))).toBe('/etc/sallyport/dmz-link.socket.d');
    expect(told().filter((line) => /start/.test(line))).toEqual([]);
  });

  it('takes the place of the one that runs, and the files of the package may then go', async () => {
    await install('1.0.0');
    write('active', '');
    const { status, stderr } = await install('1.1.0');
    expect({ status, stderr }).toEqual({ status: 0, stderr: 'sallyport: 1.1.0 is current and ready\n' });
    expect([current(), readlinkSync(base('previous'))]).toEqual(['releases/1.1.0', 'releases/1.0.0']);
    expect(told()).toContain('restart dmz');
    expect(existsSync(unit('dmz-only-in-1.0.0.socket')), 'a unit that is gone').toBe(false);
    rmSync(join(box, 'payload-1.1.0'), { recursive: true });
    expect(readFileSync(base('current/health'), 'utf8')).toBe('ready');
  });

  it.each([
    // Only root can unpack as somebody else.
    ['that others may change', process.getuid?.() === 0 ? 0o644 : 0o666],
    ['that others may not read', 0o600],
  ])('from a tar %s is copied and is then nobody else’s', async (_, mode) => {
    const tree = makeTree('1.0.0');
    chmodSync(join(tree, 'dmz/main.ts'), mode);
    if (mode === 0o644) chownSync(join(tree, 'dmz/main.ts'), 4321, 4321);
    expect(await release(tree, 'stage')).toMatchObject({ status: 0, stderr: '' });
    const look = (path: string): Stats => statSync(base('releases/1.0.0', path));
    expect(look('dmz/main.ts').mode & 0o777).toBe(0o644);
    expect(look('dmz/main.ts').ino).not.toBe(statSync(join(tree, 'dmz/main.ts')).ino);
    const { uid, gid } = look('dmz/main.ts');
    expect([uid, gid]).toEqual([process.getuid?.(), process.getgid?.()]);
    expect(readdirSync(base('releases'))).toEqual(['1.0.0']);
  });

  it('of three the oldest goes', async () => {
    for (const version of ['1.0.0', '1.1.0', '1.2.0']) await install(version);
    const { stdout } = await release(base('current'), 'list');
    expect(stdout).toBe('1.1.0 (previous)\n1.2.0 (current)\n');
  });

  it('that refuses the configuration is not switched to: nothing is stopped or changed', async () => {
    await install('1.0.0');
    write('active', '');
    const { status, stderr } = await install('1.1.0', { refuses: 'dmz1' });
    expect(status).toBe(1);
    expect(stderr).toContain('line 1: dmz1 is not known');
    expect(stderr).toContain('1.0.0 goes on');
    expect(current()).toBe('releases/1.0.0');
    expect(readFileSync(unit('dmz.service'), 'utf8')).toContain('unit of 1.0.0\n');
    expect(told().filter((line) => /^(re)?st(art|op)/.test(line))).toEqual([]);
  });

  it.each(['alive', 'silent'] as const)(
    'that is only %s after one that was ready is switched back',
    async (health) => {
      await install('1.0.0');
      await install('1.1.0');
      write('active', '');
      within = '1';
      const { status, stderr } = await install('1.2.0', { health });
      expect(status).toBe(1);
      expect(stderr).toContain('a line of the journal');
      expect(stderr).toContain('1.1.0 is current again and ready');
      expect([current(), readlinkSync(base('previous'))]).toEqual(['releases/1.1.0', 'releases/1.0.0']);
      expect(readFileSync(unit('dmz.service'), 'utf8')).toContain('unit of 1.1.0\n');
      expect(existsSync(unit('dmz-only-in-1.2.0.socket'))).toBe(false);
    },
  );

  it('has to be no better than the one before: while main is away a node is upgraded all the same', async () => {
    await install('1.0.0', { health: 'alive' });
    write('active', '');
    const { status, stderr } = await install('1.1.0', { health: 'alive' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: 'sallyport: 1.1.0 is current and alive\n' });
  });

  it.each([
    ['0', 0],
    ['3', 1],
  ])('of a node without a health listener is judged by its restarts: %s', async (restarts, expected) => {
    await install('1.0.0', { health: 'silent' });
    write('active', '');
    if (expected === 1) within = '1';
    expect((await install('1.1.0', { health: 'silent', restarts })).status).toBe(expected);
  });

  it('goes back on purpose, and forth again', async () => {
    await install('1.0.0');
    expect((await release(base('current'), 'rollback')).stderr).toContain('no previous release');
    await install('1.1.0');
    write('active', '');
    expect((await release(base('current'), 'rollback')).status).toBe(0);
    expect([current(), readlinkSync(base('previous'))]).toEqual(['releases/1.0.0', 'releases/1.1.0']);
    expect((await release(base('current'), 'rollback')).status).toBe(0);
    expect(current()).toBe('releases/1.1.0');
  });

  it('is not switched to where another unit would start instead of its own', async () => {
    write('etc/systemd/system/dmz.service', 'of a checkout');
    const { status, stderr } = await install('1.0.0');
    expect(status).toBe(1);
    expect(stderr).toContain('etc/systemd/system/dmz.service hides the unit');
    expect(existsSync(base('current'))).toBe(false);
  });

  it('waits for nobody: a second installation at the same time is refused', async () => {
    await install('1.0.0');
    const { status, stderr } = await runProgram('flock', [
      base('.lock'),
      base('current/scripts/release'),
      '--root',
      box,
      'rollback',
    ]);
    expect(status).toBe(1);
    expect(stderr).toContain('another installation or rollback is going on');
  });

  it('is whole after a power cut in the middle of the switch, which then goes on', async () => {
    await install('1.0.0');
    write('active', '');
    write('cut', 'restart');
    expect((await install('1.1.0')).status).toBe(null);
    expect(readFileSync(base('current/health'), 'utf8')).toBe('ready');
    const { status, stderr } = await release(base('current'), 'settle');
    expect(stderr).toContain('1.1.0 is current and ready');
    expect(status).toBe(0);
    expect([current(), readlinkSync(base('previous'))]).toEqual(['releases/1.1.0', 'releases/1.0.0']);
  });

  it('that comes again with other bytes can be gone back from, too', async () => {
    await install('1.0.0');
    write('active', '');
    within = '1';
    expect((await install('1.0.0', { health: 'silent' })).stderr).toContain(
      '1.0.0.replaced is current again',
    );
    expect(readFileSync(base('current/health'), 'utf8')).toBe('ready');
    within = '60';
    expect((await install('1.0.0')).stderr).toContain('1.0.0 is current and ready');
  });

  it('takes all with it that a switch made, and nothing else', async () => {
    await install('1.0.0');
    write('active', '');
    await install('1.1.0');
    expect(await release(base('current'), 'remove')).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(base())).toBe(false);
    expect(readdirSync(join(box, 'usr/lib/systemd/system'))).toEqual([]);
    expect(existsSync(join(box, 'etc/sallyport/dmz.yaml'))).toBe(true);
    expect(told().find((line) => line.startsWith('disable --now'))).toContain('dmz.service');
  });

  it('a checkout has no releases', async () => {
    const { status, stderr } = await runProgram(join(root, 'scripts/sallyport'), ['releases']);
    expect(status).toBe(1);
    expect(stderr).toContain('this is a checkout');
  });
});

describe('main’s state', () => {
  const side = 'main-agent';
  const state = (): string => join(box, 'var/state.db');
  function setSchema(version: number): void {
    mkdirSync(join(box, 'var'), { recursive: true });
    const database = new DatabaseSync(state());
    database.exec(`PRAGMA user_version = ${version}`);
    database.close();
  }
  function readSchema(file: string): unknown {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      return database.prepare('PRAGMA user_version').get()?.['user_version'];
    } finally {
      database.close();
    }
  }
  beforeEach(() => write('etc/sallyport/main-agent.yaml', 'name: main1\n'));

  it('is copied before another release starts, while nobody writes it', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    expect((await install('1.1.0', { side })).stderr).toContain('1.1.0 is current and ready');
    const copy = new DatabaseSync(join(box, 'var/before-1.1.0/state.db'), { readOnly: true });
    expect(copy.prepare('PRAGMA user_version').get()).toEqual({ user_version: 7 });
    copy.close();
    const stopped = told().findIndex((line) => line === 'stop main-agent');
    const started = told().findIndex((line) => line === 'restart main-agent');
    expect(stopped).toBeGreaterThan(-1);
    expect(started).toBeGreaterThan(stopped);
  });

  it('that is still read by the previous release loses nothing by going back', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    await install('1.1.0', { side });
    const { status, stderr } = await release(base('current'), 'rollback');
    expect(stderr).toContain('nothing of the state is lost');
    expect(status).toBe(0);
    expect(current()).toBe('releases/1.0.0');
  });

  it('that the previous release can’t read keeps it from coming back, and says since when and where the copy is', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    await install('1.1.0', { side });
    setSchema(8);
    const { status, stderr } = await release(base('current'), 'rollback');
    expect(status).toBe(1);
    expect(stderr).toContain('loses what was written since');
    expect(stderr).toContain(join(box, 'var/before-1.1.0'));
    expect(stderr).toContain("sallyport rollback 1.0.0 --reason '…'");
    expect(current()).toBe('releases/1.1.0');
    // A running main lets nobody else read it.
    expect(
      told()
        .filter((line) => line.startsWith('st'))
        .slice(-2),
    ).toEqual(['stop main-agent', 'start main-agent']);
    const olderOne = await install('1.0.0', { side });
    expect(olderOne.stderr, 'the older package does the same').toContain('loses what was written since');
    rmSync(join(box, 'var/before-1.1.0'), { recursive: true });
    const without = await release(base('current'), 'rollback', '--reason', 'all the same');
    expect(without.stderr).toContain('restore a backup of the time of 1.0.0');
    expect([readSchema(state()), current()]).toEqual([8, 'releases/1.1.0']);
  });

  it('that nobody can read stops the switch', async () => {
    write('var/state.db', 'no database, of more than a page'.repeat(200));
    await install('1.0.0', { side });
    const { status, stderr } = await install('1.1.0', { side });
    expect(status).toBe(1);
    expect(stderr).toContain('can’t be read'.replace('’', "'"));
    expect(current()).toBe('releases/1.0.0');
  });

  it('that a release has changed before the power went out goes back with the one before, once', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    write('cut', 'restart');
    expect((await install('1.1.0', { side, health: 'silent' })).status).toBe(null);
    write('migrates', '');
    within = '1';
    const { status, stderr } = await release(base('current'), 'settle');
    expect(status).toBe(1);
    expect(stderr).toContain('the switch from 1.0.0 to 1.1.0 was cut short; it goes on');
    expect(stderr).toContain('1.0.0 is current again and ready');
    expect([readSchema(state()), current()]).toEqual([7, 'releases/1.0.0']);
    expect(readSchema(join(box, 'var/before-1.1.0/state.db.failed'))).toBe(8);
    expect(await release(base('current'), 'settle')).toMatchObject({ status: 0, stderr: '' });
  });

  it('goes back with the release for a reason that main is started with, once', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    await install('1.1.0', { side });
    setSchema(8);
    const dangerous = await release(base('current'), 'rollback', '--reason', 'a "quoted" %reason');
    expect(dangerous.status).toBe(1);
    const { status, stderr } = await release(base('current'), 'rollback', '--reason', 'the new one is slow');
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stderr).toContain('lost is what was written since');
    expect(stderr).toContain('state is that of before');
    expect(current()).toBe('releases/1.0.0');
    expect(readSchema(state())).toBe(7);
    expect(readSchema(join(box, 'var/before-1.0.0/state.db'))).toBe(8);
    expect(readFileSync(join(box, 'started-with'), 'utf8')).toBe(
      '[Service]\nExecStart=\nExecStart=/node \\\n  main.ts --config x --accept-restored-state "the new one is slow"\n',
    );
    expect(existsSync(join(box, 'run/systemd/system/main-agent.service.d'))).toBe(false);
  });

  it.each([
    ['before it is written down that it is placed', 'daemon-reload', 7, 9],
    ['after that', 'restart', 9, false],
  ])(
    'is placed below a main that is stopped, and once: a power cut %s',
    async (_, cut, expected, stoppedWith) => {
      setSchema(7);
      await install('1.0.0', { side, schema: 9 });
      await install('1.1.0', { side, schema: 9 });
      write('active', '');
      writeFileSync(base('releases/1.0.0/scripts/state.ts'), `console.log('${state()}\\n7')`);
      setSchema(8);
      write('cut', cut);
      expect((await release(base('current'), 'rollback', '--reason', 'it is slow')).status).toBe(null);
      expect(readSchema(state())).toBe(7);
      // The box has started, and main has written.
      write('active', '');
      setSchema(9);
      rmSync(join(box, 'stopped-with'));
      const { status, stderr } = await release(base('current'), 'settle');
      expect(stderr).toContain('1.0.0 is current and ready');
      expect(status).toBe(0);
      expect(readSchema(state())).toBe(expected);
      const stopped = join(box, 'stopped-with');
      expect(existsSync(stopped) && readSchema(stopped)).toBe(stoppedWith);
      expect(readFileSync(join(box, 'started-with'), 'utf8')).toContain('"it is slow"');
    },
  );

  it('is read with the Node of the release, since its owner may not go where a tar lies', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    const tree = makeTree('1.1.0', { side });
    await release(tree, 'stage');
    rmSync(join(tree, 'node_modules/.bin/node'));
    expect(await release(tree, 'switch', '1.1.0')).toMatchObject({
      status: 0,
      stderr: 'sallyport: 1.1.0 is current\n',
    });
  });

  it('that a release has changed before it failed is put back with the one before', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    within = '1';
    write('migrates', '');
    const { status, stderr } = await install('1.1.0', { side, health: 'silent' });
    expect(status).toBe(1);
    expect(stderr).toContain('1.0.0 is current again and ready');
    expect(readSchema(state())).toBe(7);
    expect(readFileSync(join(box, 'started-with'), 'utf8')).toContain('"release 1.1.0 did not come up on ');
  });

  it('copies of releases that are gone go with them', async () => {
    setSchema(7);
    await install('1.0.0', { side });
    write('active', '');
    for (const version of ['1.1.0', '1.2.0', '1.3.0', '1.4.0']) await install(version, { side });
    const copies = ['1.1.0', '1.2.0', '1.3.0', '1.4.0'].filter((version) =>
      existsSync(join(box, `var/before-${version}`)),
    );
    expect(copies).toEqual(['1.3.0', '1.4.0']);
  });
});
