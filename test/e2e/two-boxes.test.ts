import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readKernelSockets } from '#dmz/cli/kernel-sockets.ts';
import { canLeaveNetwork } from '#scripts/demonstration/inherited-listeners.ts';
import { type Box, dial, listenOn, type Place } from '#test/harness/box.ts';
import {
  commandsOf,
  inside,
  linkIsUp,
  openTwoBoxes,
  outside,
  pairAndStart,
  patienceMs,
  writeRules,
  type TwoBoxes,
} from '#test/harness/two-boxes.ts';

/**
 * The deployment of the README, command for command, with its systemd units and its firewall rules: a DMZ box between
 * the Internet and a main node that nobody reaches. The one test that takes root, and is skipped without it.
 */

const publicName = 'files.example.com';
const password = 'correct horse battery staple';
const section = 'Two boxes for real';

describe.skipIf(!canLeaveNetwork())('two boxes, as the README sets them up', () => {
  let folder: string;
  let world: TwoBoxes;
  let dmz: Box;
  let main: Box;
  let internet: Place;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-boxes-'));
    world = await openTwoBoxes('checkout');
    ({ dmz, main, internet } = world);
    // This checkout's packages will do; there is no registry in this world to fetch others from.
    for (const box of [dmz, main])
      await box.shell(
        'cd /opt/sallyport && printf %s "$(cksum <package-lock.json)" >node_modules/.installed',
      );
    world.places.push(await listenOn(internet, 443), await listenOn(main, 8080));
  }, 2 * patienceMs);

  afterAll(async () => {
    await world.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('the README has eight commands, and two for the firewalls', () => {
    expect([0, 1, 2].map((block) => commandsOf(section, block).length)).toEqual([2, 2, 6]);
  });

  it('both sides are installed', async () => {
    for (const { on, line } of commandsOf(section, 0)) await boxOf(on).shell(`cd /opt/sallyport && ${line}`);
    expect(await dmz.shell('systemctl is-enabled dmz || true')).toBe('disabled\n');
    expect(await main.shell('systemctl is-enabled main-agent || true')).toBe('disabled\n');
  });

  it('without the firewalls the boxes reach each other and the Internet', async () => {
    expect(await dial(dmz, inside.main, 8080)).toBe('connected');
    expect(await dial(dmz, outside.visitor, 443)).toBe('connected');
    expect(await dial(dmz, outside.visitor, 53, 'udp')).toBe('sent');
    expect(await dial(internet, outside.dmz, 2222)).toBe('ECONNREFUSED');
  });

  it('the firewall rules load with the addresses of this network', async () => {
    const rules = writeRules();
    await dmz.shell('cat >/etc/sallyport/dmz.nft', rules.D);
    await main.shell('cat >/etc/sallyport/main-agent.nft', rules.M);
    for (const { on, line } of commandsOf(section, 1)) await boxOf(on).shell(line);
    for (const box of [dmz, main]) expect(await box.shell('nft list tables')).toBe('table inet sallyport\n');
  });

  it('the nodes are paired and started', async () => {
    await pairAndStart(world, commandsOf(section, 2), password);
    expect(await main.shell('sallyport nodes list')).toContain('dmz1');
  });

  it('doctor finds nothing wrong on either box', async () => {
    const found = z.object({
      findings: z.array(z.looseObject({ state: z.string() })),
    });
    for (const [box, line] of [
      [dmz, 'sallyport node doctor --json'],
      [main, 'sallyport --json doctor'],
    ] as const) {
      const { findings } = found.parse(JSON.parse(await box.shell(line)));
      expect(findings.filter(({ state }) => state === 'bad')).toEqual([]);
    }
  });

  it('S-06: the DMZ node itself has no network, whatever the firewall says', async () => {
    const pid = Number(await dmz.shell('systemctl show --property=MainPID --value dmz'));
    const node = '/opt/sallyport/node_modules/.bin/node';
    const targets = [`8080,'${inside.main}'`, `443,'${outside.visitor}'`];
    for (const target of targets) {
      const script = `require('node:net').connect(${target})
        .on('connect', () => process.exit()).on('error', ({ code }) => console.log(code))`;
      const { stdout } = await dmz.run('nsenter', ['-t', String(pid), '-n', node, '-e', script]);
      expect(stdout).toBe('ENETUNREACH\n');
    }
  });

  it('from the Internet a user sets up a second factor, uploads and downloads, over HTTPS and SFTP', async () => {
    const ca = join(folder, 'ca.pem');
    const chain = await dmz.shell('cat /etc/sallyport/credentials/https-certificate');
    writeFileSync(ca, chain.slice(chain.lastIndexOf('-----BEGIN')));
    const hosts = join(folder, 'hosts');
    writeFileSync(hosts, `127.0.0.1 localhost\n${outside.dmz} ${publicName}\n`);
    const hostKey = await dmz.shell('cut -d" " -f1,2 /etc/sallyport/credentials/ssh-host-key.pub');
    const visit = {
      origin: `https://${publicName}`,
      ca,
      sftp: { host: publicName, port: 22, hostKey: hostKey.trim() },
      username: 'alice',
      password,
      localAddress: outside.visitor,
    };
    const visitor = fileURLToPath(new URL('../harness/internet-visitor.ts', import.meta.url));
    const { stdout, stderr } = await internet.run('unshare', [
      '--mount',
      'sh',
      '-c',
      'mount --bind "$1" /etc/hosts && shift && exec "$@"',
      'sh',
      hosts,
      process.execPath,
      visitor,
      JSON.stringify(visit),
    ]);
    expect(stderr).toBe('');
    const results = z.array(z.looseObject({ ok: z.boolean() })).parse(JSON.parse(stdout));
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.length).toBeGreaterThan(6);
    const audit = await main.shell('cat /var/lib/sallyport/audit.jsonl');
    expect(audit).toContain(`"${outside.visitor}"`);
    expect(audit, 'an IPv4 client of a socket for both is written as one').not.toContain('::ffff');
  });

  it('from the Internet two ports answer and the link does not', async () => {
    for (const port of [443, 22]) expect(await dial(internet, outside.dmz, port)).toBe('connected');
    const others = [8444, 9464, 2222].map((port) => dial(internet, outside.dmz, port));
    expect(await Promise.all(others)).not.toContain('connected');
    // Whoever routes to the inner address through the outer wire is nobody, either.
    await internet.run('ip', ['route', 'add', inside.dmz, 'via', outside.dmz]);
    expect(await dial(internet, inside.dmz, 8444)).not.toBe('connected');
    expect(await dial(main, inside.dmz, 8444)).toBe('connected');
  });

  it('S-06: from the DMZ box nothing can be dialled: not main, not the Internet, no name server', async () => {
    const dialled = [dial(dmz, inside.main, 8080), dial(dmz, outside.visitor, 443)];
    expect(await Promise.all(dialled)).not.toContain('connected');
    expect(await dial(dmz, outside.visitor, 53, 'udp')).toBe('EPERM');
  });

  it('main has no port that the DMZ box reaches', async () => {
    const { listening } = readKernelSockets((file) =>
      readFileSync(`/proc/${main.pid}/net/${file.slice('/proc/net/'.length)}`, 'utf8'),
    );
    expect([...listening]).toContain(8080);
    // With the DMZ's own rules gone, as after a break-in, main's still hold.
    await dmz.shell('nft delete table inet sallyport');
    const dialled = [...listening].map((port) => dial(dmz, inside.main, port));
    expect(await Promise.all(dialled)).not.toContain('connected');
    await dmz.shell(commandsOf(section, 1)[0]?.line ?? '');
  });

  it('after main restarts the link comes back; while the DMZ node restarts nobody is refused', async () => {
    await main.shell('systemctl restart main-agent');
    await linkIsUp(dmz);
    await dmz.shell('systemctl kill --signal=KILL dmz');
    expect(await dial(internet, outside.dmz, 443)).toBe('connected');
    await linkIsUp(dmz);
  });

  function boxOf(on: string): Box {
    return on === 'D' ? dmz : main;
  }

  it('a node that hangs is started anew, one that answers is left alone', async () => {
    const sides = [
      { box: dmz, unit: 'dmz' },
      { box: main, unit: 'main-agent' },
    ];
    const pids = () =>
      Promise.all(
        sides.map(({ box, unit }) => box.shell(`systemctl show --property=MainPID --value ${unit}`)),
      );
    const onBoth = (command: string) =>
      Promise.all(sides.map(({ box, unit }) => box.shell(command.replace('UNIT', unit))));
    const before = await pids();
    expect(await onBoth('systemctl is-active UNIT-watch.timer')).toEqual(['active\n', 'active\n']);
    await onBoth('systemctl start UNIT-watch');
    expect(await pids()).toEqual(before);
    await onBoth('systemctl kill --signal=STOP UNIT');
    await onBoth('systemctl start UNIT-watch');
    await linkIsUp(dmz);
    for (const [index, pid] of (await pids()).entries()) expect(pid).not.toBe(before[index]);
  });
});
