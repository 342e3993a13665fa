import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import { Account } from '#main-agent/files/quota.ts';
import { type Client, codesOf, mountOf, newFile, resume, SettableClock, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const kib = 1024;
const limited = (bytes: number, mounts = [mountOf([], ['alice'])]) =>
  userOf('alice', mounts, { quotaBytes: bytes });
const exceeded = { code: 'quota-exceeded' };

async function upload(client: Client, name: string, bytes: number): Promise<void> {
  await client.put([name], Buffer.alloc(bytes, 1));
}

onEachStorage('a quota is met to the byte: one less fits, itself fits, one more does not', async (start) => {
  const rig = await start();
  const client = rig.client(limited(100 * kib));
  await upload(client, 'a', 100 * kib - 1);
  await upload(client, 'b', 1);
  await expect(upload(client, 'c', 1)).rejects.toMatchObject(exceeded);
  expect(await rig.service.usedBytes('alice')).toBe(100 * kib);
});

onEachStorage('of 8 uploads at the same time only as many get through as fit', async (start) => {
  const rig = await start();
  const user = limited(1000 * kib);
  const settled = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) => upload(rig.client(user), `f${index}`, 300 * kib)),
  );
  const done = settled.filter((one) => one.status === 'fulfilled').length;
  expect(done).toBeLessThanOrEqual(3);
  expect(new Set(codesOf(settled))).toEqual(new Set(['quota-exceeded']));
  const names = await rig.medium.readdir('alice');
  expect(names).toHaveLength(done);
});

test('it is enforced while bytes come in, not when they have come', async () => {
  const rig = await startRig();
  const client = rig.client(limited(100 * kib));
  const handle = await client.open(['big'], newFile);
  await expect(client.write(handle, Buffer.alloc(10_000 * kib))).rejects.toMatchObject(exceeded);
  const staged = await rig.staged();
  const part = staged.find((name) => name.endsWith('.part')) ?? '';
  expect((await fs.stat(rig.path('.sallyport-staging', part))).size).toBeLessThanOrEqual(100 * kib);
});

onEachStorage(
  'holes, copies and appended files count, and what is deleted or given up is free again',
  async (start) => {
    const rig = await start();
    const client = rig.client(limited(100 * kib));
    const handle = await client.open(['hole'], newFile);
    await expect(client.write(handle, 'x', 100 * kib)).rejects.toMatchObject(exceeded);
    await expect(
      client.ask('fs.change-handle', { handle, change: { size: 101 * kib } }),
    ).rejects.toMatchObject(exceeded);
    await client.ask('fs.release', { handle, keepPartial: false });
    await upload(client, 'a', 60 * kib);
    const copy = { from: ['a'], to: ['b'], overwrite: false };
    await expect(client.ask('fs.copy', copy)).rejects.toMatchObject(exceeded);
    const appending = await client.open(['a'], { ...resume, append: true });
    await expect(client.write(appending, Buffer.alloc(41 * kib))).rejects.toMatchObject(exceeded);
    await client.ask('fs.release', { handle: appending, keepPartial: false });
    await client.ask('fs.remove-file', { path: ['a'] });
    await upload(client, 'a', 50 * kib);
    await client.ask('fs.copy', copy);
    expect(await rig.service.usedBytes('alice')).toBe(100 * kib);
  },
);

onEachStorage('broken uploads count until they are gone', async (start) => {
  const rig = await start();
  const client = rig.client(limited(100 * kib));
  const handle = await client.open(['half'], newFile);
  await client.write(handle, Buffer.alloc(80 * kib));
  await client.ask('fs.release', { handle, keepPartial: true });
  await expect(upload(client, 'a', 30 * kib)).rejects.toMatchObject(exceeded);
  const resumed = await client.open(['half'], resume);
  await client.write(resumed, Buffer.alloc(20 * kib), 80 * kib);
  await client.ask('fs.commit', { handle: resumed });
  expect(await rig.service.usedBytes('alice')).toBe(100 * kib);
});

