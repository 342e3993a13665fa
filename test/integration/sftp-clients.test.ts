import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runLftp } from '#test/harness/clients/lftp.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { runPsftp } from '#test/harness/clients/psftp.ts';
import { runRclone } from '#test/harness/clients/rclone.ts';
import { prepareOpenSsh, type SftpTarget } from '#test/harness/clients/sftp-target.ts';
import { startTestServer, type TestServer } from '#test/dmz/sftp/fakes/test-server.ts';

/** Several key exchanges at 1 MiB each, and no multiple of anything. */
const content = randomBytes(7_000_003);

const banner = `For authorised users only.\nNur für Befugte.\n${'All activity is recorded. '.repeat(100)}`;

let running: TestServer;
let folder: string;
let target: SftpTarget;
let nowMs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-sftp-clients-'));
  await writeFile(join(folder, 'up.bin'), content);
  running = await startTestServer(
    { alice: { password: 'correct horse', next: 'code', code: '123456' } },
    {
      clock: { now: () => Date.now(), monotonic: () => performance.now() + nowMs },
      // All that is below is done under a legal notice (RFC 4252 §5.4): it is for people, and no client's data.
      banner: () => banner,
    },
  );
  const [type, blob] = running.hostKeyLine.split(' ');
  target = {
    host: '127.0.0.1',
    port: running.port,
    hostKey: `${type} ${blob}`,
    user: 'alice',
    password: 'correct horse',
    code: '123456',
  };
});
afterAll(async () => {
  await running.close();
  await rm(folder, { recursive: true, force: true });
});

async function expectRoundTrip(remote: string, local: string): Promise<void> {
  expect(running.files.get(remote)?.equals(content)).toBe(true);
  expect((await readFile(join(folder, local))).equals(content)).toBe(true);
}

