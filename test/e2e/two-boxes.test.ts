import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readKernelSockets } from '#shared/health/kernel-sockets.ts';
import { canLeaveNetwork } from '#scripts/demonstration/inherited-listeners.ts';
import { makeTar, packDebian, writeTree } from '#scripts/packages/archive.ts';
import { listRelease, text, type Entry, type Side } from '#scripts/packages/contents.ts';
import { listDebianTree, packageName } from '#scripts/packages/debian.ts';
import { writePages } from '#scripts/packages/pages.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { type Box, connect, dial, listenOn, startBox, type Place } from '#test/harness/box.ts';
import { Guide } from '#test/harness/guide.ts';
import {
  inside,
  linkIsUp,
  openTwoBoxes,
  outside,
  addNode,
  patienceMs,
  writeRules,
  type TwoBoxes,
} from '#test/harness/two-boxes.ts';
import { readText } from '#test/repo/source-tree.ts';

/**
 * The deployment of docs/, command for command, from its packages, with its systemd units and its firewall rules: a DMZ
 * box between the Internet and a main node that nobody reaches, and no registry anywhere. The one test that takes root,
 * and is skipped without it.
 */

const publicName = 'files.example.com';
/** Seconds; of the packages. */
const epoch = 1_790_000_000;
const password = 'correct horse battery staple';
const making = { epoch, compression: 'none' } as const;
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
/** As docs/install.md calls it, the one after it, and one that never comes up. */
const [first, second, broken] = ['0.1.0', '0.1.1', '0.1.2'];
const sides = ['dmz', 'main-agent'] as const;

/**
 * What is other in a version: the newer one has other rules, and a schema of main's state that the first one can't read;
 * the broken one has one more, and ends itself as soon as it has started.
 */
function change(version: string, side: Side, entry: Entry): Entry[] {
  const { path } = entry;
  if (version === first) return [entry];
  if (path === `etc/sallyport/${side}.nft`)
    return [{ ...text(path, `${readText(`configs/nftables/${side}.nft`)}# ${version}\n`), mode: entry.mode }];
  if (path.endsWith('/sqlite/schema.ts')) return [text(path, readSchema(version === second ? 1 : 2))];
  if (version !== broken || !path.endsWith(`/${side}/system.ts`)) return [entry];
  const failing = `process.stderr.write('broken on purpose\\n'); process.exit(1);\n`;
  if (side === 'dmz') return [text(path, `export async function startDmz() { ${failing} }`)];
  const start = `import { startMainAgent as start } from './system-of-before.ts';
    export async function startMainAgent(...parts) { await start(...parts); ${failing} }`;
  return [text(path, start), { ...entry, path: path.replace('system.ts', 'system-of-before.ts') }];
}

function readSchema(more: number): string {
  const tables = Array.from(
    { length: more },
    (_, index) => `'CREATE TABLE later${index} (x TEXT) STRICT;',\n`,
  );
  const source = readText('main-agent/state/sqlite/schema.ts');
  const changed = source.replace(/^\];\n\nexport const schemaVersion/m, `${tables.join('')}$&`);
  expect(changed).not.toBe(source);
  return changed;
}

/** In one tree after another: Node alone is 120 MB in each. */
function makePackages(folder: string, side: Side, pages: readonly Entry[]): void {
  const tree = join(folder, side);
  for (const version of [first, second, broken]) {
    const { files, control } = listDebianTree({ side, version, architecture }, pages, epoch);
    const isOther = (entry: Entry): boolean => version === first || 'bytes' in entry;
    writeTree(
      tree,
      files.flatMap((entry) => {
        const changed = change(version, side, entry);
        return changed.length > 1 ? changed : changed.filter(isOther);
      }),
    );
    writeTree(join(tree, 'DEBIAN'), control);
    packDebian(join(folder, fileOf(side, version)), tree, making);
  }
  rmSync(tree, { recursive: true });
}

function fileOf(side: Side, version: string): string {
  return `${packageName(side)}_${version}_${architecture}.deb`;
}