test('files of other programs are counted at first use and again after some seconds', async () => {
  const clock = new SettableClock();
  const rig = await startRig({ clock });
  await rig.medium.mkdir('alice', 'd');
  await fs.writeFile(rig.path('alice', 'd', 'f'), Buffer.alloc(90 * kib));
  const client = rig.client(limited(100 * kib));
  await expect(upload(client, 'a', 11 * kib)).rejects.toMatchObject(exceeded);
  await rig.medium.rm('alice', 'd');
  clock.aheadMs = 11_000;
  await rig.service.usedBytes('alice');
  await expect.poll(() => rig.service.usedBytes('alice')).toBe(0);
  await upload(client, 'a', 11 * kib);
});

test('only folders of the user are measured, shared ones count what this user put there', async () => {
  const rig = await startRig();
  await rig.medium.mkdir('shared');
  await fs.writeFile(rig.path('shared', 'theirs'), Buffer.alloc(500 * kib));
  const client = rig.client(
    limited(100 * kib, [
      mountOf([], ['alice']),
      mountOf(['in'], ['shared']),
      mountOf(['again'], ['alice', 'd']),
    ]),
  );
  await upload(client, 'a', 50 * kib);
  await client.put(['in', 'mine'], Buffer.alloc(50 * kib));
  expect(await rig.service.usedBytes('alice')).toBe(100 * kib);
  await expect(client.put(['in', 'more'], 'x')).rejects.toMatchObject(exceeded);
});

test('each folder of the user counts, one beside another as well, and one that lies in another once', async () => {
  const rig = await startRig();
  for (const folder of ['inbox', 'outbox']) {
    await rig.medium.mkdir('alice', folder);
    await fs.writeFile(rig.path('alice', folder, 'f'), Buffer.alloc(40 * kib));
  }
  const client = rig.client(
    limited(100 * kib, [
      mountOf(['in'], ['alice', 'inbox']),
      mountOf(['out'], ['alice', 'outbox']),
      mountOf(['again'], ['alice', 'outbox']),
    ]),
  );
  await expect(client.put(['in', 'g'], Buffer.alloc(20 * kib + 1))).rejects.toMatchObject(exceeded);
  await client.put(['in', 'g'], Buffer.alloc(20 * kib));
});

test('what is added while the folders are measured counts on top of what the measuring finds', async () => {
  const account = new Account(() => 0);
  const walk = Promise.withResolvers<number>();
  const measured = account.measure(
    () => walk.promise,
    () => 0,
  );
  account.committed(10 * kib, 0, undefined);
  account.added(-kib);
  walk.resolve(50 * kib);
  await measured;
  expect(account.usedBytes).toBe(60 * kib);
});

onEachStorage(
  'space left is told as the smaller of quota and disk, and a tightened quota holds at once',
  async (start) => {
    const rig = await start();
    const client = rig.client(limited(100 * kib));
    await upload(client, 'a', 40 * kib);
    expect(await client.ask('fs.usage', { path: [] })).toMatchObject({
      totalBytes: 100 * kib,
      freeBytes: 60 * kib,
    });
    const handle = await client.open(['b'], newFile);
    await client.write(handle, Buffer.alloc(kib));
    client.user = limited(41 * kib);
    await expect(client.write(handle, Buffer.alloc(kib), kib)).rejects.toMatchObject(exceeded);
  },
);

onEachStorage('an old version is kept only where it fits into the quota', async (start) => {
  const rig = await start();
  const client = rig.client(limited(100 * kib));
  await upload(client, 'f', 60 * kib);
  await upload(client, 'f', 20 * kib);
  expect((await rig.staged()).filter((name) => name.endsWith('.old'))).toEqual([]);
  await upload(client, 'f', 10 * kib);
  expect((await rig.staged()).filter((name) => name.endsWith('.old'))).toHaveLength(1);
});

