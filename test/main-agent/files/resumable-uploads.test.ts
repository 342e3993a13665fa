import { describe, expect } from 'vitest';
import { uploadsMax } from '#shared/link/messages.ts';
import {
  allVerbs,
  type Client,
  codesOf,
  mountOf,
  newFile,
  randomContent,
  type StorageRig,
  SettableClock,
  sha256,
  userOf,
} from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

async function create(client: Client, path: string[], lengthBytes: number, more: object = {}) {
  return client.ask('fs.create-upload', { path, lengthBytes, overwrite: false, ...more });
}

/** Opens it, sends the next bytes, and lets go as a door does when its client is gone. */
async function go(client: Client, upload: string, bytes: Buffer, count: number): Promise<void> {
  const opened = await client.ask('fs.open-upload', { upload });
  const from = opened.upload.storedBytes;
  await client.write(opened.handle, bytes.subarray(from, from + count), from);
  await client.ask('fs.release', { handle: opened.handle, keepPartial: true });
}

async function finish(client: Client, upload: string, bytes: Buffer) {
  const opened = await client.ask('fs.open-upload', { upload });
  const from = opened.upload.storedBytes;
  if (from < bytes.length) await client.write(opened.handle, bytes.subarray(from), from);
  return client.ask('fs.commit', { handle: opened.handle });
}

async function refusals(...tries: readonly Promise<unknown>[]): Promise<string[]> {
  return codesOf(await Promise.allSettled(tries));
}

async function content(rig: StorageRig, name: string): Promise<Buffer> {
  return rig.medium.readFile('alice', name);
}

