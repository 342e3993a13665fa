import { chmod, copyFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { prepareOpenSsh } from '#test/harness/clients/sftp-target.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';

/**
 * The tests of Go's SFTP client (Debian's golang-github-pkg-sftp-dev) are written against an `sftp-server` program that
 * they start, and compare what it says with the local disk. They get a program that is a login at our door, and a
 * temporary folder that lies at the same path at both ends.
 */
const goPath = '/usr/share/gocode';
const source = join(goPath, 'src/github.com/pkg/sftp');
/** Compiling Go's own library takes longer than all tests. */
const buildCache = fileURLToPath(new URL('../../node_modules/.cache/go-build', import.meta.url));
/** Tests of Go's own server, of its parsers and of what it prints don't reach a server of ours. */
const patterns = [
  // First: it wants /dev/null to be empty, and ours is a file that the others write to.
  '^TestServerRoughDisconnectEOF$',
  '^(TestNewClient|TestClient.*|TestGlob.*|TestServerRoughDisconnect[2-9]?)$',
];
/** Left out by the suite itself: they start a server of their own. */
const ownServer = [
  'TestClientReadDeadlock',
  'TestClientReadFromDeadlock',
  'TestClientSyncGo',
  'TestClientWriteDeadlock',
  'TestClientWriteToDeadlock',
];

/** What we answer differently on purpose, and why. */
const deviations: Readonly<Record<string, string>> = {
  TestClientStatLink: 'links are not served: one that somebody put on the storage is not there',
  TestClientReadLink: 'links are not served',
  TestClientSymlink: 'links are not made: they lead out of what an account may see',
  TestClientLink: 'hard links are not made: a file has one place, which says who may do what',
  TestClientGetwd: "a session starts in /, which is the account's and not the disk's",
  TestClientChmod:
    'the owner of a stored file is the main node: it goes on reading and writing what it serves',
  TestClientSetuid: 'set-user-id, set-group-id and sticky are never set on the main node',
  TestClientChown: "owners are not changed: all files are the main node's",
};
const whileOpen = 'an upload is not on the disk, for others, before it is complete';
const accounts = {
  atomic: {
    uploads: 'atomic',
    deviations: {
      ...deviations,
      TestClientWrite: whileOpen,
      TestClientReadFrom: whileOpen,
      TestClientReadFromSizeMismatch: whileOpen,
    },
  },
  direct: { uploads: 'direct', deviations },
} as const;

describe("the tests of Go's SFTP client", () => {
  let door: SftpDoor;
  let tests: string;

  beforeAll(async () => {
    const readOnly = { allow: ['list', 'read'] };
    door = await startSftpDoor({
      atomic: { uploads: 'atomic' },
      atomicread: { filesOf: 'atomic', ...readOnly },
      direct: { uploads: 'direct' },
      directread: { filesOf: 'direct', ...readOnly },
    });
    tests = join(door.folder, 'go-tests');
    const built = await runProgram('/usr/bin/go', ['test', '-c', '-o', tests, 'github.com/pkg/sftp'], {
      cwd: goPath,
      env: { GO111MODULE: 'off', GOPATH: goPath, GOCACHE: buildCache, GOFLAGS: '' },
    });
    if (built.status !== 0) throw new Error(built.stderr);
  });
  afterAll(() => door.close());

  /** `-R` asks for a server that only reads. */
  async function writeServer(account: string): Promise<string> {
    if (door.product === undefined) return '/usr/lib/openssh/sftp-server';
    const login = async (name: string): Promise<string> => {
      const folder = join(door.folder, name);
      await mkdir(folder);
      const { options } = await prepareOpenSsh(folder, door.target(name));
      const { host, port, user } = door.target(name);
      return `exec /usr/bin/ssh ${options.join(' ')} -p ${port} -s ${user}@${host} sftp`;
    };
    const file = join(door.folder, `sftp-server-${account}`);
    const [writes, reads] = [await login(account), await login(`${account}read`)];
    await writeFile(file, `#!/bin/sh\ncase " $* " in *" -R "*) ${reads};; esac\n${writes}\n`);
    await chmod(file, 0o700);
    return file;
  }

  it.each(Object.entries(accounts))(
    'pass with %s uploads, but for what differs on purpose',
    async (account, { deviations: ours }) => {
      const home = door.stored(account);
      await furnish(home);
      // The same path on this disk and at the door.
      const temporary = join(tmpdir(), `sallyport-go-${process.pid}`);
      await mkdir(join(home, temporary), { recursive: true });
      await writeFile(join(home, temporary, 'not-empty'), '');
      await symlink(join(home, temporary), temporary);
      const server = await writeServer(account);
      const env = { TMPDIR: temporary };
      const cwd = door.product === undefined ? join(home, 'sftp') : home;
      let stdout = '';
      try {
        for (const pattern of patterns) {
          const args = ['-integration', '-test.v', `-test.run=${pattern}`, `-sftp=${server}`];
          stdout += (await runProgram(tests, args, { cwd, env })).stdout;
        }
      } finally {
        await rm(temporary);
      }
      const outcomes = [...stdout.matchAll(/^--- (FAIL|SKIP|PASS): (\S+)/gm)];
      const namesOf = (wanted: string): string[] =>
        outcomes.flatMap(([, how, name = '']) => (how === wanted ? [name] : []));
      const expected = door.product === undefined ? [] : Object.keys(ours);
      const failed = namesOf('FAIL');
      const surprising = failed.filter((name) => !expected.includes(name));
      expect(surprising.map((name) => saidBy(stdout, name))).toEqual([]);
      expect(
        expected.filter((name) => !failed.includes(name)),
        'no longer differ',
      ).toEqual([]);
      expect(namesOf('SKIP').toSorted()).toEqual(ownServer);
      expect(namesOf('PASS').length + expected.length, 'the whole suite ran').toBeGreaterThan(50);
    },
  );
});

/** What the tests look for outside the temporary folder. */
async function furnish(root: string): Promise<void> {
  await mkdir(join(root, 'dev'));
  // Endless enough: the tests cut the connection after a moment.
  await writeFile(join(root, 'dev/zero'), '');
  await truncate(join(root, 'dev/zero'), 1e12);
  await writeFile(join(root, 'dev/null'), '');
  await mkdir(join(root, 'sftp'));
  for (const place of ['', 'sftp']) await copyFile(join(source, 'match.go'), join(root, place, 'match.go'));
}

function saidBy(output: string, test: string): string {
  const start = output.indexOf(`=== RUN   ${test}\n`);
  return output.slice(start, output.indexOf(`--- FAIL: ${test} `, start)).slice(0, 1_000);
}
