import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canLeaveNetwork } from '#scripts/demonstration/inherited-listeners.ts';
import { makeDebian } from '#scripts/packages/archive.ts';
import { text, type Entry, type Side } from '#scripts/packages/contents.ts';
import { listDebianTree, packageName } from '#scripts/packages/debian.ts';
import { writePages } from '#scripts/packages/pages.ts';
import { type Box, dial, type Place } from '#test/harness/box.ts';
import {
  commandsOf,
  linkIsUp,
  openTwoBoxes,
  outside,
  pairAndStart,
  patienceMs,
  writeRules,
  type TwoBoxes,
} from '#test/harness/two-boxes.ts';
import { readText } from '#test/repo/source-tree.ts';

/**
 * Two boxes that never had a checkout and reach no registry: installed, upgraded and rolled back with dpkg, behind their
 * firewalls. As root, and skipped without it.
 */

const section = 'From packages';
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
/** As the README calls it, the one after it, and one that never comes up. */
const [first, second, broken] = ['0.1.0', '0.1.1', '0.1.2'];
const sides = ['dmz', 'main-agent'] as const;

/** The DMZ node's fails at once. Main's changes its state first, so that older code can't read it any more. */
function breakEntry(side: Side, entry: Entry): Entry[] {
  const { path } = entry;
  if (path.endsWith('/sqlite/schema.ts')) {
    const source = readText('main-agent/state/sqlite/schema.ts');
    const more = source.replace(/^\];\n\nconst schemaVersion/m, "'CREATE TABLE later (x TEXT) STRICT;',\n$&");
    expect(more).not.toBe(source);
    return [text(path, more)];
  }
  if (!path.endsWith(`/${side}/system.ts`)) return [entry];
  const failing = `process.stderr.write('broken on purpose\\n'); process.exit(1);\n`;
  if (side === 'dmz') return [text(path, `export async function startDmz() { ${failing} }`)];
  const start = `import { startMainAgent as start } from './system-of-before.ts';
    export async function startMainAgent(...parts) { await start(...parts); ${failing} }`;
  return [text(path, start), { ...entry, path: path.replace('system.ts', 'system-of-before.ts') }];
}

