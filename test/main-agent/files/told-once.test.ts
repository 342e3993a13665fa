/**
 * What the audit has of operations that a node sends again because main was killed: each once, whether or not the killed
 * process had told it.
 */
import { expect, test } from 'vitest';
import { onEachStorage } from './on-each-storage.ts';
import { type Client, newFile, randomContent, reading, startRig, type StorageRig } from './rig.ts';

const size = 1_000_000;
const clientOf = (rig: StorageRig, protocol: 'https' | 'sftp' = 'sftp'): Client =>
  rig.client('alice', protocol, 'one-session');

/** Events with the names they are about. */
const toldBy = (rig: StorageRig): string[] =>
  rig.records.map(({ event, path, toPath }) => [event, path, toPath].filter(Boolean).join(' ')).toSorted();

for (const [when, isLost] of [
  ['before its record was written', true],
  ['after its record was written', false],
] as const) {
  onEachStorage(
    `a change whose main was killed ${when} has one record when it was sent again`,
    async (start) => {
      const rig = await start();
      const before = clientOf(rig);
      for (const name of ['a', 'gone', 'kept']) await before.put([name], name);
      await before.ask('fs.make-folder', { path: ['old'] });
      const handle = await before.open(['f'], newFile);
      await before.write(handle, 'whole');
      const own = await before.open(['own'], newFile);
      await before.write(own, 'being written');
      const changes: ((client: Client, op: number) => Promise<unknown>)[] = [
        (client, op) => client.askAs('fs.rename', { from: ['a'], to: ['b'], overwrite: false }, op),
        (client, op) => client.askAs('fs.rename', { from: ['own'], to: ['mine'], overwrite: false }, op),
        (client, op) => client.askAs('fs.remove-file', { path: ['gone'] }, op),
        (client, op) => client.askAs('fs.make-folder', { path: ['new'] }, op),
        (client, op) => client.askAs('fs.remove-folder', { path: ['old'], recursive: false }, op),
        (client, op) => client.askAs('fs.copy', { from: ['kept'], to: ['copy'], overwrite: false }, op),
        (client, op) =>
          client.askAs('fs.change', { path: ['kept'], change: { mode: 0o640 }, followLinks: true }, op),
        (client, op) => client.askAs('fs.commit', { handle }, op),
      ];
      rig.records.length = 0;
      rig.losesRecords = isLost;
      for (const [index, change] of changes.entries())
        await (isLost ? rig.doneUntold(() => change(before, 1000 + index)) : change(before, 1000 + index));
      await rig.restart();
      rig.losesRecords = false;
      const after = clientOf(rig);
      for (const [index, change] of changes.entries()) await change(after, 1000 + index);
      expect(toldBy(rig)).toEqual([
        'file.attributes /kept',
        'file.copy /kept /copy',
        'file.delete /gone',
        'file.delete /old',
        'file.mkdir /new',
        'file.rename /a /b',
        'file.rename /own /mine',
        'file.upload /f',
      ]);
      expect(rig.event('file.upload')).toMatchObject({ outcome: 'ok', bytes: 5 });
    },
  );

  test.each(['https', 'sftp'] as const)(
    `a whole download over %s whose main was killed ${when} has one record, ok and of its length`,
    async (protocol) => {
      const { rig, handle } = await startReading(protocol);
      const taken = { bytes: size, end: size };
      const params = { handle, keepPartial: false, taken, ...(protocol === 'https' && { cut: false }) };
      rig.losesRecords = isLost;
      await clientOf(rig, protocol).read(handle);
      const release = (): Promise<unknown> => clientOf(rig, protocol).ask('fs.release', params);
      await (isLost ? rig.doneUntold(release) : release());
      await rig.restart();
      rig.losesRecords = false;
      // Nobody needs the file any more to tell that it was read.
      await clientOf(rig, protocol).ask('fs.remove-file', { path: ['f'] });
      rig.records.splice(
        0,
        rig.records.length,
        ...rig.records.filter(({ event }) => event !== 'file.delete'),
      );
      for (let turn = 0; turn < 2; turn += 1) await clientOf(rig, protocol).ask('fs.release', params);
      expect(toldBy(rig)).toEqual(['file.download /f']);
      expect(rig.records[0]).toMatchObject({ outcome: 'ok', bytes: size });
    },
  );
}

async function startReading(protocol: 'https' | 'sftp'): Promise<{ rig: StorageRig; handle: number }> {
  const rig = await startRig();
  const client = clientOf(rig, protocol);
  await client.put(['f'], randomContent(size));
  rig.records.length = 0;
  return { rig, handle: await client.open(['f'], reading) };
}

test.each([
  ['https', { cut: true }, 'cut'],
  ['sftp', { cut: true }, 'cut'],
  ['sftp', {}, 'partial'],
] as const)(
  'a download over %s that ended early, %o, while main was away is %s',
  async (protocol, how, outcome) => {
    const { rig, handle } = await startReading(protocol);
    await clientOf(rig, protocol).read(handle, { lengthBytes: 1_000 });
    await rig.restart();
    const taken = { bytes: 1_000, end: 1_000 };
    await clientOf(rig, protocol).ask('fs.release', { handle, keepPartial: false, taken, ...how });
    expect(rig.records).toMatchObject([
      { event: 'file.download', outcome, bytes: 1_000, size, acknowledged: 1_000 },
    ]);
  },
);

