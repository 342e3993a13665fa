import { expect, test } from 'vitest';
import { toldContentBytesMax } from '#shared/link/messages.ts';
import {
  type Client,
  mountOf,
  newFile,
  randomContent,
  reading,
  resume,
  sha256,
  startRig,
  type StorageRig,
  userOf,
} from './rig.ts';

/** Files are written where they are: that is what a reader could miss. */
const inPlace = userOf('alice', [mountOf([], ['alice'], undefined, { uploads: 'direct' })]);
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** Handles of which its node was told that they are about to be changed. */
function listen(client: Client): number[] {
  const told: number[] = [];
  client.link = {
    ...client.link,
    send: (_event, body) => {
      if ('handle' in body) told.push(body.handle);
    },
  };
  return told;
}

async function startWith(bytes: Buffer | string): Promise<{ rig: StorageRig; client: Client }> {
  const rig = await startRig();
  const client = rig.client(inPlace);
  await client.put(['f'], bytes);
  rig.records.length = 0;
  return { rig, client };
}

const bytesOf = (text: string): string => Buffer.from(text).toString('base64url');
const mayTell = { path: ['f'], mode: reading, contentUpTo: toldContentBytesMax };
/** As the answer is sent. */
const openWithContent = async (client: Client) => ({ ...(await client.ask('fs.open', mayTell)) });
const contentOf = async (client: Client): Promise<string | undefined> =>
  (await openWithContent(client)).content;

test('a small file comes with the answer of its open, and its download is in the audit once', async () => {
  const content = randomContent(toldContentBytesMax);
  const { rig, client } = await startWith(content);
  const opened = await openWithContent(client);
  expect(Buffer.from(opened.content ?? '', 'base64url')).toEqual(content);
  const taken = { bytes: content.length, end: content.length };
  await client.ask('fs.release', { handle: opened.handle, keepPartial: false, taken });
  expect(rig.records).toMatchObject([{ event: 'file.download', outcome: 'ok', bytes: content.length }]);
});

test('an answer that is kept in case it is asked for again does not keep the content', async () => {
  const { client } = await startWith('bytes');
  const opened = await client.ask('fs.open', mayTell);
  expect([opened.content, opened.content]).toEqual([bytesOf('bytes'), bytesOf('bytes')]);
  await new Promise(setImmediate);
  expect(opened.content).toBeUndefined();
});

test('what has left is in the audit, whether or not its client took it', async () => {
  const { rig, client } = await startWith('secret');
  const { handle } = await openWithContent(client);
  await client.ask('fs.release', { handle, keepPartial: false });
  const none = { bytes: 6, size: 6, acknowledged: 0 };
  expect(rig.event('file.download')).toMatchObject({ outcome: 'partial', ...none });
  await openWithContent(client);
  client.changeProcess()();
  await expect.poll(() => rig.event('file.download')).toMatchObject({ outcome: 'cut', ...none });
});

test('who took it all has a record also when main was killed before it was told', async () => {
  const { rig, client } = await startWith('kept');
  const { handle } = await openWithContent(client);
  await rig.restart();
  await client.ask('fs.release', { handle, keepPartial: false, taken: { bytes: 4, end: 4 } });
  expect(rig.records).toMatchObject([{ event: 'file.download', outcome: 'ok', bytes: 4 }]);
});

test.each([
  ['longer than that', toldContentBytesMax + 1, inPlace],
  ['empty', 0, inPlace],
  [
    'of somebody whose speed is limited',
    10,
    { ...inPlace, limits: { ...inPlace.limits, downloadBytesPerSecond: 1e6 } },
  ],
])('a file that is %s is read by streams', async (_which, bytes, user) => {
  const { rig } = await startWith(randomContent(bytes));
  expect(await contentOf(rig.client(user))).toBeUndefined();
});

test('nobody is given a content who did not ask for it, or opens for writing', async () => {
  const { client } = await startWith('bytes');
  const mode = { ...resume, read: true };
  expect((await client.ask('fs.open', { path: ['f'], mode: reading })).content).toBeUndefined();
  expect((await client.ask('fs.open', { path: ['f'], mode, contentUpTo: 100 })).content).toBeUndefined();
});

test.each([
  ['writes into it', (client: Client, handle: number) => client.write(handle, 'X', 0)],
  ['makes it longer', (client: Client, handle: number) => client.write(handle, 'X', 5)],
  [
    'cuts it',
    async (client: Client, handle: number) => {
      await client.ask('fs.change-handle', { handle, change: { size: 1 } });
    },
  ],
])('before anybody %s, the node of who has the content is told, once', async (_what, change) => {
  const { rig, client } = await startWith('bytes');
  const told = listen(client);
  const { handle } = await openWithContent(client);
  const writer = rig.client(inPlace);
  const other = await writer.open(['f'], resume);
  await settle();
  expect(told).toEqual([]);
  await change(writer, other);
  expect(told).toEqual([handle]);
  await change(writer, other);
  expect(told).toEqual([handle]);
});