describe.skipIf(!canLeaveNetwork())('two boxes from packages', () => {
  let folder: string;
  let world: TwoBoxes;
  let dmz: Box;
  let main: Box;
  let internet: Place;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-boxes-'));
    world = await openTwoBoxes('bare');
    ({ dmz, main, internet } = world);
    for (const side of sides) {
      const pages = writePages(side);
      for (const version of [first, second, broken]) bring(side, version, pages);
    }
  }, 4 * patienceMs);

  afterAll(async () => {
    await world.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const boxOf = (on: string): Box => (on === 'D' ? dmz : main);
  const boxOfSide = (side: Side): Box => (side === 'dmz' ? dmz : main);
  const fileOf = (side: Side, version: string): string =>
    `${packageName(side)}_${version}_${architecture}.deb`;

  /** Makes a package and carries it into the box it is for. */
  function bring(side: Side, version: string, pages: readonly Entry[]): void {
    const tree = listDebianTree({ side, version, architecture }, pages, 1_790_000_000);
    const files = version === broken ? tree.files.flatMap((entry) => breakEntry(side, entry)) : tree.files;
    const file = join(folder, fileOf(side, version));
    makeDebian(file, { ...tree, files }, { epoch: 1_790_000_000, compression: 'gzip' });
    boxOfSide(side).bring(file, `/root/${fileOf(side, version)}`);
    rmSync(file);
  }

  async function install(side: Side, version: string): Promise<{ status: number | null; printed: string }> {
    const { status, stdout, stderr } = await boxOfSide(side).run('dpkg', [
      '-i',
      `/root/${fileOf(side, version)}`,
    ]);
    return { status, printed: stdout + stderr };
  }

  async function versions(): Promise<string[]> {
    return [
      (await dmz.shell('sallyport node --version')).trim(),
      (await main.shell('sallyport --version')).trim(),
    ];
  }

  it('are installed; nothing runs yet, and dpkg knows each file', async () => {
    for (const { on, line } of commandsOf(section, 0))
      await boxOf(on).shell(`cd /root && ${line.replace('amd64', architecture)}`);
    expect(await dmz.shell('systemctl is-enabled dmz || true')).toBe('disabled\n');
    expect(await main.shell('systemctl is-active main-agent || true')).toBe('inactive\n');
    expect(await dmz.shell('stat -c %a /etc/sallyport')).toBe('700\n');
    for (const side of sides) expect(await boxOfSide(side).shell(`dpkg -V ${packageName(side)}`)).toBe('');
  });

  it('are paired and started behind their firewalls', async () => {
    const rules = writeRules();
    await dmz.shell('cat >/etc/sallyport/dmz.nft', rules.D);
    await main.shell('cat >/etc/sallyport/main-agent.nft', rules.M);
    for (const { on, line } of commandsOf('Two boxes for real', 1)) await boxOf(on).shell(line);
    await pairAndStart(world, commandsOf('Two boxes for real', 2), 'correct horse battery staple');
    expect(await main.shell('sallyport nodes list')).toContain('dmz1');
    expect(await dial(internet, outside.dmz, 443)).toBe('connected');
    expect(await dial(dmz, outside.visitor, 443)).not.toBe('connected');
  });

  it('have the manual page and the completion where they are looked for', async () => {
    expect(await main.shell('man -w sallyport')).toContain('/usr/share/man/man1/sallyport.1');
    expect(await dmz.shell('bash -c "source /usr/share/bash-completion/completions/sallyport"')).toBe('');
  });

  it('are upgraded while they run: link, users, keys and the rules that were edited stay', async () => {
    for (const side of sides) {
      const { status, printed } = await install(side, second);
      expect(status, printed).toBe(0);
      expect(printed).toContain(`${second} is current and ready`);
    }
    await linkIsUp(dmz);
    expect(await versions()).toEqual([second, second]);
    expect(await main.shell('sallyport users list')).toContain('alice');
    expect(await dmz.shell('grep -c 10.77.1.0 /etc/sallyport/dmz.nft')).toBe('1\n');
    expect(await main.shell('ls /var/lib/sallyport')).toContain(`before-${second}`);
  });

  it('are rolled back, and forth again', async () => {
    for (const { on, line } of commandsOf(section, 1)) await boxOf(on).shell(line);
    await linkIsUp(dmz);
    expect(await versions()).toEqual([first, first]);
    expect(await main.shell('sallyport users list')).toContain('alice');
    for (const box of [dmz, main]) await box.shell('sallyport rollback');
    await linkIsUp(dmz);
    expect(await versions()).toEqual([second, second]);
  });

  it.each(sides)(
    'a package of %s that does not come up is switched back by itself, and dpkg says so',
    async (side) => {
      const { status, printed } = await install(side, broken);
      expect(status, printed).not.toBe(0);
      expect(printed).toContain('broken on purpose');
      expect(printed).toContain(`${second} is current again and ready`);
      if (side === 'main-agent') {
        expect(printed).toContain('everybody signs in anew');
        expect(await main.shell('sallyport users list')).toContain('alice');
        await main.shell('sallyport audit acknowledge --reason "an upgrade failed"');
      }
      await linkIsUp(dmz);
      expect((await versions())[sides.indexOf(side)]).toBe(second);
      // Another package mends it, the older one too.
      const older = await install(side, first);
      expect(older.status, older.printed).toBe(0);
      expect(await boxOfSide(side).shell(`dpkg -s ${packageName(side)}`)).toContain('install ok installed');
      await linkIsUp(dmz);
    },
  );

  it('a configuration that the new code refuses stops the upgrade and not the node', async () => {
    const pid = await dmz.shell('systemctl show --property=MainPID --value dmz');
    await dmz.shell('cp /etc/sallyport/dmz.yaml /root/ && echo "nonsense: 1" >>/etc/sallyport/dmz.yaml');
    const { status, printed } = await install('dmz', second);
    expect(status).not.toBe(0);
    expect(printed).toContain('nonsense');
    expect(await dmz.shell('systemctl show --property=MainPID --value dmz')).toBe(pid);
    await dmz.shell('cp /root/dmz.yaml /etc/sallyport/dmz.yaml && dpkg --configure -a');
    expect((await versions())[0]).toBe(second);
  });

  it('are removed, and keys, users and state stay', async () => {
    for (const side of sides) await boxOfSide(side).shell(`dpkg --purge ${packageName(side)}`);
    for (const box of [dmz, main]) {
      expect(await box.shell('ls /opt; ls /usr/lib/systemd/system')).not.toMatch(
        /sallyport|^(dmz|main-agent)/m,
      );
      expect(await box.shell('ls /etc/sallyport/credentials')).toContain('link-key');
    }
    expect(await main.shell('ls /var/lib/sallyport')).toContain('state.db');
    expect(await dial(internet, outside.dmz, 443)).not.toBe('connected');
  });
});
