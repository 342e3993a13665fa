import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Outcome, runProgram } from '#test/harness/clients/process.ts';
import { type Mounted, mountSshfs } from '#test/harness/clients/sshfs.ts';
import { waitUntil } from '#test/harness/product.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';
import { differences, readTree } from '#test/harness/tree.ts';

/**
 * What people do on a mounted server, done there and in a folder of this machine: what is printed is the same, and so
 * are the trees afterwards. `$SOURCE` is a local folder with a tree of 312 files.
 */
const actions: readonly (readonly [title: string, script: string])[] = [
  ['creates a file and reads it', 'echo hi > new; cat new'],
  ['copies a file in', 'cp $SOURCE/large.bin . && cmp large.bin $SOURCE/large.bin && echo same'],
  [
    'copies a file within, with its times',
    'cp -p $SOURCE/tree/f1 kept && cp -p kept kept2 && stat -c "%s %Y" kept kept2',
  ],
  ['copies a file over a longer one', 'cp $SOURCE/large.bin over && cp $SOURCE/tree/f1 over && wc -c < over'],
  ['moves a file in', 'cp $SOURCE/tree/f1 $HOME/moved && mv $HOME/moved . && cat moved'],
  [
    'renames a file, also over another',
    'echo a > ren1; echo b > ren2; mv ren1 ren3; mv ren3 ren2; cat ren2; ls ren*',
  ],
  [
    'writes beside and renames over',
    'echo old > save; echo new > .save.swp; sync .save.swp; mv .save.swp save; cat save',
  ],
  [
    'unpacks an archive of 312 files',
    'tar -C $SOURCE -cf - tree | tar -xf - --no-same-owner; find tree -type f | wc -l',
  ],
  ['packs it again', 'tar --sort=name --mtime=@0 --owner=0 --group=0 --mode=u=rwX -cf - tree | sha256sum'],
  [
    'rsync -a, and once more with nothing left to do',
    'rsync -a $SOURCE/tree/ rs/ && rsync -ai $SOURCE/tree/ rs/; find rs -type f | wc -l',
  ],
  [
    'rsync -a --inplace of a changed file',
    'echo first > $HOME/r; rsync -a $HOME/r in/; echo "second, longer" > $HOME/r; rsync -a --inplace $HOME/r in/; cat in/r',
  ],
  ['sed -i', 'seq 1 2000 > numbers; sed -i s/7/seven/ numbers; sha256sum < numbers'],
  [
    'writes into the middle of a file',
    'seq 1 2000 > middle; printf CHANGED | dd of=middle bs=1 seek=100 conv=notrunc status=none; sha256sum < middle',
  ],
  ['appends to a file, line by line', 'for i in $(seq 1 30); do echo line $i >> log; done; wc -l < log'],
  [
    'truncates, extends and empties files',
    'seq 1 2000 > t1; cp t1 t2; cp t1 t3; truncate -s 100 t1; truncate -s 20000 t2; : > t3; wc -c t1 t2 t3; sha256sum t1 t2',
  ],
  [
    'sees the size of a file that is being written',
    `python3 -c "
import os
f = open('growing', 'w'); f.write('abc'); f.flush(); print(os.path.getsize('growing'), open('growing').read()); f.write('d'); f.close(); print(open('growing').read())"`,
  ],
  [
    'reads, writes and truncates one open file',
    `python3 -c "
f = open('both', 'w+b'); f.write(b'x' * 100000); f.seek(50000); f.write(b'middle'); f.seek(49998); print(f.read(10)); f.truncate(50003); f.seek(0, 2); print(f.tell()); f.close()
f = open('both', 'r+b'); f.seek(3); f.write(b'!'); f.seek(0); print(f.read(5), len(f.read()))"`,
  ],
  [
    'goes on with a file that was renamed while open',
    `python3 -c "
import os
f = open('before', 'w'); f.write('a'); f.flush(); os.rename('before', 'after'); f.write('b'); f.close(); print(open('after').read(), os.path.exists('before'))"`,
  ],
  [
    'replaces a file as programs do that want it whole',
    `python3 -c "
import os
for n in range(20):
    with open('state.tmp', 'w') as f: f.write(str(n)); f.flush(); os.fsync(f.fileno())
    os.replace('state.tmp', 'state')
print(open('state').read(), os.path.exists('state.tmp'))"`,
  ],
  [
    'makes a file only if it is not there',
    `python3 -c "
f = open('lock', 'x'); f.write('1'); f.close()
try: open('lock', 'x')
except FileExistsError as e: print('exists')"`,
  ],
  [
    'removes files and folders',
    'cp -r $SOURCE/tree gone; rm gone/f1; test -e gone/f1 || echo no; rm -r gone; ls -d gone 2>/dev/null; mkdir -p d/e/f; rmdir d/e/f; ls d/e | wc -l',
  ],
  [
    'sets modes and times',
    'echo x > m; chmod 640 m; touch -d @1000000000 m; stat -c "%a %Y" m; chmod u+x m; stat -c %a m',
  ],
  [
    'git init, commit, gc, clone, fsck',
    `
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE=@1700000000 GIT_COMMITTER_DATE=@1700000000
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@example.com GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@example.com
git init -q -b main repo && cd repo && cp -r $SOURCE/tree/a tree && git add . && git commit -q -m one && echo changed >> tree/f40 &&
git commit -q -a -m two && git gc -q && git fsck --full --strict && git status --porcelain && cd .. &&
git clone -q $CLONE_OPTIONS repo clone && git -C clone fsck --full --strict && git -C clone log --oneline && git -C clone status --porcelain &&
git clone -q $SOURCE/origin.git from-outside && git -C from-outside fsck && git -C from-outside log --oneline`,
  ],
  [
    'sqlite with 100 transactions',
    `
(echo "create table t (n integer primary key, x text);"; for i in $(seq 1 100); do echo "begin; insert into t values ($i, 'row $i'); commit;"; done) | sqlite3 s.db
sqlite3 s.db "select count(*), sum(n) from t; pragma integrity_check;"; ls s.db*`,
  ],
  [
    'sqlite in pieces, after a rollback',
    `
sqlite3 r.db "create table t (n); insert into t values (1);"; sqlite3 r.db "begin; insert into t values (2); rollback;"
sqlite3 r.db "pragma journal_mode=truncate; insert into t values (3); select * from t; vacuum; pragma integrity_check;"`,
  ],
];