describe('an upload that is taken up by name', () => {
  onEachStorage(
    'goes on in another session after another start, and ends as one whole file with its own time',
    async (start) => {
      const rig = await start();
      const bytes = randomContent(700_000);
      const first = rig.client('alice', 'https');
      const { upload } = await create(first, ['big.bin'], bytes.length, { mtimeMs: 1_600_000_000_000 });
      await go(first, upload, bytes, 300_000);
      first.end();
      await rig.restart();

      const second = rig.client('alice', 'https');
      expect((await second.ask('fs.list-uploads', {})).uploads).toMatchObject([
        { upload, path: ['big.bin'], lengthBytes: 700_000, storedBytes: 300_000 },
      ]);
      expect(await second.names()).toEqual([]);
      const done = await finish(second, upload, bytes);
      expect(done).toMatchObject({ created: true, sha256: sha256(bytes) });
      expect(done.attributes.mtimeMs).toBe(1_600_000_000_000);
      expect(bytes.equals(await content(rig, 'big.bin'))).toBe(true);
      expect((await second.ask('fs.list-uploads', {})).uploads).toEqual([]);
      expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
    },
  );

  onEachStorage('may be of a file from before 1970', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const mtimeMs = Date.UTC(1969, 6, 20, 20, 17, 40);
    const { upload } = await create(client, ['moon'], 3, { mtimeMs });
    expect((await finish(client, upload, Buffer.from('abc'))).attributes.mtimeMs).toBe(mtimeMs);
  });

  onEachStorage('is listed with the others as far as one answer goes', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const folder = Array.from({ length: 14 }, (_, level) => '"'.repeat(250) + level);
    for (let depth = 1; depth <= folder.length; depth += 1)
      await client.ask('fs.make-folder', { path: folder.slice(0, depth) });
    for (let index = 0; index < uploadsMax; index += 1)
      await create(client, [...folder, '"'.repeat(250) + index], 1);
    const { uploads } = await client.ask('fs.list-uploads', {});
    expect(Buffer.byteLength(JSON.stringify(uploads))).toBeLessThan(500 * 1024);
    expect(uploads.length).toBeGreaterThan(50);
    expect(uploads.length).toBeLessThan(uploadsMax);
  });

  onEachStorage('is found with all its bytes for a while after it became a file', async (start) => {
    const clock = new SettableClock();
    const rig = await start({ clock });
    const client = rig.client('alice', 'https');
    const { upload } = await create(client, ['f'], 3);
    await finish(client, upload, Buffer.from('abc'));
    expect(await client.ask('fs.find-upload', { upload })).toMatchObject({ storedBytes: 3, lengthBytes: 3 });
    const other = rig.client('bob', 'https');
    expect(await refusals(other.ask('fs.find-upload', { upload }))).toEqual(['not-found']);
    clock.aheadMs += 10 * 60_000 + 1;
    expect(await refusals(client.ask('fs.find-upload', { upload }))).toEqual(['not-found']);
  });

  onEachStorage(
    'is found with all its bytes for a while after that, though main began anew',
    async (start) => {
      const clock = new SettableClock();
      const rig = await start({ clock });
      const client = rig.client('alice', 'https');
      const metadata = 'path L2Y=,note A';
      const before = await create(client, ['f'], 3, { metadata });
      await finish(client, before.upload, Buffer.from('abc'));
      clock.aheadMs += 5 * 60_000;
      await rig.restart();
      const again = rig.client('alice', 'https');
      const since = await create(again, ['g'], 3);
      await finish(again, since.upload, Buffer.from('abc'));
      const found = { storedBytes: 3, lengthBytes: 3 };
      expect(await again.ask('fs.find-upload', { upload: before.upload })).toMatchObject({
        ...found,
        metadata,
      });
      expect(await again.ask('fs.find-upload', { upload: since.upload })).toMatchObject(found);
      const other = rig.client('bob', 'https');
      expect(await refusals(other.ask('fs.find-upload', { upload: before.upload }))).toEqual(['not-found']);
      clock.aheadMs += 5 * 60_000 + 1;
      expect(await refusals(again.ask('fs.find-upload', { upload: before.upload }))).toEqual(['not-found']);
      expect(await again.ask('fs.find-upload', { upload: since.upload })).toMatchObject(found);
    },
  );

  onEachStorage(
    'keeps what its client said of it over a start and until it is forgotten as a file; lists leave it out',
    async (start) => {
      const rig = await start();
      const first = rig.client('alice', 'https');
      const metadata = `path L2Y=,note ${'A'.repeat(8_000)}`;
      const { upload } = await create(first, ['f'], 3, { metadata });
      first.end();
      await rig.restart();
      const client = rig.client('alice', 'https');
      expect((await client.ask('fs.find-upload', { upload })).metadata).toBe(metadata);
      expect((await client.ask('fs.list-uploads', {})).uploads).toEqual([
        expect.not.objectContaining({ metadata: expect.anything() }),
      ]);
      await go(client, upload, Buffer.from('abc'), 1);
      expect((await client.ask('fs.find-upload', { upload })).metadata).toBe(metadata);
      await finish(client, upload, Buffer.from('abc'));
      expect((await client.ask('fs.find-upload', { upload })).metadata).toBe(metadata);
    },
  );

  onEachStorage(
    'is forgotten by name when it is removed after it became a file, and the file stays',
    async (start) => {
      const rig = await start();
      const client = rig.client('alice', 'https');
      const { upload } = await create(client, ['f'], 3);
      await finish(client, upload, Buffer.from('abc'));
      const other = rig.client('bob', 'https');
      expect(await refusals(other.ask('fs.remove-upload', { upload }))).toEqual(['not-found']);
      await client.ask('fs.remove-upload', { upload });
      expect(
        await refusals(client.ask('fs.find-upload', { upload }), client.ask('fs.remove-upload', { upload })),
      ).toEqual(['not-found', 'not-found']);
      expect((await content(rig, 'f')).toString()).toBe('abc');
    },
  );

  onEachStorage('belongs to its user: nobody else finds, opens or removes it', async (start) => {
    const rig = await start();
    const { upload } = await create(rig.client('alice', 'https'), ['f'], 10);
    const other = rig.client('bob', 'https');
    expect(
      await refusals(
        other.ask('fs.find-upload', { upload }),
        other.ask('fs.open-upload', { upload }),
        other.ask('fs.remove-upload', { upload }),
      ),
    ).toEqual(['not-found', 'not-found', 'not-found']);
    expect((await other.ask('fs.list-uploads', {})).uploads).toEqual([]);
  });

  onEachStorage(
    'S-16: is nobody’s once its user’s name is another person’s, and takes none of that person’s places',
    async (start) => {
      const clock = new SettableClock();
      const rig = await start({ clock });
      const former = rig.client('alice', 'https');
      const { upload } = await create(former, ['secret plan.pdf'], 10);
      await go(former, upload, Buffer.from('half of it'), 5);
      const broken = await former.ask('fs.open', { path: ['broken.bin'], mode: newFile });
      await former.write(broken.handle, Buffer.from('half'), 0);
      await former.ask('fs.release', { handle: broken.handle, keepPartial: true });
      former.end();
      clock.aheadMs += 1_000;
      rig.formerUntilMs.set('alice', clock.now());
      clock.aheadMs += 1_000;

      const present = rig.client('alice', 'https');
      expect((await present.ask('fs.list-uploads', {})).uploads).toEqual([]);
      expect(await present.names()).toEqual([]);
      expect(
        await refusals(
          present.ask('fs.find-upload', { upload }),
          present.ask('fs.open-upload', { upload }),
          present.ask('fs.remove-upload', { upload }),
        ),
      ).toEqual(['not-found', 'not-found', 'not-found']);
      const own = await create(present, ['secret plan.pdf'], 3);
      await finish(present, own.upload, Buffer.from('own'));
      expect((await content(rig, 'secret plan.pdf')).toString()).toBe('own');
    },
  );

  onEachStorage(
    'goes to the newest connection; the older one can neither write nor commit any more',
    async (start) => {
      const rig = await start();
      const bytes = randomContent(1000);
      const old = rig.client('alice', 'https');
      const { upload } = await create(old, ['f'], 1000);
      const stale = await old.ask('fs.open-upload', { upload });
      await old.write(stale.handle, bytes.subarray(0, 400), 0);
      const fresh = rig.client('alice', 'https');
      expect((await fresh.ask('fs.find-upload', { upload })).storedBytes).toBe(400);
      const opened = await fresh.ask('fs.open-upload', { upload });
      expect(opened.upload.storedBytes).toBe(400);
      expect(await refusals(old.ask('fs.commit', { handle: stale.handle }))).toEqual(['bad-handle']);
      await fresh.write(opened.handle, bytes.subarray(400), 400);
      await fresh.ask('fs.commit', { handle: opened.handle });
      expect(bytes.equals(await content(rig, 'f'))).toBe(true);
    },
  );

  onEachStorage('two that open it at once: one has it, and every byte is right', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const bytes = randomContent(50_000);
    const { upload } = await create(client, ['f'], bytes.length);
    const opened = await Promise.all([1, 2, 3].map(() => client.ask('fs.open-upload', { upload })));
    const alive = await Promise.allSettled(
      opened.map(({ handle }) => client.ask('fs.stat-handle', { handle })),
    );
    expect(alive.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await finish(client, upload, bytes);
    expect(bytes.equals(await content(rig, 'f'))).toBe(true);
  });

  onEachStorage('is no file before it is whole', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const { upload } = await create(client, ['f'], 10);
    const opened = await client.ask('fs.open-upload', { upload });
    await client.write(opened.handle, 'nine byte', 0);
    expect(await refusals(client.ask('fs.commit', { handle: opened.handle }))).toEqual(['bad-handle']);
    expect((await client.ask('fs.find-upload', { upload })).storedBytes).toBe(9);
    expect(await client.names()).toEqual([]);
  });

  onEachStorage('is no file when it is longer than it was said to be', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const { upload } = await create(client, ['f'], 10);
    const opened = await client.ask('fs.open-upload', { upload });
    const longer = async () => {
      await client.write(opened.handle, 'eleven byte', 0);
      await client.ask('fs.commit', { handle: opened.handle });
    };
    expect(await refusals(longer())).toEqual(['bad-handle']);
    expect(await client.names()).toEqual([]);
  });

  onEachStorage(
    'a file that appeared meanwhile is not replaced unasked, and the bytes sent are not lost',
    async (start) => {
      const rig = await start();
      const client = rig.client('alice', 'https');
      const { upload } = await create(client, ['f'], 3);
      await client.put(['f'], 'other');
      expect(await refusals(finish(client, upload, Buffer.from('abc')))).toEqual(['exists']);
      expect((await client.ask('fs.find-upload', { upload })).storedBytes).toBe(3);
      await client.ask('fs.remove-file', { path: ['f'] });
      await finish(client, upload, Buffer.from('abc'));
      expect((await content(rig, 'f')).toString()).toBe('abc');
    },
  );

  onEachStorage('where a file is, only one that was told to overwrite may begin', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    await client.put(['f'], 'old');
    expect(await refusals(create(client, ['f'], 3))).toEqual(['exists']);
    const { upload } = await create(client, ['f'], 3, { overwrite: true });
    await finish(client, upload, Buffer.from('new'));
    expect((await content(rig, 'f')).toString()).toBe('new');
  });

  onEachStorage('an empty one is an empty file', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const { upload } = await create(client, ['empty'], 0);
    await finish(client, upload, Buffer.alloc(0));
    expect((await content(rig, 'empty')).length).toBe(0);
  });

  onEachStorage('is asked for its rights again each time it is opened and at the commit', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const { upload } = await create(client, ['f'], 3);
    client.user = userOf('alice', [mountOf([], ['alice'], ['list', 'read'])]);
    expect(await refusals(client.ask('fs.open-upload', { upload }))).toEqual(['permission-denied']);
    client.user = userOf('alice');
    const opened = await client.ask('fs.open-upload', { upload });
    await client.write(opened.handle, 'abc', 0);
    client.user = userOf('alice', [mountOf([], ['elsewhere'], allVerbs)]);
    expect(await refusals(client.ask('fs.commit', { handle: opened.handle }))).toEqual(['permission-denied']);
    expect((await client.ask('fs.find-upload', { upload })).storedBytes).toBe(3);
  });

  onEachStorage('one that can not fit into the quota is refused before a byte is sent', async (start) => {
    const rig = await start();
    const client = rig.client(userOf('alice', undefined, { quotaBytes: 1000 }), 'https');
    expect(await refusals(create(client, ['f'], 1001))).toEqual(['quota-exceeded']);
    await create(client, ['f'], 1000);
  });

  onEachStorage(
    `a user has at most ${uploadsMax} unfinished; the next is refused and none is lost`,
    async (start) => {
      const rig = await start();
      const client = rig.client('alice', 'https');
      for (let index = 0; index < uploadsMax; index += 1) await create(client, [`f${index}`], 1);
      expect(await refusals(create(client, ['one-more'], 1))).toEqual(['too-many']);
      const { uploads } = await client.ask('fs.list-uploads', {});
      expect(uploads).toHaveLength(uploadsMax);
      await client.ask('fs.remove-upload', { upload: uploads[0]?.upload ?? '' });
      await create(client, ['one-more'], 1);
    },
  );

  onEachStorage(
    'a create and an open sent again after a kill are answered, not done twice',
    async (start) => {
      const rig = await start();
      const client = rig.client('alice', 'https', 'the-session');
      const params = { path: ['f'], lengthBytes: 4, overwrite: false };
      const made = await client.askAs('fs.create-upload', params, 900);
      await rig.restart();
      expect((await client.askAs('fs.create-upload', params, 900)).upload).toBe(made.upload);
      const opened = await client.askAs('fs.open-upload', { upload: made.upload }, 901);
      await client.write(opened.handle, 'ab', 0);
      await rig.restart();
      const again = await client.askAs('fs.open-upload', { upload: made.upload }, 901);
      expect(again).toMatchObject({ handle: opened.handle, upload: { storedBytes: 2 } });
      await client.write(again.handle, 'cd', 2);
      await client.ask('fs.commit', { handle: again.handle });
      expect((await content(rig, 'f')).toString()).toBe('abcd');
    },
  );

  onEachStorage(
    'neither an SFTP partial of the same name nor a commit of that file touches it',
    async (start) => {
      const rig = await start();
      const web = rig.client('alice', 'https');
      const { upload } = await create(web, ['f'], 6);
      await go(web, upload, Buffer.from('abcdef'), 3);
      const sftp = rig.client('alice', 'sftp');
      expect(await refusals(sftp.ask('fs.stat', { path: ['f'], followLinks: true }))).toEqual(['not-found']);
      const handle = await sftp.open(['f'], newFile);
      await sftp.write(handle, 'partial');
      await sftp.ask('fs.release', { handle, keepPartial: true });
      await sftp.put(['f'], 'by sftp');
      await sftp.ask('fs.remove-file', { path: ['f'] });
      await finish(web, upload, Buffer.from('abcdef'));
      expect((await content(rig, 'f')).toString()).toBe('abcdef');
    },
  );

  onEachStorage(
    'nobody came back for it for a day: it is swept, and its bytes leave the quota',
    async (start) => {
      const clock = new SettableClock();
      const rig = await start({ clock });
      const client = rig.client(userOf('alice', undefined, { quotaBytes: 1000 }), 'https');
      const { upload, expiresAtMs } = await create(client, ['f'], 1000);
      await go(client, upload, randomContent(1000), 900);
      expect(Math.round((expiresAtMs - clock.now()) / 60_000)).toBe(24 * 60);
      expect(await refusals(client.put(['g'], randomContent(200)))).toEqual(['quota-exceeded']);
      clock.aheadMs += 24 * 3_600_000 + 1;
      await rig.restart();
      expect(await refusals(client.ask('fs.find-upload', { upload }))).toEqual(['not-found']);
      await client.put(['g'], randomContent(200));
    },
  );
});
