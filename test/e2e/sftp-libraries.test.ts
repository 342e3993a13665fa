import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { prepareOpenSsh } from '#test/harness/clients/sftp-target.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';

/** Libraries that people's scripts are written with; each program in `programs/` says what it does, a line a step. */
const libraries = [
  { name: 'paramiko', command: '/usr/bin/python3', program: 'paramiko-steps.py', steps: 16 },
  { name: 'asyncssh', command: '/usr/bin/python3', program: 'asyncssh-steps.py', steps: 9 },
  { name: 'Net::SFTP::Foreign', command: '/usr/bin/perl', program: 'net-sftp-foreign-steps.pl', steps: 11 },
  { name: 'ssh2-sftp-client', command: process.execPath, program: 'ssh2-sftp-client-steps.mjs', steps: 13 },
];
describe('SFTP libraries', () => {
  let door: SftpDoor;
  beforeAll(async () => {
    door = await startSftpDoor(
      Object.fromEntries(
        libraries.flatMap((_, index) => [
          [`atomic${index}`, { uploads: 'atomic' as const }],
          [`direct${index}`, { uploads: 'direct' as const }],
        ]),
      ),
    );
  });
  afterAll(() => door.close());

  describe.each(['atomic', 'direct'])('with %s uploads', (uploads) => {
    it.each(libraries)('$name', async (library) => {
      const { command, program, steps } = library;
      const index = libraries.indexOf(library);
      const target = door.target(`${uploads}${index}`);
      const local = join(door.folder, `${uploads}${index}`);
      await mkdir(local);
      const { options, env } = await prepareOpenSsh(local, target);
      const { host, port, hostKey, user, keyFile = '' } = target;
      const args = program.endsWith('.pl')
        ? [host, String(port), user, local, ...options]
        : [host, String(port), hostKey, user, keyFile, local];
      const file = fileURLToPath(new URL(`programs/${program}`, import.meta.url));
      const { stdout, stderr } = await runProgram(command, [file, ...args], { env });
      const lines = stdout.trimEnd().split('\n');
      expect(
        lines.filter((line) => !line.startsWith('ok ')),
        stderr,
      ).toEqual(['end']);
      expect(lines, 'every step was taken').toHaveLength(steps + 1);
    });
  });
});