/** With them git compares inode numbers, which sshfs makes up anew; ours offers none, and git copies by itself. */
const withoutHardLinks = process.env['SFTP_REFERENCE'] === undefined ? '' : '--no-hardlinks';

const accounts = { atomic: {}, direct: { uploads: 'direct' } } as const;

describe.runIf(existsSync('/dev/fuse'))('a folder mounted with sshfs', () => {
  let door: SftpDoor;
  let source: string;
  beforeAll(async () => {
    door = await startSftpDoor(accounts);
    source = await buildSource(door.folder);
  });
  afterAll(() => door.close());

  describe.each(Object.keys(accounts))('with %s uploads', (account) => {
    let mounted: Mounted;
    let local: string;
    beforeAll(async () => {
      mounted = await mountSshfs(door.target(account));
      local = join(door.folder, `local-${account}`);
      await mkdir(local);
    });
    afterAll(() => mounted.unmount());

    async function run(script: string, cwd: string): Promise<Outcome> {
      const home = join(door.folder, 'home');
      await mkdir(home, { recursive: true });
      return runProgram('/bin/bash', ['-c', script], {
        cwd,
        env: { SOURCE: source, HOME: home, CLONE_OPTIONS: withoutHardLinks },
      });
    }

    it.each(actions)('%s', async (_title, script) => {
      const here = await run(script, local);
      expect(here.status, `the script itself: ${here.stderr}`).toBe(0);
      const there = await run(script, mounted.path);
      expect({ ...there, stderr: there.stderr.replaceAll(mounted.path, '.') }).toEqual({
        ...here,
        stderr: here.stderr.replaceAll(local, '.'),
      });
    });

    it('holds in the end what the local folder holds, byte for byte', async () => {
      // What git keeps beside its objects has times and inode numbers in it; fsck has looked at the objects.
      const isGits = (path: string): boolean => /(^|\/)\.git(\/|$)/.test(path);
      const right = await readTree(local, isGits);
      expect(differences(right, await readTree(mounted.path, isGits)), 'through the mount').toEqual([]);
      expect(differences(right, await readTree(door.stored(account), isGits)), 'as stored').toEqual([]);
    });
  });

  it.runIf(process.env['SFTP_REFERENCE'] === undefined)(
    'mounts with a password on its standard input',
    async () => {
      const { product } = door;
      if (product === undefined) throw new Error('the reference knows no passwords');
      const mounted = await mountSshfs(product.sftp('atomic', { password: product.password('atomic') }));
      try {
        await writeFile(join(mounted.path, 'by-password'), 'x');
      } finally {
        await mounted.unmount();
      }
      // sshfs waits for no answer to its last CLOSE.
      const stored = (): Promise<object> => readTree(door.stored('atomic'));
      await waitUntil(async () => 'by-password' in (await stored()), 30_000);
      expect(await stored()).toHaveProperty('by-password');
    },
  );
});

/** 312 files in folders of several depths, a file larger than a window, and a bare repository. */
async function buildSource(folder: string): Promise<string> {
  const source = join(folder, 'source');
  const places = ['', 'a', 'a/b', 'a/b/c', 'names with blanks', 'ünïcode', 'd', 'd/e'];
  for (const [index, place] of places.entries()) {
    await mkdir(join(source, 'tree', place), { recursive: true });
    for (let file = index * 39; file < (index + 1) * 39; file += 1)
      await writeFile(join(source, 'tree', place, `f${file + 1}`), `file ${file}\n`.repeat(file + 1));
  }
  await writeFile(join(source, 'large.bin'), randomBytes(9_000_011));
  const made = await runProgram('/bin/bash', [
    '-c',
    `cd ${source} && export GIT_CONFIG_GLOBAL=/dev/null && git init -q -b main work && cp -r tree/a work/tree && cd work && git add . &&
     git -c user.name=x -c user.email=x@example.com commit -q -m origin && git clone -q --bare . ../origin.git && rm -rf ../work`,
  ]);
  if (made.status !== 0) throw new Error(made.stderr);
  return source;
}