onEachStorage(
  'what a user put into a shared folder is free again when the user deletes it',
  async (start) => {
    const rig = await start();
    const client = rig.client(limited(100 * kib, [mountOf(['in'], ['shared'])]));
    await client.put(['in', 'a'], Buffer.alloc(80 * kib));
    await expect(client.put(['in', 'b'], Buffer.alloc(80 * kib))).rejects.toMatchObject(exceeded);
    await client.ask('fs.remove-file', { path: ['in', 'a'] });
    await client.put(['in', 'b'], Buffer.alloc(80 * kib));
  },
);

onEachStorage('files written in place count what they grew, committed or not', async (start) => {
  const rig = await start();
  const mounts = [mountOf([], ['alice'], undefined, { uploads: 'direct' })];
  const client = rig.client(limited(100 * kib, mounts));
  await upload(client, 'f', 60 * kib);
  const handle = await client.open(['f'], resume);
  await client.write(handle, Buffer.alloc(30 * kib), 40 * kib);
  expect(await rig.service.usedBytes('alice')).toBe(70 * kib);
  await client.ask('fs.release', { handle, keepPartial: false });
  expect(await rig.service.usedBytes('alice')).toBe(70 * kib);
  await expect(upload(client, 'g', 31 * kib)).rejects.toMatchObject(exceeded);
  await upload(client, 'f', 10 * kib);
  expect(await rig.service.usedBytes('alice')).toBe(10 * kib);
});

onEachStorage(
  'bytes without a name count while their file is open: nobody fills the disk with what no folder shows',
  async (start) => {
    const rig = await start();
    const client = rig.client(limited(100 * kib));
    await upload(client, 'f', 10 * kib);
    const handle = await client.open(['f'], resume);
    await client.ask('fs.remove-file', { path: ['f'] });
    await client.write(handle, Buffer.alloc(60 * kib), 10 * kib);
    await expect(upload(client, 'g', 60 * kib)).rejects.toMatchObject(exceeded);
    await expect(client.write(handle, Buffer.alloc(60 * kib), 70 * kib)).rejects.toMatchObject(exceeded);
    await client.ask('fs.release', { handle, keepPartial: false });
    await client.ask('fs.remove-file', { path: ['g'] }).catch(() => undefined);
    await upload(client, 'h', 100 * kib);
  },
);

onEachStorage('what was free with its name is not free once more when its file is cut', async (start) => {
  const rig = await start();
  const client = rig.client(limited(100 * kib));
  await upload(client, 'keep', 40 * kib);
  await upload(client, 'f', 60 * kib);
  const handle = await client.open(['f'], resume);
  await client.ask('fs.remove-file', { path: ['f'] });
  await client.ask('fs.change-handle', { handle, change: { size: 0 } });
  expect(await rig.service.usedBytes('alice')).toBe(40 * kib);
  await expect(upload(client, 'g', 61 * kib)).rejects.toMatchObject(exceeded);
  await client.ask('fs.commit', { handle });
});

onEachStorage(
  'an upload whose name was removed goes on counting what is written to it by another handle',
  async (start) => {
    const rig = await start();
    const client = rig.client(limited(100 * kib), 'sftp');
    const one = await client.open(['f'], newFile);
    await client.write(one, 'x');
    const two = await client.open(['f'], resume);
    await client.ask('fs.remove-file', { path: ['f'] });
    await client.ask('fs.commit', { handle: one });
    await client.write(two, Buffer.alloc(60 * kib), 1);
    await expect(client.write(two, Buffer.alloc(60 * kib), 60 * kib)).rejects.toMatchObject(exceeded);
    await expect(upload(client, 'g', 60 * kib)).rejects.toMatchObject(exceeded);
    await client.ask('fs.commit', { handle: two });
    expect(await rig.service.usedBytes('alice')).toBe(0);
  },
);