test('what changes before the answer is sent is not in it, and there is nothing to be told of', async () => {
  const { rig, client } = await startWith('bytes');
  const told = listen(client);
  const opened = await client.ask('fs.open', mayTell);
  const writer = rig.client(inPlace);
  await writer.write(await writer.open(['f'], resume), 'X', 0);
  expect([opened.content, told]).toEqual([undefined, []]);
  await client.ask('fs.release', { handle: opened.handle, keepPartial: false });
  expect(rig.event('file.download')).toBeUndefined();
});

test('who has let go of it is not told of changes', async () => {
  const { rig, client } = await startWith('bytes');
  const told = listen(client);
  const { handle } = await openWithContent(client);
  await client.ask('fs.release', { handle, keepPartial: false });
  const writer = rig.client(inPlace);
  await writer.write(await writer.open(['f'], resume), 'X', 0);
  await settle();
  expect(told).toEqual([]);
});

test.each([
  ['its session ended', (client: Client) => client.end()],
  [
    'its link was lost',
    (client: Client) => {
      client.link = Object.assign(client.link, { isOpen: false });
    },
  ],
  [
    'the right to read was taken away',
    (client: Client) => {
      client.user = userOf('alice', [mountOf([], ['alice'], ['list', 'write'])]);
    },
  ],
])('a content is not told any more when %s before it was sent', async (_what, happens) => {
  const { client } = await startWith('bytes');
  const opened = await client.ask('fs.open', mayTell);
  happens(client);
  expect(opened.content).toBeUndefined();
});

test('an open that is sent again after its file was let go of tells nothing that no record would say', async () => {
  const { rig, client } = await startWith('bytes');
  const opened = await client.ask('fs.open', mayTell);
  await client.ask('fs.release', { handle: opened.handle, keepPartial: false });
  expect([opened.content, rig.records]).toEqual([undefined, []]);
});

test('a file that somebody is writing comes by streams: a write may be under way', async () => {
  const { rig, client } = await startWith('bytes');
  const writer = rig.client(inPlace);
  const handle = await writer.open(['f'], resume);
  expect(await contentOf(client)).toBeUndefined();
  await writer.write(handle, 'B', 0);
  await writer.ask('fs.commit', { handle });
  expect(await contentOf(client)).toBe(bytesOf('Bytes'));
});

test('a small file is written by a request, once, and is there after a kill of main', async () => {
  const { rig, client } = await startWith('before');
  const staged = rig.client('alice');
  const { handle, writeUpTo } = await staged.ask('fs.open', { path: ['new'], mode: newFile });
  expect(writeUpTo).toBe(toldContentBytesMax);
  await staged.ask('fs.write', { handle, offset: 0, content: bytesOf('small') });
  await rig.restart();
  // Whose answer was lost: it is sent again, and is the same write.
  await staged.ask('fs.write', { handle, offset: 0, content: bytesOf('small') });
  const { sha256: digest } = await staged.ask('fs.commit', { handle });
  expect(digest).toBe(sha256('small'));
  expect((await client.get(['new'])).toString()).toBe('small');
});

test('a write by a request is held to what a stream is held to', async () => {
  const { rig } = await startWith('before');
  const user = userOf('alice', undefined, { quotaBytes: 10 });
  const client = rig.client(user);
  const write = (handle: number) =>
    client.ask('fs.write', { handle, offset: 0, content: bytesOf('12345678') });
  const handle = await client.open(['new'], newFile);
  await expect(write(handle)).rejects.toMatchObject({ code: 'quota-exceeded' });
  await expect(write(await client.open(['f'], reading))).rejects.toMatchObject({ code: 'bad-handle' });
  await expect(write(handle + 1)).rejects.toMatchObject({ code: 'bad-handle' });
  client.user = { ...user, quotaBytes: undefined, limits: { ...user.limits, uploadBytesPerSecond: 1e6 } };
  await expect(write(handle)).rejects.toMatchObject({ code: 'busy' });
  const again = await client.ask('fs.open', { path: ['newer'], mode: newFile });
  expect(again.writeUpTo).toBeUndefined();
  client.user = { ...user, mounts: [mountOf([], ['alice'], ['read'])] };
  await expect(write(handle)).rejects.toMatchObject({ code: 'permission-denied' });
});

test('what is appended goes by streams', async () => {
  const { client } = await startWith('log');
  const mode = { ...resume, append: true };
  expect((await client.ask('fs.open', { path: ['f'], mode })).writeUpTo).toBeUndefined();
});
