import { expect, test } from 'vitest';
import { SallyportError } from '#shared/error.ts';
import type { FakeStream } from './fake-stream.ts';
import { type Client, newFile, randomContent, reading, startRig, type StorageRig } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const size = 3_000_000;
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

async function startWithFile(
  protocol: 'https' | 'sftp',
): Promise<{ rig: StorageRig; client: Client; handle: number }> {
  const rig = await startRig();
  const client = rig.client('alice', protocol);
  await client.put(['f'], randomContent(size));
  rig.records.length = 0;
  return { rig, client, handle: await client.open(['f'], reading) };
}

/** A reader whose client takes `bytes` of what main sends, and then no more. */
async function takeSome(client: Client, handle: number, bytes: number): Promise<FakeStream> {
  const stream = client.stream({ kind: 'read', handle });
  stream.isPaused = true;
  for (let turn = 0; turn < 1_000 && stream.receivedBytes === 0; turn += 1) await settle();
  stream.acknowledgedBytes = bytes;
  stream.onAcknowledged(bytes);
  return stream;
}

const whole = { bytes: size, end: size };

test('a page’s download is ok when its client has taken the range, and cut when it has not, though main sent it', async () => {
  const { rig, client, handle } = await startWithFile('https');
  await client.read(handle, { offset: 1_000_000, lengthBytes: 1_000_000 });
  const taken = { bytes: 1_000_000, end: 2_000_000 };
  await client.ask('fs.release', { handle, keepPartial: false, taken });
  expect(rig.event('file.download')).toMatchObject({ outcome: 'ok', bytes: 1_000_000 });
  rig.records.length = 0;
  const next = await client.open(['f'], reading);
  await client.read(next);
  await client.ask('fs.release', {
    handle: next,
    keepPartial: false,
    taken: { bytes: size - 1, end: size - 1 },
  });
  expect(rig.event('file.download')).toMatchObject({
    outcome: 'cut',
    bytes: size,
    size,
    acknowledged: size - 1,
  });
});

test('a client that goes away at the beginning has what it took, not what was sent ahead', async () => {
  const { rig, client, handle } = await startWithFile('https');
  const stream = await takeSome(client, handle, 0);
  stream.onReset(new SallyportError('bad-request', 'The client went away'));
  await client.ask('fs.release', { handle, keepPartial: false, taken: { bytes: 1_000, end: 1_000 } });
  const record = rig.event('file.download');
  expect(record).toMatchObject({ outcome: 'cut', size, acknowledged: 1_000 });
  expect(record?.bytes).toBeGreaterThan(200_000);
});

test.each([
  ['whole when both pieces together are', 0, 'ok'],
  ['cut when the second was not taken to its end', 1, 'cut'],
])('a download that goes on after a lost link is %s', async (_which, missing, outcome) => {
  const { rig, client, handle } = await startWithFile('https');
  const stream = await takeSome(client, handle, 100_000);
  stream.onReset(new SallyportError('link-down', 'lost'));
  await client.read(handle, { offset: 200_000, lengthBytes: size - 200_000 });
  const taken = { bytes: size - missing, end: size - missing };
  await client.ask('fs.release', { handle, keepPartial: false, taken });
  // More was sent: what the first piece had under way came again in the second.
  expect(rig.event('file.download')).toMatchObject({ outcome, bytes: size });
});

test('when the node is gone nobody says what its client took: what the node gave credit for counts', async () => {
  const { rig, client, handle } = await startWithFile('https');
  await takeSome(client, handle, 150_000);
  client.changeProcess()();
  for (let turn = 0; turn < 1_000 && rig.records.length === 0; turn += 1) await settle();
  expect(rig.event('file.download')).toMatchObject({ outcome: 'cut', size, acknowledged: 150_000 });
});

test('over SFTP it is partial when the client closes before the end, cut when its connection goes, ok at the end', async () => {
  const { rig, client, handle } = await startWithFile('sftp');
  const end = async (number: number, more: object): Promise<void> => {
    rig.records.length = 0;
    await client.ask('fs.release', { handle: number, keepPartial: false, ...more });
  };
  await client.read(handle, { lengthBytes: 1_000 });
  await end(handle, { taken: { bytes: 1_000, end: 1_000 } });
  expect(rig.event('file.download')).toMatchObject({ outcome: 'partial', size, acknowledged: 1_000 });
  const cut = await client.open(['f'], reading);
  await client.read(cut, { lengthBytes: 1_000 });
  await end(cut, { taken: { bytes: 1_000, end: 1_000 }, cut: true });
  expect(rig.event('file.download')).toMatchObject({ outcome: 'cut', size, acknowledged: 1_000 });
  const all = await client.open(['f'], reading);
  await client.read(all);
  await end(all, { taken: whole });
  expect(rig.event('file.download')).toMatchObject({ outcome: 'ok', bytes: size });
  // The last thousand bytes three thousand times are not the file.
  const again = await client.open(['f'], reading);
  await client.read(again, { offset: size - 1_000 });
  await end(again, { taken: { bytes: 1_000, end: size } });
  expect(rig.event('file.download')).toMatchObject({ outcome: 'partial' });
});

onEachStorage(
  'an upload is cut when its client did not end it, and failed when it could not be stored',
  async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const broken = await client.open(['f'], newFile);
    client.stream({ kind: 'write', handle: broken }).send(randomContent(1_000));
    await settle();
    await client.ask('fs.release', { handle: broken, keepPartial: false, cut: true });
    expect(rig.event('file.upload')).toMatchObject({ outcome: 'cut', bytes: 1_000 });
    rig.records.length = 0;
    const taken = await client.open(['g'], newFile);
    await expect(
      client.ask('fs.commit', { handle: taken, precondition: { ifMatch: ['other'] } }),
    ).rejects.toMatchObject({ code: 'precondition-failed' });
    expect(rig.event('file.upload')).toMatchObject({ outcome: 'failed' });
  },
);

onEachStorage(
  'of a resumable upload a piece that came whole is partial, one that broke off is cut; both say how long it is to be',
  async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const { upload } = await client.ask('fs.create-upload', {
      path: ['f'],
      lengthBytes: 10_000,
      overwrite: false,
    });
    for (const [cut, outcome] of [
      [undefined, 'partial'],
      [true, 'cut'],
    ] as const) {
      rig.records.length = 0;
      const { handle, attributes } = await client.ask('fs.open-upload', { upload });
      await client.write(handle, randomContent(1_000), attributes.size);
      await client.ask('fs.release', { handle, keepPartial: true, ...(cut && { cut }) });
      expect(rig.event('file.upload')).toMatchObject({ outcome, size: 10_000 });
    }
  },
);

test('what ended is counted by direction and outcome', async () => {
  const { rig, client, handle } = await startWithFile('sftp');
  await client.read(handle, { lengthBytes: 1_000 });
  await client.ask('fs.release', { handle, keepPartial: false, taken: { bytes: 1_000, end: 1_000 } });
  const counts = rig.service.transferCounts();
  expect(counts.map(({ direction, outcome, count }) => `${direction} ${outcome} ${count}`)).toEqual([
    'upload ok 1',
    'download partial 1',
  ]);
});
