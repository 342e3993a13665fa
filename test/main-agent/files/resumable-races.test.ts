import { describe, expect, vi } from 'vitest';
import { StagingArea } from '#main-agent/files/storage/book/staging-area.ts';
import { uploadsMax } from '#shared/link/messages.ts';
import { type Client, codesOf, randomContent, valuesOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

async function create(client: Client, name: string, lengthBytes: number): Promise<string> {
  const made = await client.ask('fs.create-upload', { path: [name], lengthBytes, overwrite: false });
  return made.upload;
}

/** Turns of the loop in which something else may go on. */
function turns(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('an upload that is taken up by name, while it changes hands', () => {
  onEachStorage(
    `many created at once: never more than ${uploadsMax}, and none that was answered is lost`,
    async (start) => {
      const rig = await start();
      const client = rig.client('alice', 'https');
      const settled = await Promise.allSettled(
        Array.from({ length: uploadsMax + 20 }, (_, index) => create(client, `f${index}`, 1)),
      );
      expect(new Set(codesOf(settled))).toEqual(new Set(['too-many']));
      const made = valuesOf(settled);
      expect(made).toHaveLength(uploadsMax);
      const { uploads } = await client.ask('fs.list-uploads', {});
      expect(uploads.map(({ upload }) => upload).sort()).toEqual(made.sort());
    },
  );

  onEachStorage(
    'the connection that lost it lets go late: the newer one has it all the same',
    async (start) => {
      const rig = await start();
      const client = rig.client('alice', 'https');
      const upload = await create(client, 'f', 1000);
      for (let round = 0; round < 20; round += 1) {
        const stale = await client.ask('fs.open-upload', { upload });
        const opening = client.ask('fs.open-upload', { upload });
        for (let index = 0; index < round; index += 1) await turns();
        await client.ask('fs.release', { handle: stale.handle, keepPartial: true });
        const opened = await opening;
        expect((await client.ask('fs.stat-handle', { handle: opened.handle })).type).toBe('file');
        await client.ask('fs.release', { handle: opened.handle, keepPartial: true });
      }
    },
  );

  onEachStorage(
    'is found at every moment: while it is let go of, taken up, or its session ends',
    async (start) => {
      const rig = await start();
      const asking = rig.client('alice', 'https');
      const upload = await create(asking, 'f', 1000);
      const watch = async (change: Promise<unknown>): Promise<void> => {
        const over = new AbortController();
        void change.finally(() => over.abort()).catch(() => undefined);
        while (!over.signal.aborted) {
          expect((await asking.ask('fs.find-upload', { upload })).upload).toBe(upload);
          expect((await asking.ask('fs.list-uploads', {})).uploads).toHaveLength(1);
          await turns();
        }
        await change;
      };
      const client = rig.client('alice', 'https');
      const opening = client.ask('fs.open-upload', { upload });
      await watch(opening);
      const { handle } = await opening;
      await client.write(handle, randomContent(500));
      await watch(client.ask('fs.release', { handle, keepPartial: true }));
      await client.ask('fs.open-upload', { upload });
      client.end();
      for (let round = 0; round < 20; round += 1) await watch(turns());
      expect((await asking.ask('fs.find-upload', { upload })).storedBytes).toBe(500);
    },
  );

  onEachStorage('can be opened while the connection before lets go of it', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const upload = await create(client, 'f', 1000);
    const { handle } = await client.ask('fs.open-upload', { upload });
    await client.write(handle, randomContent(500));
    const releasing = client.ask('fs.release', { handle, keepPartial: true });
    const opened = await client.ask('fs.open-upload', { upload });
    expect(opened.upload.storedBytes).toBe(500);
    await releasing;
  });

  onEachStorage('a full disk while it is taken up costs nothing that was stored', async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const upload = await create(client, 'f', 1000);
    const { handle } = await client.ask('fs.open-upload', { upload });
    await client.write(handle, randomContent(500));
    await client.ask('fs.release', { handle, keepPartial: true });
    const full = vi
      .spyOn(StagingArea.prototype, 'writeRecord')
      .mockRejectedValueOnce(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    const tried = await Promise.allSettled([client.ask('fs.open-upload', { upload })]);
    full.mockRestore();
    expect(codesOf(tried)).toEqual(['no-space']);
    expect((await client.ask('fs.open-upload', { upload })).upload.storedBytes).toBe(500);
  });
});