describe.skipIf(!canLeaveNetwork())('two boxes, as docs/ sets them up', () => {
  let folder: string;
  let world: TwoBoxes;
  let dmz: Box;
  let main: Box;
  let internet: Place;
  let third: Box | undefined;
  /** The pages are typed on D and M; on E, a second DMZ box; and N, which is M emptied. */
  const page = (name: string): Guide =>
    new Guide(`docs/${name}.md`, ({ on, line }, around) =>
      (on === 'D' ? dmz : on === 'E' ? (third ?? dmz) : main).run('/bin/sh', ['-c', line], around),
    );
  const guides = {
    install: page('install'),
    upgrade: page('upgrade'),
    certificates: page('certificates'),
    monitoring: page('monitoring'),
    hostSecurity: page('host-security'),
    secondNode: page('second-node'),
    backup: page('backup'),
    fromCrushFtp: page('from-crushftp'),
    troubleshooting: page('troubleshooting'),
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-boxes-'));
    for (const side of sides) makePackages(folder, side, await writePages(side));
    makeTar(
      join(folder, 'dmz.tar'),
      'sallyport',
      listRelease({ side: 'dmz', version: first, architecture }),
      making,
    );
    world = await openTwoBoxes(folder);
    ({ dmz, main, internet } = world);
    world.places.push(await listenOn(internet, 443), await listenOn(main, 8080));
  }, 4 * patienceMs);

  afterAll(async () => {
    try {
      await world.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const boxOfSide = (side: Side): Box => (side === 'dmz' ? dmz : main);

  it('both sides are installed; nothing runs yet, and dpkg knows each file', async () => {
    await guides.install.runSection('The packages', {
      'dpkg -i ': 'dpkg -i /mnt/packages/',
      amd64: architecture,
    });
    expect(await dmz.shell('systemctl is-enabled dmz || true')).toBe('disabled\n');
    expect(await main.shell('systemctl is-enabled main-agent || true')).toBe('disabled\n');
    expect(await main.shell('systemctl is-active main-agent || true')).toBe('inactive\n');
    expect(await dmz.shell('stat -c %a /etc/sallyport')).toBe('700\n');
    for (const side of sides) expect(await boxOfSide(side).shell(`dpkg -V ${packageName(side)}`)).toBe('');
    expect(await main.shell('man -w sallyport')).toContain('/usr/share/man/man1/sallyport.1');
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
    await guides.install.runSection('The firewalls');
    for (const box of [dmz, main]) expect(await box.shell('nft list tables')).toBe('table inet sallyport\n');
  });

  it('the nodes are paired and started', async () => {
    await addNode(guides.install);
    await guides.install.run('systemctl enable --now main-agent');
    await linkIsUp(dmz);
    await guides.install.run('sallyport users add', {}, { input: `${password}\n` });
    expect(await main.shell('sallyport nodes list')).toContain('dmz1');
  });

  it('doctor and status find nothing wrong', async () => {
    await guides.install.runSection('Is all well?');
    expect(guides.install.left()).toEqual([]);
  });

  it('S-06: the DMZ node itself has no network, whatever the firewall says', async () => {
    const pid = Number(await dmz.shell('systemctl show --property=MainPID --value dmz'));
    const node = '/opt/sallyport/current/node_modules/.bin/node';
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
    const [hostKey = ''] =
      (await main.shell('sallyport --json hostkeys list')).match(/ssh-ed25519 [^" ]+/) ?? [];
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

  it('a new certificate is served after a reload, and the process goes on', async () => {
    const pid = await dmz.shell('systemctl show --property=MainPID --value dmz');
    await dmz.shell(`cd /etc/sallyport/credentials && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \\
      -nodes -days 90 -subj /CN=renewed -addext subjectAltName=DNS:${publicName} \\
      -keyout https-key -out https-certificate 2>/dev/null`);
    await guides.certificates.runSection('Your own');
    const asked = `openssl s_client -connect ${outside.dmz}:443 -servername ${publicName} </dev/null`;
    const { stdout } = await internet.run('sh', ['-c', asked]);
    expect(stdout).toContain('CN = renewed');
    expect(await dmz.shell('systemctl show --property=MainPID --value dmz')).toBe(pid);
  });

  it('are watched as docs/monitoring.md says', async () => {
    await guides.monitoring.runSection('One question');
    const answers = await guides.monitoring.runSection('Health and metrics');
    expect(answers[2]).toContain('\nprocess_cpu_seconds_total{');
    expect(answers.at(-1)).toMatch(/SUCCESS: \d+ rules found/);
    await guides.monitoring.runSection('Logs');
    const [asTable, asCef] = await guides.monitoring.runSection('The audit to a collector');
    expect(asTable).toMatch(/^sequence,/);
    expect(asCef).toContain('CEF:0|Sallyport|');
    expect(guides.monitoring.left()).toEqual([]);
    for (const title of ['D, the box in the DMZ', 'M, the box inside'])
      await guides.hostSecurity.runSection(title);
    expect(guides.hostSecurity.left()).toEqual([]);
  });

  it('tell what is wrong as docs/troubleshooting.md says', async () => {
    for (const command of ['sallyport status', 'sallyport doctor', 'sallyport node doctor'])
      await guides.troubleshooting.run(command);
    const body = JSON.stringify({ username: 'alice', password: 'not hers' });
    const asked = `curl -sk https://${outside.dmz}/api/login -H 'Content-Type: application/json' -d '${body}'`;
    const { stdout } = await internet.run('sh', ['-c', asked]);
    const { reference } = z.object({ reference: z.string() }).parse(JSON.parse(stdout));
    expect(await guides.troubleshooting.run('sallyport audit show', { '<reference>': reference })).toContain(
      reference,
    );
    expect(guides.troubleshooting.left()).toEqual([]);
  });

  it('users come from another system with their passwords and files', async () => {
    await main.shell('mkdir -p /mnt/old/alice && echo kept >/mnt/old/alice/old.txt');
    const hash = (await main.shell('openssl passwd -6 "a password of before"')).trim();
    const users = ['username,display_name,email,password_hash', `ida,Ida Example,ida@example.com,${hash}`];
    await main.shell('cat >/root/users.csv', users.join('\n'));
    await guides.fromCrushFtp.runSection('Files');
    const printed = await guides.fromCrushFtp.runSection('Users', { 'users.csv': '/root/users.csv' });
    expect(printed.at(-1)).toContain('ida');
    expect(guides.fromCrushFtp.left()).toEqual([]);
  });

  it('a second DMZ node joins', async () => {
    third = await startBox(folder);
    world.places.push(third);
    await connect(
      { place: third, name: 'inner', address: '10.78.0.5/24' },
      { place: main, name: 'lan2', address: '10.78.0.10/24' },
    );
    await third.shell(`dpkg -i /mnt/packages/${fileOf('dmz', first)}`);
    await main.shell('cp /etc/sallyport/main-agent.yaml /root/');
    await addNode(guides.secondNode);
    await guides.secondNode.run('systemctl reload main-agent');
    await linkIsUp(third);
    expect(await guides.secondNode.run('sallyport nodes list')).toMatch(/dmz1[^]*dmz2/);
    expect(guides.secondNode.left()).toEqual([]);
    await main.shell('sallyport nodes revoke dmz2 --reason "only for a while" && sallyport status');
    await main.shell('cp /root/main-agent.yaml /etc/sallyport/ && systemctl reload main-agent');
  });

  it('the node has its certificate from an authority that main calls, and port 80 sends to HTTPS', async () => {
    const own = createThrowAwayAuthority(Date.now());
    const { certificatePem, privateKeyPem } = own.issueServerCertificate();
    const pebble = {
      listenAddress: '127.0.0.1:14000',
      managementListenAddress: '127.0.0.1:15000',
      tlsPort: 1,
      httpPort: 80,
      certificate: '/root/certificate.pem',
      privateKey: '/root/key.pem',
    };
    await main.shell('cat >/root/pebble.json', JSON.stringify({ pebble }));
    await main.shell('cat >/root/certificate.pem', certificatePem);
    await main.shell('cat >/root/key.pem', privateKeyPem.expose());
    await main.shell('cat >/var/lib/sallyport/authority.pem', own.certificatePem);
    await main.shell('chmod 644 /var/lib/sallyport/authority.pem');
    // It takes each name as proven: no way leads from it to the node.
    await main.shell(`systemd-run --unit=pebble --setenv=PEBBLE_VA_ALWAYS_VALID=1 --setenv=PEBBLE_VA_NOSLEEP=1 \\
      pebble -config /root/pebble.json`);
    const acme = `\nhttps:\n  acme:\n    directory: https://localhost:14000/dir\n    email: admin@example.com
    names: [${publicName}]\n    ca: /var/lib/sallyport/authority.pem\n`;
    await main.shell(
      'cp /etc/sallyport/main-agent.yaml /root/ && cat >>/etc/sallyport/main-agent.yaml',
      acme,
    );
    await dmz.shell(`cp /etc/sallyport/dmz.yaml /etc/sallyport/dmz.nft /root/
      sed -i 's/{ 443, 22 }/{ 443, 22, 80 }/' /etc/sallyport/dmz.nft && nft -f /etc/sallyport/dmz.nft
      sed -i '/^  certificate:/d;/^  key:/d;s/^https:/&\\n  plain_listen: systemd:plain/' /etc/sallyport/dmz.yaml`);
    await guides.certificates.runSection('From an authority');
    const asked = `openssl s_client -connect ${outside.dmz}:443 -servername ${publicName} </dev/null 2>&1
      curl -si http://${outside.dmz}/files`;
    await expect
      .poll(async () => (await internet.run('sh', ['-c', asked])).stdout, {
        interval: 1_000,
        timeout: patienceMs,
      })
      .toMatch(/issuer=CN = Pebble[^]*HTTP\/1.1 301 [^]*location: https:\/\/files.example.com\/files/i);
    const [shown] = await guides.certificates.runSection('How it stands');
    expect(shown).toContain(publicName);
    expect(guides.certificates.left()).toEqual([]);
    await main.shell(
      'cp /root/main-agent.yaml /etc/sallyport/ && systemctl stop pebble && systemctl restart main-agent',
    );
    await dmz.shell(`cp /root/dmz.yaml /root/dmz.nft /etc/sallyport/ && nft -f /etc/sallyport/dmz.nft
      rm -r /etc/systemd/system/dmz.service.d && systemctl daemon-reload
      systemctl disable --now dmz-plain.socket; systemctl restart dmz`);
    await linkIsUp(dmz);
  });

  it('from the Internet two ports answer and the link does not', async () => {
    for (const port of [443, 22]) expect(await dial(internet, outside.dmz, port)).toBe('connected');
    const others = [80, 8444, 9464, 2222].map((port) => dial(internet, outside.dmz, port));
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
    await guides.install.run('nft -f /etc/sallyport/dmz.nft');
  });

  it('rules that are gone are told in one sentence everywhere, and no more when they are back', async () => {
    const tools = [
      { box: dmz, line: 'sallyport node doctor' },
      { box: dmz, line: 'curl -s http://127.0.0.1:9464/healthz' },
      { box: main, line: 'sallyport status' },
      { box: main, line: 'sallyport doctor' },
    ];
    const told = (): Promise<boolean[]> =>
      Promise.all(
        tools.map(async ({ box, line }) => {
          const { stdout } = await box.run('/bin/sh', ['-c', line]);
          return stdout.includes('the table `inet sallyport` is not loaded: nothing keeps this box closed');
        }),
      );
    expect(await told()).toEqual(tools.map(() => false));
    // The timer's next look is minutes away.
    await dmz.shell('nft delete table inet sallyport && rm -f /run/dmz-watch/* && systemctl start dmz-watch');
    // Each look starts four programs.
    const poll = { interval: 2_000, timeout: 2 * patienceMs };
    await expect.poll(told, poll).toEqual(tools.map(() => true));
    await dmz.shell('nft -f /etc/sallyport/dmz.nft && systemctl start dmz-watch');
    await expect.poll(told, poll).toEqual(tools.map(() => false));
    await main.shell('sallyport status');
  });

  it('after main restarts the link comes back; while the DMZ node restarts nobody is refused', async () => {
    await main.shell('systemctl restart main-agent');
    await linkIsUp(dmz);
    await dmz.shell('systemctl kill --signal=KILL dmz');
    expect(await dial(internet, outside.dmz, 443)).toBe('connected');
    await linkIsUp(dmz);
  });

  it('a node that hangs is started anew, one that answers is left alone', async () => {
    const nodes = [
      { box: dmz, unit: 'dmz' },
      { box: main, unit: 'main-agent' },
    ];
    const pids = () =>
      Promise.all(
        nodes.map(({ box, unit }) => box.shell(`systemctl show --property=MainPID --value ${unit}`)),
      );
    const onBoth = (command: string) =>
      Promise.all(nodes.map(({ box, unit }) => box.shell(command.replace('UNIT', unit))));
    const before = await pids();
    expect(await onBoth('systemctl is-active UNIT-watch.timer')).toEqual(['active\n', 'active\n']);
    await onBoth('systemctl start UNIT-watch');
    expect(await pids()).toEqual(before);
    await onBoth('systemctl kill --signal=STOP UNIT');
    await onBoth('systemctl start UNIT-watch');
    await linkIsUp(dmz);
    for (const [index, pid] of (await pids()).entries()) expect(pid).not.toBe(before[index]);
  });

  async function install(side: Side, version: string): Promise<{ status: number | null; printed: string }> {
    const { status, stdout, stderr } = await boxOfSide(side).run('dpkg', [
      '--force-confold',
      '-i',
      `/mnt/packages/${fileOf(side, version)}`,
    ]);
    return { status, printed: stdout + stderr };
  }

  async function versions(): Promise<string[]> {
    return [
      (await dmz.shell('sallyport node --version')).trim(),
      (await main.shell('sallyport --version')).trim(),
    ];
  }

  it('are upgraded while they run: link, users, keys and the rules that were edited stay', async () => {
    // Asked which rules are to stay, an administrator who edited them says: mine.
    const replace = {
      'dpkg -i ': 'dpkg --force-confold -i /mnt/packages/',
      '0.2.0': second,
      amd64: architecture,
    };
    for (const command of ['D# dpkg -i', 'M# dpkg -i']) {
      const { status, stdout, stderr } = await guides.upgrade.try(command, replace);
      expect(status, stdout + stderr).toBe(0);
      // Main is only alive while a node of its configuration is away, before as after.
      expect(stdout + stderr).toMatch(new RegExp(`${second} is current and (ready|alive)`));
    }
    await linkIsUp(dmz);
    expect(await versions()).toEqual([second, second]);
    expect(await main.shell('sallyport users list')).toContain('alice');
    expect(await dmz.shell('grep -c 10.77.1.0 /etc/sallyport/dmz.nft')).toBe('1\n');
    expect(await dmz.shell('tail -n 1 /etc/sallyport/dmz.nft.dpkg-dist')).toBe(`# ${second}\n`);
    expect(await main.shell('ls /var/lib/sallyport')).toContain(`before-${second}`);
  });

  it('are rolled back: what that would lose of main’s state takes a reason, and then an acknowledgement', async () => {
    await main.shell('sallyport users set alice display_name=Alice');
    expect(await guides.upgrade.run('sallyport releases')).toBe(`${first} (previous)\n${second} (current)\n`);
    await guides.upgrade.run('D# sallyport rollback');
    const { stderr } = await guides.upgrade.try('M# sallyport rollback');
    expect(stderr).toContain('loses what was written since');
    await linkIsUp(dmz);
    expect(await versions()).toEqual([first, second]);
    await main.shell(`sallyport rollback --reason 'the new one is slow'`);
    await linkIsUp(dmz);
    expect(await versions()).toEqual([first, first]);
    expect(await main.shell('sallyport users list')).toContain('alice');
    await main.shell('sallyport audit acknowledge --reason "went back on purpose"');
  });

  it('are brought forth again, the DMZ node after a power cut in the middle', async () => {
    await main.shell('sallyport rollback');
    await dmz.shell(
      `printf '%s\\n' ${second} ${first} ${second} ready '' '' '' '' >/opt/sallyport/.switching`,
    );
    await dmz.shell('systemctl restart dmz');
    await dmz.shell('while [ -e /opt/sallyport/.switching ]; do sleep 0.2; done');
    await linkIsUp(dmz);
    expect(await versions()).toEqual([second, second]);
  });

  async function failToUpgrade(side: Side): Promise<string> {
    const { status, printed } = await install(side, broken);
    expect(status, printed).not.toBe(0);
    expect(printed).toContain('broken on purpose');
    expect(printed).toMatch(new RegExp(`${second} is current again and (ready|alive)`));
    await linkIsUp(dmz);
    expect(await versions()).toEqual([second, second]);
    return printed;
  }

  it('an upgrade of the DMZ node that does not come up is switched back by itself, and dpkg says so', async () => {
    await failToUpgrade('dmz');
    // Another package mends it, the older one too.
    const options = '-qq -y --allow-downgrades -o APT::Sandbox::User=root -o DPkg::Options::=--force-confold';
    await dmz.shell(`mkdir -p /var/lib/apt/lists/partial
      apt-get install ${options} /mnt/packages/${fileOf('dmz', first)}`);
    await linkIsUp(dmz);
    expect((await versions())[0]).toBe(first);
    expect(await dmz.shell(`dpkg -s ${packageName('dmz')}`)).toContain('install ok installed');
    expect((await install('dmz', second)).status).toBe(0);
    await linkIsUp(dmz);
  });

  it('one of main that has changed its state, too, and the state goes back with it', async () => {
    const printed = await failToUpgrade('main-agent');
    expect(printed).toContain('state is that of before');
    expect(await main.shell('sallyport users list')).toContain('alice');
    await main.shell('sallyport users set alice display_name=Alicia');
    const older = await install('main-agent', first);
    expect(older.printed, 'the older package does what a rollback does').toContain(
      'loses what was written since',
    );
    expect((await versions())[1]).toBe(second);
    await main.shell(`sallyport rollback ${first} --reason 'it failed' && dpkg --configure -a`);
    await linkIsUp(dmz);
    expect((await versions())[1]).toBe(first);
  });

  it('a configuration that the new code refuses stops the upgrade and not the node', async () => {
    const pid = await dmz.shell('systemctl show --property=MainPID --value dmz');
    await dmz.shell('cp /etc/sallyport/dmz.yaml /root/ && echo "nonsense: 1" >>/etc/sallyport/dmz.yaml');
    const { status, printed } = await install('dmz', first);
    expect(status).not.toBe(0);
    expect(printed).toContain('nonsense');
    expect(await dmz.shell('systemctl show --property=MainPID --value dmz')).toBe(pid);
    await dmz.shell('cp /root/dmz.yaml /etc/sallyport/dmz.yaml && dpkg --configure -a');
    expect((await versions())[0]).toBe(first);
    await linkIsUp(dmz);
  });

  it('main is backed up, lost, and restored on an empty box; and moves to another one', async () => {
    const replace = { '2026-11-30': new Date().toISOString().slice(0, 10) };
    const empty = async (): Promise<void> => {
      await main.shell(`systemctl stop main-agent; dpkg --purge ${packageName('main-agent')}
        rm -rf /etc/sallyport /var/lib/sallyport && dpkg -i /mnt/packages/${fileOf('main-agent', first)}`);
    };
    await main.shell('mkdir -p /mnt/backup');
    await guides.backup.runSection('Make one', replace);
    const before = await main.shell('sallyport users list');
    await empty();
    await guides.backup.run(
      'sallyport restore /mnt/backup/main1-2026-11-30 --passphrase-file /root/backup-passphrase --reason',
      replace,
    );
    await guides.backup.run('M# systemctl enable --now main-agent');
    await linkIsUp(dmz);
    await guides.backup.run('M# sallyport audit acknowledge');
    expect(await main.shell('sallyport users list')).toBe(before);
    await guides.backup.run('systemctl disable --now main-agent');
    await guides.backup.run('sallyport backup /mnt/backup/main1-moves');
    await empty();
    await guides.backup.run('sallyport restore /mnt/backup/main1-moves');
    await guides.backup.run('N# systemctl enable --now main-agent');
    await linkIsUp(dmz);
    await guides.backup.run('N# sallyport audit acknowledge');
    expect(await main.shell('sallyport users list')).toBe(before);
    expect(guides.backup.left()).toEqual([]);
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

  it('where dpkg is not, the same release comes from a tar', async () => {
    await dmz.shell(`mkdir /root/tar && tar -C /root/tar -xf /mnt/packages/dmz.tar`);
    await dmz.shell('/root/tar/sallyport/scripts/release install && systemctl enable --now dmz');
    expect((await dmz.shell('sallyport node --version')).trim()).toBe(first);
    expect(await dial(internet, outside.dmz, 443)).toBe('connected');
    await dmz.shell('/opt/sallyport/current/scripts/release remove');
    expect(await dmz.shell('ls -d /opt/sallyport /usr/local/bin/sallyport 2>/dev/null || true')).toBe('');
  });

  it('a checkout takes their place, with the same keys and configuration', async () => {
    const overlay = 'lowerdir=/mnt/checkout,upperdir=/run/checkout/upper,workdir=/run/checkout/work';
    for (const box of [dmz, main]) {
      await box.shell(`mkdir -p /run/checkout/upper /run/checkout/work /opt/sallyport
        mount -t overlay overlay -o ${overlay} /opt/sallyport
        cd /opt/sallyport && cksum <package-lock.json | tr -d '\\n' >node_modules/.installed`);
    }
    await guides.upgrade.runSection('From a checkout');
    expect(guides.upgrade.left()).toEqual([]);
    await dmz.shell('systemctl enable --now dmz');
    await main.shell('systemctl enable --now main-agent');
    await linkIsUp(dmz);
    expect(await main.shell('sallyport users list')).toContain('alice');
  });
});
