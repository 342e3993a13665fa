import { cp, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runLftp } from '#test/harness/clients/lftp.ts';
import type { Outcome } from '#test/harness/clients/process.ts';
import { runRclone } from '#test/harness/clients/rclone.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';
import { differences, readTree } from '#test/harness/tree.ts';

/** Programs that keep a folder here and one there alike, in both directions. */
describe.each(['atomic', 'direct'] as const)('mirrors, with %s uploads', (uploads) => {
  let door: SftpDoor;
  let local: string;
  beforeAll(async () => {
    door = await startSftpDoor({
      lftp: { uploads },
      rclone: { uploads },
      box: { uploads, allow: ['list', 'write'] },
    });
    local = join(door.folder, 'tree');
    for (const [index, place] of ['', 'a', 'a/b/c', 'with blanks', 'ünïcode'].entries()) {
      await mkdir(join(local, place), { recursive: true });
      for (let file = 0; file < 12; file += 1) {
        const path = join(local, place, `file ${file}`);
        await writeFile(path, `${index} ${file}\n`.repeat(file * file * 200));
        await utimes(path, 1_600_000_000, 1_600_000_000 + index * 100 + file);
      }
    }
  });
  afterAll(() => door.close());

  /** One line a path whose content, kind or time is not the same in both. */
  async function compare(folder: string, other: string): Promise<string[]> {
    const found = differences(await readTree(folder), await readTree(other));
    if (found.length > 0) return found;
    for (const path of ['file 3', 'a/b/c/file 11']) {
      const [right, seen] = [await stat(join(folder, path)), await stat(join(other, path))];
      if (right.mtimeMs !== seen.mtimeMs)
        found.push(`${path}: ${seen.mtimeMs} ms instead of ${right.mtimeMs}`);
    }
    return found;
  }

  describe('lftp', () => {
    const lftp = async (...commands: readonly string[]): Promise<Outcome> => {
      const outcome = await runLftp(door.target('lftp'), commands);
      expect(outcome.status, outcome.stderr + outcome.stdout).toBe(0);
      return outcome;
    };

    it('makes a folder and all above it, ten times', async () => {
      const { stdout } = await lftp(
        ...Array.from({ length: 10 }, (_, index) => `mkdir -p p${index}/q/r/s`),
        'find p0 p9',
      );
      expect(stdout).toContain('p0/q/r/s/');
      expect(stdout).toContain('p9/q/r/s/');
    });

    it('mirrors up and down again, and has nothing left to do', async () => {
      const back = join(door.folder, 'lftp-back');
      await lftp(`mirror -R --parallel=4 ${local} up`, `mirror --parallel=4 --use-pget-n=3 up ${back}`);
      expect(await compare(local, door.stored('lftp', 'up'))).toEqual([]);
      expect(await compare(local, back)).toEqual([]);
      const again = await lftp(`mirror -R --dry-run ${local} up`, `mirror --dry-run up ${back}`);
      const left = again.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('mkdir -p'));
      expect(left).toEqual([]);
    });

    it('mirrors what was changed, added and removed', async () => {
      const changed = join(door.folder, 'lftp-changed');
      await cp(local, changed, { recursive: true, preserveTimestamps: true });
      await writeFile(join(changed, 'file 5'), 'shorter');
      await writeFile(join(changed, 'a/new'), 'new');
      await rm(join(changed, 'with blanks'), { recursive: true });
      await lftp(`mirror -R --delete ${changed} up`);
      expect(await compare(changed, door.stored('lftp', 'up'))).toEqual([]);
      await lftp(`mirror --delete up ${join(door.folder, 'lftp-back')}`);
      expect(await compare(changed, join(door.folder, 'lftp-back'))).toEqual([]);
    });

    it('goes on with files of which a part is there, up and down', async () => {
      const whole = join(local, 'file 11');
      const content = await readFile(whole);
      const part = join(door.folder, 'file 11');
      await writeFile(part, content.subarray(0, 20_000));
      const down = join(door.folder, 'lftp-part');
      await writeFile(down, content.subarray(0, 30_000));
      await lftp(
        `put ${part.replace(' ', '\\ ')} -o part`,
        `put -c ${whole.replace(' ', '\\ ')} -o part`,
        `get -c part -o ${down}`,
      );
      expect(await readFile(door.stored('lftp', 'part'))).toEqual(content);
      expect(await readFile(down)).toEqual(content);
    });
  });

  describe('rclone', () => {
    const rclone = async (...args: readonly string[]): Promise<Outcome> => {
      const outcome = await runRclone(door.target('rclone'), args);
      expect(outcome.status, outcome.stderr).toBe(0);
      expect(outcome.stderr).not.toMatch(/ERROR/);
      return outcome;
    };

    it('syncs up and down, checks every byte, and has nothing left to do', async () => {
      const back = join(door.folder, 'rclone-back');
      await rclone('sync', local, 'remote:up');
      await rclone('check', '--download', local, 'remote:up');
      await rclone('sync', 'remote:up', back);
      expect(await compare(local, door.stored('rclone', 'up'))).toEqual([]);
      expect(await compare(local, back)).toEqual([]);
      for (const [from, to] of [
        [local, 'remote:up'],
        ['remote:up', back],
      ] as const)
        expect((await rclone('sync', '-v', from, to)).stderr).toContain('There was nothing to transfer');
    });

    it('syncs what was changed, added, removed and moved', async () => {
      const changed = join(door.folder, 'rclone-changed');
      await cp(local, changed, { recursive: true, preserveTimestamps: true });
      await writeFile(join(changed, 'file 5'), 'shorter');
      await rename(join(changed, 'with blanks'), join(changed, 'moved'));
      await rm(join(changed, 'ünïcode'), { recursive: true });
      await rclone(
        'sync',
        '--track-renames',
        '--track-renames-strategy',
        'modtime,leaf',
        changed,
        'remote:up',
      );
      await rclone('check', '--download', changed, 'remote:up');
      expect(await compare(changed, door.stored('rclone', 'up'))).toEqual([]);
    });

    it('keeps two sides alike that both change (bisync)', async () => {
      const here = join(door.folder, 'both');
      await cp(local, here, { recursive: true, preserveTimestamps: true });
      const bisync = (...more: readonly string[]): Promise<Outcome> =>
        rclone('bisync', here, 'remote:both', '--workdir', join(door.folder, 'bisync'), ...more);
      await rclone('mkdir', 'remote:both');
      await bisync('--resync');
      await writeFile(join(here, 'from-here'), 'here');
      await rclone('copyto', join(local, 'file 2'), 'remote:both/from-there');
      await rclone('deletefile', 'remote:both/file 7');
      await bisync();
      expect(await compare(here, door.stored('rclone', 'both'))).toEqual([]);
      expect(Object.keys(await readTree(here))).toEqual(expect.arrayContaining(['from-here', 'from-there']));
      expect(Object.keys(await readTree(here))).not.toContain('file 7');
    });

    it('moves, touches, streams, copies within, purges', async () => {
      const moved = join(door.folder, 'to-move');
      await cp(local, moved, { recursive: true, preserveTimestamps: true });
      await rclone('move', moved, 'remote:moved', '--delete-empty-src-dirs');
      expect(await compare(local, door.stored('rclone', 'moved'))).toEqual([]);
      await rclone('touch', 'remote:moved/touched', '--timestamp', '2020-01-02T03:04:05');
      await rclone('moveto', 'remote:moved/a', 'remote:elsewhere/a');
      await rclone('copy', 'remote:moved/file 3', 'remote:elsewhere');
      expect((await rclone('lsf', '-R', 'remote:elsewhere')).stdout).toContain('a/b/c/file 11');
      expect((await rclone('cat', 'remote:elsewhere/file 3')).stdout).toBe('0 3\n'.repeat(1_800));
      await rclone('purge', 'remote:moved');
      await rclone('rmdirs', 'remote:elsewhere', '--leave-root');
      expect((await rclone('lsf', 'remote:')).stdout).not.toContain('moved/');
    });

    it('brings new files, with their times, where nothing may be read or changed', async () => {
      const outcome = await runRclone(door.target('box'), [
        'copy',
        '--max-depth',
        '1',
        join(local, 'a'),
        'remote:',
      ]);
      const first = await runRclone(door.target('box'), ['copyto', join(local, 'file 3'), 'remote:new']);
      expect([outcome.status, first.status], outcome.stderr + first.stderr).toEqual([0, 0]);
      expect((await stat(door.stored('box', 'new'))).mtimeMs).toBe(1_600_000_003_000);
    });

    it('finds out what can be stored (test info)', async () => {
      const results = join(door.folder, 'info.json');
      await runRclone(door.target('rclone'), ['mkdir', 'remote:info']);
      await rclone(
        'test',
        'info',
        '--check-normalization',
        '--check-streaming',
        '--check-length',
        '--write-json',
        results,
        'remote:info',
      );
      expect(JSON.parse(await readFile(results, 'utf8'))).toMatchObject({
        CanStream: true,
        CanWriteUnnormalized: true,
        MaxFileLength: 255,
      });
    });
  });
});
