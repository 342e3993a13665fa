import { expect, test } from 'vitest';
import { newFile, randomContent, reading, resume, startRig } from './rig.ts';

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** Everything a gone process had open is closed, and the records are written. */
async function settled(records: readonly unknown[], count: number): Promise<void> {
  for (let turn = 0; turn < 1_000 && records.length < count; turn += 1) await settle();
}

test('what a node process had open ends with it, at once: uploads can be taken up again, and there are records', async () => {
  const rig = await startRig();
  const client = rig.client('alice', 'https');
  await client.put(['old'], randomContent(3_000_000));
  rig.records.length = 0;
  const upload = await client.open(['new'], newFile);
  const bytes = randomContent(200_000);
  client.stream({ kind: 'write', handle: upload }).send(bytes.subarray(0, 60_000));
  const download = await client.open(['old'], reading);
  const reader = client.stream({ kind: 'read', handle: download });
  reader.isPaused = true;
  await settle();
  const end = client.changeProcess();
  expect(rig.records).toEqual([]);
  end();
  await settled(rig.records, 2);
  expect(rig.records.map(({ event, path }) => `${event} ${path}`).sort()).toEqual([
    'file.download /old',
    'file.upload /new',
  ]);
  await expect(reader.received()).rejects.toMatchObject({ code: 'link-down' });
  // The session lives on, and finds the upload kept.
  const again = await client.open(['new'], resume);
  expect((await client.ask('fs.stat-handle', { handle: again })).size).toBe(60_000);
  await client.write(again, bytes.subarray(60_000), 60_000);
  await client.ask('fs.commit', { handle: again });
  expect((await client.get(['new'])).equals(bytes)).toBe(true);
});

test('nothing of a live process of the same node, in the same session, is touched', async () => {
  const rig = await startRig();
  const client = rig.client('alice', 'https');
  const bytes = randomContent(100_000);
  await client.put(['f'], bytes);
  const ofTheFirst = await client.open(['f'], reading);
  const end = client.changeProcess();
  const ofTheSecond = await client.open(['f'], reading);
  const uploadOfTheSecond = await client.open(['g'], newFile);
  // A live process may use what another one opened; it goes with the one that opened it.
  expect((await client.read(ofTheFirst)).equals(bytes)).toBe(true);
  end();
  await settle();
  expect((await client.read(ofTheSecond)).equals(bytes)).toBe(true);
  await client.write(uploadOfTheSecond, bytes);
  await client.ask('fs.commit', { handle: uploadOfTheSecond });
  await expect(client.read(ofTheFirst)).rejects.toMatchObject({ code: 'bad-handle' });
});

test('what a process is still opening when it ends is not left open behind it', async () => {
  const rig = await startRig();
  const client = rig.client('alice', 'https');
  const opening = client.open(['new'], newFile);
  client.changeProcess()();
  await expect(opening).rejects.toMatchObject({ code: 'link-down' });
  expect(rig.service.transfers.list()).toEqual([]);
  await client.put(['new'], 'whole');
  expect((await client.get(['new'])).toString()).toBe('whole');
});
