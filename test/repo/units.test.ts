import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edgeEventsPerNodeMax } from '#main-agent/audit/limits.ts';
import { handlesMax, removalsAtOnce, snapshotNamesMax, walkDepthMax } from '#main-agent/files/limits.ts';
import { nodeRequestsMax, operationsMax, workersMax } from '#main-agent/link/limits.ts';
import { challengesMax } from '#main-agent/login/limits.ts';
import { memoryMaxKiB } from '#main-agent/users/argon2-text.ts';
import {
  controlMessageBytesMax,
  lanesPerLinkMax,
  streamsPerLinkMax,
  windowBytesStart,
  windowGrowthPerLaneMax,
} from '#shared/link/limits.ts';
import { hashesAtOnceMax } from '#main-agent/passwords/limits.ts';
import { sessionsMax } from '#main-agent/sessions/limits.ts';
import { listFiles, readText, root } from './source-tree.ts';

const units = listFiles().filter((file) => /^configs\/systemd\/.*\.(service|socket|timer)$/.test(file));

/** 0 is nothing to attack, 10 no sandbox at all. Both leave out what V8 needs; main also has a network. */
const exposureMax = [
  { unit: 'dmz.service', tenths: 8 },
  { unit: 'main-agent.service', tenths: 13 },
] as const;