test.each([
  ['whole', 0, 'ok'],
  ['cut when its client left in the rest', 1, 'cut'],
])(
  'a download that went on after a kill is %s, and its record has no byte twice',
  async (_which, missing, outcome) => {
    const { rig, handle } = await startReading('https');
    await clientOf(rig, 'https').read(handle, { lengthBytes: size });
    await rig.restart();
    await clientOf(rig, 'https').read(handle, { offset: 600_000, lengthBytes: size - 600_000 });
    const taken = { bytes: size - missing, end: size - missing };
    await clientOf(rig, 'https').ask('fs.release', { handle, keepPartial: false, taken, cut: missing > 0 });
    expect(rig.records).toMatchObject([{ event: 'file.download', outcome, bytes: size - missing }]);
  },
);

test('a change, a commit and the end of a download are answered once their record is durable', async () => {
  const isDurable = Promise.withResolvers<void>();
  let asked = 0;
  const append = (): Promise<void> => {
    asked += 1;
    return asked > 1 ? isDurable.promise : Promise.resolve();
  };
  const rig = await startRig({ audit: { append } });
  const client = rig.client();
  await client.put(['f'], 'content');
  const [read, written] = [await client.open(['f'], reading), await client.open(['g'], newFile)];
  await client.read(read);
  await client.write(written, 'content');
  const answered: string[] = [];
  const answers = [
    client.ask('fs.make-folder', { path: ['d'] }),
    client.ask('fs.commit', { handle: written }),
    client.ask('fs.release', { handle: read, keepPartial: false, taken: { bytes: 7, end: 7 } }),
    // Over the next link.
    client.ask('fs.release', { handle: read, keepPartial: false, taken: { bytes: 7, end: 7 } }),
  ].map((answer, index) => answer.then(() => answered.push(String(index))));
  await expect.poll(() => asked).toBe(4);
  expect(answered).toEqual([]);
  isDurable.resolve();
  await Promise.all(answers);
});

test('a number that was used for something else, or once more, keeps no record back', async () => {
  const rig = await startRig();
  const client = clientOf(rig);
  for (const name of ['a', 'b', 'c']) await client.put([name], name);
  rig.records.length = 0;
  await client.askAs('fs.remove-file', { path: ['a'] }, 1000);
  await client.askAs('fs.remove-file', { path: ['b'] }, 1000);
  await client.put(['a'], 'again');
  await client.askAs('fs.remove-file', { path: ['a'] }, 1000);
  await rig.restart();
  await clientOf(rig).askAs('fs.remove-file', { path: ['c'] }, 1000);
  const removed = rig.records.filter(({ event }) => event === 'file.delete').map(({ path }) => path);
  expect(removed).toEqual(['/a', '/b', '/a', '/c']);
});

test.each([
  ['told by the main before', false],
  ['told by this one', true],
])('nobody reads on through a handle whose end was %s, and was told once', async (_which, isAfterKill) => {
  const { rig, handle } = await startReading('sftp');
  const end = { handle, keepPartial: false, taken: { bytes: 1, end: 1 } };
  if (!isAfterKill) {
    await clientOf(rig).read(handle, { lengthBytes: 1 });
    await clientOf(rig).ask('fs.release', end);
  }
  await rig.restart();
  if (isAfterKill) await clientOf(rig).ask('fs.release', end);
  await expect(clientOf(rig).read(handle)).rejects.toMatchObject({ code: 'bad-handle' });
  await rig.restart();
  await expect(clientOf(rig).read(handle)).rejects.toMatchObject({ code: 'bad-handle' });
  await clientOf(rig).ask('fs.release', end);
  expect(rig.records).toMatchObject([{ event: 'file.download', outcome: 'partial' }]);
});

onEachStorage(
  'S-14: a change whose record the state takes only later is answered then, and not before',
  async (start) => {
    const rig = await start();
    const client = clientOf(rig);
    rig.losesRecords = true;
    let answered = false;
    const change = (): Promise<unknown> =>
      client.ask('fs.make-folder', { path: ['new'] }).then(() => (answered = true));
    const doing = change();
    await rig.doneUntold(() => doing);
    expect(await client.names()).toEqual(['new']);
    expect(answered).toBe(false);
    rig.losesRecords = false;
    await doing;
    expect(toldBy(rig)).toEqual(['file.mkdir /new']);
  },
);

test('S-14: whoever waits for the records that are on their way has them tried again like any, then and later', async () => {
  const rig = await startRig();
  await rig.service.settled();
  rig.losesRecords = true;
  const doing = clientOf(rig).ask('fs.make-folder', { path: ['new'] });
  await rig.doneUntold(() => doing);
  let isSettled = false;
  const settling = rig.service.settled().then(() => (isSettled = true));
  // Another try that the disk does not take.
  await rig.doneUntold(() => doing);
  expect(isSettled).toBe(false);
  rig.losesRecords = false;
  await Promise.all([doing, settling]);
  expect(toldBy(rig)).toEqual(['file.mkdir /new']);
});
