/** What earlier versions of main left on a disk is read as it was meant. The texts here are theirs and never change. */
import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import { resume, startRig } from './rig.ts';

test('a broken upload and an entry of the bin that an earlier version left are there', async () => {
  const rig = await startRig();
  await rig.close();
  await rig.medium.mkdir('alice');
  await rig.medium.mkdir('.sallyport-staging', 'bin');
  const { dev, ino, birthtimeNs } = await fs.stat(rig.path('alice'), { bigint: true });
  const at = Date.now();
  const write = (name: string, content: string) =>
    fs.writeFile(rig.path('.sallyport-staging', ...name.split('/')), content);
  await write('1z4kq.part', 'first half, ');
  await write(
    '1z4kq.json',
    `{"id":"1z4kq","user":"alice","session":"s","virtualPath":["new"],"place":{"root":["alice"],"path":["new"]},` +
      `"startedAtMs":${at},"exclusive":false,"append":false,"readable":false,"operation":7,"replaces":false,` +
      `"folderId":"${dev}:${ino}:${birthtimeNs}","partId":"1:2:3","left":true}`,
  );
  await write(
    'operations.journal',
    '{"kind":"intent","session":"s","operation":9,"id":"1:2:3","replaced":false}\n',
  );
  await write('bin/AAAAAAAAAAAAAAAAAAAAAA', 'was deleted');
  await write(
    'bin/AAAAAAAAAAAAAAAAAAAAAA.json',
    `{"id":"AAAAAAAAAAAAAAAAAAAAAA","user":"alice","virtualPath":["gone"],"place":{"root":["alice"],"path":["gone"]},` +
      `"type":"file","bytes":11,"atMs":${at},"expiresAtMs":${at + 3_600_000},"reason":"deleted","isCounted":true,` +
      `"session":"s","operation":8}`,
  );
  await rig.start();
  const client = rig.client();
  const opened = await client.ask('fs.open', { path: ['new'], mode: resume });
  expect(opened).toMatchObject({ created: true, attributes: { size: 12 } });
  await client.write(opened.handle, 'second half', 12);
  await client.ask('fs.commit', { handle: opened.handle });
  expect((await client.get(['new'])).toString()).toBe('first half, second half');
  const page = rig.client('alice', 'https');
  expect((await page.ask('fs.list-bin', { limit: 10 })).entries).toMatchObject([
    { path: ['gone'], bytes: 11 },
  ]);
  await page.ask('fs.restore-binned', { id: 'AAAAAAAAAAAAAAAAAAAAAA', keepBoth: false });
  expect((await page.get(['gone'])).toString()).toBe('was deleted');
});