describe('OpenSSH', () => {
  it.each([
    ['as it comes', []],
    ['with keys renewed every MiB', ['-o', 'RekeyLimit=1M']],
    ['with ChaCha20', ['-c', 'chacha20-poly1305@openssh.com']],
    ['with AES-CTR', ['-c', 'aes256-ctr']],
    ['with the smallest requests', ['-B', '1000', '-R', '4']],
  ])('puts and gets %s', async (name, options) => {
    const remote = `/${name.replaceAll(' ', '-')}`;
    const commands = [
      `put ${folder}/up.bin ${remote}`,
      `get ${remote} ${folder}/down.bin`,
      `ls -l ${remote}`,
    ];
    const result = await runOpenSshSftp(target, commands, options);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toContain(String(content.length));
    expect(result.stdout).not.toContain('authorised');
    expect(result.stderr).toContain('For authorised users only.');
    await expectRoundTrip(remote, 'down.bin');
  });

  it('goes on when the server renews the keys after an hour', async () => {
    // Once, in the middle: a second jump could fall into the exchange and be taken for its end being overdue.
    let hasJumped = false;
    const watching = setInterval(() => {
      if (hasJumped || running.files.get('/hours') === undefined) return;
      hasJumped = true;
      nowMs += 3_600_000;
    }, 1);
    const commands = [
      `put ${folder}/up.bin /hours`,
      `get /hours ${folder}/hours.bin`,
      `get /hours ${folder}/hours.bin`,
    ];
    const result = await runOpenSshSftp(target, commands).finally(() => clearInterval(watching));
    expect(result.status, result.stderr).toBe(0);
    expect(hasJumped).toBe(true);
    await expectRoundTrip('/hours', 'hours.bin');
  });

  it('continues a partial upload and a partial download', async () => {
    running.files.put('/partial', content.subarray(0, 3_000_000));
    await writeFile(join(folder, 'partial.bin'), content.subarray(0, 1_234_567));
    const commands = [`reput ${folder}/up.bin /partial`, `reget /partial ${folder}/partial.bin`];
    const result = await runOpenSshSftp(target, commands);
    expect(result.status, result.stderr).toBe(0);
    await expectRoundTrip('/partial', 'partial.bin');
  });

  it('renames, makes and removes', async () => {
    running.files.put('/old', content);
    const commands = ['mkdir /d', 'rename /old /d/new', 'ls -l /d', 'rm /d/new', 'rmdir /d', '-ls /d'];
    const result = await runOpenSshSftp(target, commands);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/-rw-r--r-- +1 alice +alice +7000003 .* new/);
    expect(running.files.get('/d')).toBeUndefined();
  });

  it('scp in its SFTP mode ends well', async () => {
    const { options, env } = await prepareOpenSsh(folder, target);
    const to = `${target.user}@${target.host}:/scp.bin`;
    const sent = await runProgram(
      '/usr/bin/scp',
      [...options, '-P', String(target.port), `${folder}/up.bin`, to],
      { env },
    );
    expect(sent.status, sent.stderr).toBe(0);
    expect(running.files.get('/scp.bin')?.equals(content)).toBe(true);
  });

  it('is refused a forwarding', async () => {
    const { options, env } = await prepareOpenSsh(folder, target);
    const at = [...options, '-p', String(target.port), `${target.user}@${target.host}`];
    const result = await runProgram('/usr/bin/ssh', ['-W', '127.0.0.1:22', ...at], { env });
    expect(result.status, result.stderr).not.toBe(0);
    expect(result.stdout).toBe('');
    expect(running.refused.splice(0)).toEqual(['channel direct-tcpip']);
  });

  it.each<[string, string, (at: string, options: readonly string[]) => string[]]>([
    ['ssh', 'ssh', (at, options) => [...options, at]],
    ['ssh with a terminal', 'ssh', (at, options) => [...options, '-tt', at]],
    ['ssh with a command', 'ssh', (at, options) => [...options, at, 'id']],
    ['scp -O', 'scp', (at, options) => ['-O', ...options, `${folder}/up.bin`, `${at}:/legacy.bin`]],
    ['scp -O, to get', 'scp', (at, options) => ['-O', ...options, `${at}:/up.bin`, `${folder}/legacy.bin`]],
    ['rsync', 'rsync', (at, options) => ['-e', ['ssh', ...options].join(' '), `${folder}/up.bin`, `${at}:/`]],
  ])('%s says what this server is for, and fails', async (_name, program, args) => {
    const { options, env } = await prepareOpenSsh(folder, target);
    const withPort = [...options, '-o', `Port=${target.port}`];
    const result = await runProgram(`/usr/bin/${program}`, args(`${target.user}@${target.host}`, withPort), {
      env,
    });
    // ssh and scp: what the command gave; rsync: 12, its word for a partner that is gone.
    expect(result.status).toBe(program === 'rsync' ? 12 : 1);
    expect(result.stderr + result.stdout).toContain(
      'This server speaks SFTP only: use sftp, or scp without -O.',
    );
    expect(result.stderr).not.toMatch(/PTY allocation|shell request failed/);
  });

  it('one shared connection carries transfer after transfer, with the locale of each', async () => {
    const { options, env } = await prepareOpenSsh(folder, target);
    const socket = ['-o', `ControlPath=${folder}/shared`, '-o', 'SendEnv=LANG LC_*'];
    const at = [...options, ...socket, '-o', `Port=${target.port}`, `${target.user}@${target.host}`];
    const locale = { ...env, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', LC_TIME: 'C', LC_NUMERIC: 'C' };
    const master = await runProgram('/usr/bin/ssh', ['-f', '-N', '-M', '-o', 'ControlPersist=120', ...at], {
      env: locale,
    });
    expect(master.status, master.stderr).toBe(0);
    try {
      await writeFile(join(folder, 'one-line'), 'pwd\n');
      for (let run = 0; run < 80; run++) {
        const args = ['-o', 'BatchMode=yes', '-b', `${folder}/one-line`, ...at];
        const result = await runProgram('/usr/bin/sftp', args, { env: locale });
        expect(result.status, `run ${run}: ${result.stderr}`).toBe(0);
      }
      expect(running.refused).toEqual([]);
    } finally {
      await runProgram('/usr/bin/ssh', ['-O', 'exit', ...at], { env: locale });
    }
  });
});