/** Names that a unit hands over, and names that the shipped configuration expects. */
function listNames(unit: string, config: string) {
  return {
    handedOver: [...readText(`configs/systemd/${unit}`).matchAll(/^LoadCredential=([^:\n]+):/gm)].map(
      ([, name = '']) => name,
    ),
    expected: [...readText(`configs/${config}`).matchAll(/^[^#\n]*\bcredential:([a-z-]+)/gm)].map(
      ([, name = '']) => name,
    ),
  };
}

/** What systemd itself brings and our units stand on; a missing one is told by name. */
const baseTargets = [
  'basic.target',
  'multi-user.target',
  'network-online.target',
  'network.target',
  'paths.target',
  'shutdown.target',
  'slices.target',
  'sockets.target',
  'sysinit.target',
  'timers.target',
];
const systemdsOwn = '/usr/lib/systemd/system';

describe('the systemd units', () => {
  let folder: string;
  let base: string;
  let foreign: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-units-'));
    base = join(folder, 'base');
    mkdirSync(base);
    for (const target of baseTargets) copyFileSync(join(systemdsOwn, target), join(base, target));
    foreign = join(folder, 'foreign');
    const wanted = join(foreign, 'sysinit.target.wants');
    mkdirSync(wanted, { recursive: true });
    // Such as other packages install: systemd reads it with the target that wants it.
    writeFileSync(join(foreign, 'foreign.service'), '[Service]\nExecStart=/nonexistent\nBogus=1\n');
    symlinkSync('../foreign.service', join(wanted, 'foreign.service'));
    for (const unit of units)
      writeFileSync(
        join(folder, unit.replace('configs/systemd/', '')),
        // systemd looks whether what it is to start is there.
        readText(unit).replaceAll('/opt/sallyport', root.replace(/\/$/, '')),
      );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** With our units and the base targets alone, whatever else is installed here; or with other folders, too. */
  function analyze(args: readonly string[], ...others: readonly string[]) {
    return spawnSync('systemd-analyze', ['--no-pager', ...args], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, SYSTEMD_UNIT_PATH: [folder, base, ...others].join(':') },
    });
  }
  const verify = (...others: readonly string[]) =>
    analyze(
      ['verify', '--man=no', ...units.map((unit) => unit.replace('configs/systemd/', './'))],
      ...others,
    );

  it('have nothing that systemd would complain about', () => {
    const { status, stderr, stdout } = verify();
    expect(stderr + stdout).toBe('');
    expect(status).toBe(0);
  });

  it('are judged alone: a broken unit of another package is only seen by who looks there', () => {
    expect(verify(foreign).stderr).toContain('foreign.service');
  });

  it('are judged: a mistake in one of them is told', () => {
    const watch = join(folder, 'dmz-watch.service');
    const right = readFileSync(watch);
    try {
      writeFileSync(watch, `${right.toString()}\n[Service]\nBogus=1\n`);
      expect(verify().stderr).toContain('Bogus');
    } finally {
      writeFileSync(watch, right);
    }
  });

  it.each(exposureMax)('leave $unit at most $tenths tenths of exposure', ({ unit, tenths }) => {
    const options = ['security', '--offline=yes', `--threshold=${tenths}`];
    const { status, stdout } = analyze([...options, `./${unit}`]);
    expect(status, stdout).toBe(0);
    expect(stdout).toContain('Overall exposure level');
  });

  it.each([
    ['dmz.service', 'dmz.yaml'],
    ['main-agent.service', 'main-agent.yaml'],
  ])('%s hands over the keys that configs/%s names', (unit, config) => {
    const { handedOver, expected } = listNames(unit, config);
    expect(handedOver.toSorted()).toEqual([...expected, config].toSorted());
  });

  it('the drop-in for a certificate from main hands over all but the certificate', () => {
    const own = ['https-certificate', 'https-key'];
    const { handedOver } = listNames('dmz.service', 'dmz.yaml');
    const rest = handedOver.filter((name) => !own.includes(name));
    expect(listNames('authority.conf', 'dmz.yaml').handedOver).toEqual(rest);
    expect(readText('configs/systemd/authority.conf')).toMatch(/^LoadCredential=$/m);
  });

  it('the DMZ node has a socket unit for each of its listeners', () => {
    const names = units
      .filter((unit) => unit.endsWith('.socket'))
      .map((unit) => /^FileDescriptorName=(.*)$/m.exec(readText(unit))?.[1] ?? '');
    expect(names.toSorted()).toEqual(['health', 'https', 'link', 'plain', 'sftp']);
  });

  it('a reload renews what systemd handed over, before the process is told', () => {
    const main = readText('configs/systemd/main-agent.service');
    expect([...main.matchAll(/^ExecReload=(.*)$/gm)].map(([, command]) => command)).toEqual([
      '+/opt/sallyport/scripts/renew-credentials main-agent',
      '+/bin/kill -HUP $MAINPID',
    ]);
    // Inside of the node's root there is neither the script nor what it reads.
    const node = readText('configs/systemd/dmz.service');
    expect(node).toMatch(/^PropagatesReloadTo=dmz-renew.service\nAfter=dmz-renew.service$/m);
    expect(node).toMatch(
      /^ExecReload=\/opt\/sallyport\/node_modules\/.*\\\n.*renewed\/.failed.*\\\n.*SIGHUP/m,
    );
    expect(readText('configs/systemd/dmz-renew.service')).toMatch(/^ExecReload=.*renew-credentials dmz$/m);
  });

  it.each(['dmz', 'main-agent'])('what a reload of %s renewed is read, and written by root alone', (side) => {
    const unit = readText(`configs/systemd/${side}.service`);
    expect(unit).toMatch(new RegExp(`^Environment=RENEWED_CREDENTIALS_DIRECTORY=/run/${side}-renewed$`, 'm'));
    expect(unit).toMatch(new RegExp(`^RuntimeDirectory=(.* )?${side}-renewed$`, 'm'));
    expect(unit).toMatch(new RegExp(`^(BindReadOnlyPaths|ReadOnlyPaths)=/run/${side}-renewed$`, 'm'));
  });

  it.each(['dmz.service', 'main-agent.service'])('%s fixes all thresholds of malloc or none', (unit) => {
    const names = ['MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'MALLOC_TOP_PAD_'];
    const environment =
      readText(`configs/systemd/${unit}`)
        .match(/^Environment=.*$/gm)
        ?.join(' ') ?? '';
    const fixed = names.filter((name) => environment.includes(`${name}=`));
    expect(
      [[], names],
      'fixing one freezes the others where glibc starts, and a burst then slows for ever',
    ).toContainEqual(fixed);
  });

  it('S-09: main-agent.service has room for the most that main’s own limits let it take, and an end to it', () => {
    const text = readText('configs/systemd/main-agent.service');
    const read = (name: string): number => {
      const [, number, unit] = new RegExp(`^${name}=([0-9]+)(G?)$`, 'm').exec(text) ?? [];
      return Number(number) * (unit === 'G' ? 2 ** 30 : 1);
    };
    const bytes =
      hashesAtOnceMax * memoryMaxKiB * 1024 +
      streamsPerLinkMax * windowBytesStart +
      lanesPerLinkMax * windowGrowthPerLaneMax +
      // A name, a session, a challenge, an event, an outcome: as their limits reckon them.
      snapshotNamesMax * 100 +
      sessionsMax * 4096 +
      challengesMax * 2048 +
      edgeEventsPerNodeMax * 2048 +
      operationsMax * 1024 +
      // Messages that a node has at work are requests with a path or two, and one of the largest is being read.
      nodeRequestsMax * 16_384 +
      controlMessageBytesMax +
      // Node and the program, and what malloc keeps (MALLOC_TRIM_THRESHOLD_).
      256 * 2 ** 20 +
      136 * 2 ** 20;
    expect(read('MemoryMax')).toBeGreaterThan(1.25 * bytes);
    expect(read('MemoryMax')).toBeLessThan(2 * bytes);
    expect(read('LimitNOFILE')).toBeGreaterThan(
      2 * handlesMax + removalsAtOnce * walkDepthMax + workersMax * (1 + lanesPerLinkMax),
    );
    expect(read('TasksMax')).toBeGreaterThanOrEqual(32);
    expect(read('TasksMax')).toBeLessThanOrEqual(96);
  });

  it('main-agent.service goes on where the kernel ends the vault alone, as main begins it anew', () => {
    expect(readText('configs/systemd/main-agent.service')).toMatch(/^OOMPolicy=continue$/m);
  });

  it('S-06: dmz.service has no network and may not make a socket', () => {
    const text = readText('configs/systemd/dmz.service');
    expect(text).toMatch(/^PrivateNetwork=yes$/m);
    expect(text).toMatch(/^RestrictAddressFamilies=none$/m);
    expect(text).toMatch(/^SystemCallFilter=~socket bind connect$/m);
  });
});
