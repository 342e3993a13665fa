import { spawn } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { prepareOpenSsh } from '#test/harness/clients/sftp-target.ts';
import { stopChild } from '#test/harness/peer.ts';
import { waitUntil } from '#test/harness/product.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';

/**
 * Connections that are kept and used for long, by clients with ordinary manners. Longer on demand:
 * `SFTP_TRANSFERS=10000`; `SFTP_ROUNDS=300 SFTP_PAUSE=2` is ten minutes of keep-alives and new keys.
 */
const transfers = Number(process.env['SFTP_TRANSFERS'] ?? 400);
const rounds = Number(process.env['SFTP_ROUNDS'] ?? 8);
const pauseSeconds = Number(process.env['SFTP_PAUSE'] ?? 0);
/** A transfer is two processes and a channel: a tenth of a second, on a busy machine half of one. */
const transfersMs = 60_000 + transfers * 500;
const roundsMs = 60_000 + rounds * (pauseSeconds + 5) * 1_000;
/** Two at a time, as scripts do that share a connection. */
const atOnce = 2;
const locale = { LANG: 'de_DE.UTF-8', LC_ALL: 'C.UTF-8', LC_TIME: 'C.UTF-8', LC_PAPER: 'C.UTF-8' };

describe('a long life', () => {
  let door: SftpDoor;
  beforeAll(async () => {
    door = await startSftpDoor({ shared: {}, kept: {} });
  });
  afterAll(() => door.close());

  /** What the audit tells of refusals; a manner of clients is none. */
  const edgeRecords = (): readonly object[] =>
    (door.product?.audit() ?? []).filter(
      ({ event }) => event !== 'edge.listener' && String(event).startsWith('edge.'),
    );

  it(
    `${transfers} transfers share one connection, with the environment that a stock client sends`,
    async () => {
      const target = door.target('shared');
      const { options, env } = await prepareOpenSsh(door.folder, target);
      const control = join(door.folder, 'control');
      const at = `${target.user}@${target.host}`;
      const common = [...options, '-o', 'SendEnv=LANG LC_*', '-o', `ControlPath=${control}`];
      const master = spawn('/usr/bin/ssh', [...common, '-M', '-N', '-p', String(target.port), at], {
        env: { ...process.env, ...env, ...locale },
        stdio: 'ignore',
      });
      try {
        const isUp = async (): Promise<boolean> =>
          (await runProgram('/usr/bin/ssh', [...common, '-O', 'check', at])).status === 0;
        await waitUntil(isUp, 30_000);
        const file = join(door.folder, 'small');
        await writeFile(file, 'small');
        const failed: string[] = [];
        let next = 0;
        const work = async (): Promise<void> => {
          while (next < transfers && failed.length === 0) {
            const number = (next += 1);
            const commands = number % 2 === 0 ? `put ${file} f${number}` : `ls .`;
            const args = [...common, '-o', 'BatchMode=yes', '-b', '-', '-P', String(target.port), at];
            const { status, stderr } = await runProgram('/usr/bin/sftp', args, {
              env: { ...env, ...locale },
              input: `${commands}\n`,
            });
            if (status !== 0) failed.push(`transfer ${number}: ${stderr}`);
          }
        };
        await Promise.all(Array.from({ length: atOnce }, work));
        expect(failed).toEqual([]);
        expect(master.exitCode, 'one login carried them all').toBeNull();
        expect(await isUp()).toBe(true);
      } finally {
        await stopChild(master);
      }
      const stored = (await readdir(door.stored('shared'))).filter((name) => name.startsWith('f'));
      expect(stored).toHaveLength(Math.floor(transfers / 2));
      expect(edgeRecords()).toEqual([]);
    },
    transfersMs,
  );

  it(
    'every keep-alive is answered, and keys are renewed again and again',
    async () => {
      const { host, port, hostKey, user, keyFile = '' } = door.target('kept');
      const file = fileURLToPath(new URL('programs/long-life-steps.py', import.meta.url));
      const args = [host, String(port), hostKey, user, keyFile, String(rounds), String(pauseSeconds)];
      const { stdout, stderr } = await runProgram('/usr/bin/python3', [file, ...args], {
        timeoutMs: roundsMs,
      });
      expect(stdout.trimEnd().split('\n'), stderr).toEqual(['ok all rounds', 'end']);
      expect(edgeRecords()).toEqual([]);
    },
    roundsMs,
  );
});