describe('other clients', () => {
  it('psftp', async () => {
    const result = await runPsftp(target, [`put ${folder}/up.bin /psftp`, `get /psftp ${folder}/psftp.bin`]);
    expect(result.status, result.stdout).toBe(0);
    await expectRoundTrip('/psftp', 'psftp.bin');
  });

  it('lftp', async () => {
    const result = await runLftp(target, [
      `put ${folder}/up.bin -o /lftp`,
      `get /lftp -o ${folder}/lftp.bin`,
    ]);
    expect(result.status, result.stderr).toBe(0);
    await expectRoundTrip('/lftp', 'lftp.bin');
  });

  it('lftp makes a folder and what is in it in one breath, however long each takes', async () => {
    let calls = 0;
    // Each call takes less than the one before it: without an order they would arrive the other way round.
    running.files.delay = async () => {
      calls += 1;
      for (let turns = 40 - (calls % 40); turns > 0; turns--)
        await new Promise((resolve) => setImmediate(resolve));
    };
    try {
      const result = await runLftp(target, ['mkdir -p /p/q/r', 'mkdir -p /p/s/t/u', 'cls /p/q']);
      expect(result.status, result.stderr).toBe(0);
      expect([...running.files.nodes.keys()]).toEqual(expect.arrayContaining(['/p/q/r', '/p/s/t/u']));
    } finally {
      running.files.delay = undefined;
    }
  });

  it('lftp shows why a name is not served, and serves those with the marks of right-to-left writing', async () => {
    const refused = await runLftp(target, [`put ${folder}/up.bin -o /aux.txt`]);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('That name is not served here: Windows keeps it for a device');
    const name = '\u05e9\u05dc\u05d5\u05dd\u200f.txt';
    const served = await runLftp(target, [`put ${folder}/up.bin -o "/${name}"`, 'cls -1 /']);
    expect(served.status, served.stderr).toBe(0);
    expect(served.stdout).toContain(name);
  });

  it('OpenSSH says of a name that is not served that it is not permitted, not that there is no such file', async () => {
    const result = await runOpenSshSftp(target, [`put ${folder}/up.bin /report.`]);
    expect(result.status).not.toBe(0);
    expect(result.stderr).toMatch(/permission denied/i);
    expect(result.stderr).not.toMatch(/no such file/i);
  });

  it('rclone, which writes and reads from several threads', async () => {
    const open = await startTestServer({ frank: { password: 'correct horse', next: 'admit' } });
    const [type, blob] = open.hostKeyLine.split(' ');
    const frank = { ...target, port: open.port, hostKey: `${type} ${blob}`, user: 'frank' };
    for (const args of [
      ['copyto', `${folder}/up.bin`, 'remote:rclone.bin'],
      ['copyto', 'remote:rclone.bin', `${folder}/rclone.bin`],
    ]) {
      const result = await runRclone(frank, args);
      expect(result.status, result.stderr).toBe(0);
    }
    expect(open.files.get('/rclone.bin')?.equals(content)).toBe(true);
    expect((await readFile(join(folder, 'rclone.bin'))).equals(content)).toBe(true);
    await open.close();
  });

  it('paramiko, pipelined', async () => {
    const script = `
import sys, paramiko
port, local = int(sys.argv[1]), sys.argv[2]
t = paramiko.Transport(('127.0.0.1', port))
t.start_client(timeout=20)
t.auth_interactive('alice', lambda title, text, fields: ['correct horse' if 'assword' in f[0] else '123456' for f in fields])
c = paramiko.SFTPClient.from_transport(t)
data = open(local, 'rb').read()
with c.open('/paramiko', 'wb') as f:
    f.set_pipelined(True); f.write(data)
with c.open('/paramiko', 'rb') as f:
    f.prefetch(len(data)); assert f.read() == data
with c.open('/paramiko', 'r+') as f:
    f.seek(1000); f.write(b'changed'); f.seek(1000); assert f.read(7) == b'changed'
with c.open('/paramiko', 'ab') as f:
    f.write(b'tail')
assert c.stat('/paramiko').st_size == len(data) + 4
c.posix_rename('/paramiko', '/paramiko2'); assert 'paramiko2' in c.listdir('/')
t.close()
`;
    const result = await runProgram('/usr/bin/python3', [
      '-c',
      script,
      String(running.port),
      `${folder}/up.bin`,
    ]);
    expect(result.status, result.stderr).toBe(0);
    const stored = running.files.get('/paramiko2');
    expect(stored?.subarray(1000, 1007).toString()).toBe('changed');
    expect(stored?.subarray(1007, content.length).equals(content.subarray(1007))).toBe(true);
  });
});
