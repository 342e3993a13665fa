import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import { breakFiles } from '#test/harness/faulty-files.ts';
import { type Client, exclusive, newFile, resume, type Rig, startRig } from './rig.ts';

/**
 * Does something once for each step that it takes on the disk, and main is killed at that step: nothing of it nor of what
 * follows reaches the disk, and another process begins. Resolves when it was done without a kill.
 */
async function killAtEachStep(
  prepare: (rig: Rig) => Promise<{ readonly act: () => Promise<unknown>; check: () => Promise<void> }>,
): Promise<void> {
  for (let at = 1; at < 100; at += 1) {
    const rig = await startRig();
    const { act, check } = await prepare(rig);
    const files = breakFiles({ at, how: 'fails' });
    await Promise.allSettled([act()]);
    files.restore();
    await rig.restart();
    expect({ at, halves: await halvesIn(rig) }).toEqual({ at, halves: [] });
    await check();
    await rig.close();
    // One that takes no step at all would test nothing.
    if (files.steps < at && at > 2) return;
  }
  throw new Error('it takes more steps than looked at');
}

/** What lies in the staging folder and belongs to nothing: bytes nobody can take up, records without bytes. */
async function halvesIn(rig: Rig): Promise<string[]> {
  const names = await rig.staged();
  return names.filter((name) => {
    const [id = '', kind = ''] = name.split('.');
    if (kind === 'part') return !names.includes(`${id}.json`);
    if (kind === 'json') return !names.includes(`${id}.part`);
    return kind.endsWith('-new');
  });
}

/** The same session, in the next process. */
const again = (rig: Rig, { session }: Client): Client => rig.client('alice', session.protocol, session.key);

test('an upload whose name was answered is found and goes on, whichever step of taking it up main was killed at', async () => {
  await killAtEachStep(async (rig) => {
    const client = rig.client('alice', 'https');
    const { upload } = await client.ask('fs.create-upload', {
      path: ['f'],
      lengthBytes: 8,
      overwrite: false,
    });
    const { handle } = await client.ask('fs.open-upload', { upload });
    await client.write(handle, 'half');
    await client.ask('fs.release', { handle, keepPartial: true });
    const open = (who: Client) => who.askAs('fs.open-upload', { upload }, 100);
    return {
      act: async () => {
        const opened = await open(client);
        await client.ask('fs.release', { handle: opened.handle, keepPartial: true });
      },
      check: async () => {
        const next = again(rig, client);
        expect((await next.ask('fs.find-upload', { upload })).storedBytes).toBe(4);
        const opened = await open(next);
        expect(opened.upload.storedBytes).toBe(4);
        await next.write(opened.handle, 'more', 4);
        await next.ask('fs.commit', { handle: opened.handle });
        expect((await next.get(['f'])).toString()).toBe('halfmore');
        expect(await halvesIn(rig)).toEqual([]);
      },
    };
  });
});

test('an upload that broke off is gone on with by another session, whichever step of that main was killed at', async () => {
  await killAtEachStep(async (rig) => {
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'half');
    await client.ask('fs.release', { handle, keepPartial: true });
    const other = rig.client();
    return {
      act: async () => {
        const opened = await other.open(['f'], resume);
        await other.ask('fs.release', { handle: opened, keepPartial: true });
      },
      check: async () => {
        const next = rig.client();
        const opened = await next.ask('fs.open', { path: ['f'], mode: resume });
        expect(opened.attributes.size).toBe(4);
        await next.ask('fs.commit', { handle: opened.handle });
        expect(await halvesIn(rig)).toEqual([]);
      },
    };
  });
});

test('an upload that is begun when main is killed leaves nothing, or what its session can go on with', async () => {
  await killAtEachStep(async (rig) => {
    const client = rig.client();
    const open = (who: Client) => who.askAs('fs.open', { path: ['f'], mode: newFile }, 100);
    return {
      act: async () => client.write((await open(client)).handle, 'bytes'),
      check: async () => {
        const next = again(rig, client);
        const { handle } = await open(next);
        await next.write(handle, 'bytes');
        await next.ask('fs.commit', { handle });
        expect((await next.get(['f'])).toString()).toBe('bytes');
        expect(await halvesIn(rig)).toEqual([]);
      },
    };
  });
});

test('a commit that is sent again is a success, whichever step of it main was killed at', async () => {
  await killAtEachStep(async (rig) => {
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'bytes');
    return {
      act: () => client.ask('fs.commit', { handle }),
      check: async () => {
        const next = again(rig, client);
        await next.ask('fs.commit', { handle });
        expect((await next.get(['f'])).toString()).toBe('bytes');
        expect(await halvesIn(rig)).toEqual([]);
      },
    };
  });
});

test('a commit is no success where somebody removed the bytes from the staging folder while main was down', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'] });
  const handles: number[] = [];
  for (const path of [['f'], ['d', 'f']]) {
    const handle = await client.open(path, newFile);
    await client.write(handle, 'bytes');
    handles.push(handle);
  }
  await rig.close();
  await rig.medium.rm('alice', 'd');
  for (const name of await rig.staged())
    if (name.endsWith('.part')) await fs.rm(rig.path('.sallyport-staging', name));
  await rig.start();
  expect(await rig.staged()).toEqual([]);
  for (const handle of handles) {
    const sentAgain = again(rig, client).ask('fs.commit', { handle });
    await expect(sentAgain).rejects.toMatchObject({ code: 'bad-handle' });
  }
});

test('an upload that is given up when main is killed leaves nothing once it is given up again', async () => {
  await killAtEachStep(async (rig) => {
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'bytes');
    const release = { handle, keepPartial: false };
    return {
      act: () => client.ask('fs.release', release),
      check: async () => {
        await again(rig, client).ask('fs.release', release);
        expect(await rig.staged()).toEqual([]);
      },
    };
  });
});

test('a copy that is sent again is made, whichever step of it main was killed at, and is no upload to go on with', async () => {
  for (const isSentAgain of [true, false])
    await killAtEachStep(async (rig) => {
      const client = rig.client();
      await client.put(['f'], 'bytes');
      const copy = (who: Client) =>
        who.askAs('fs.copy', { from: ['f'], to: ['copy'], overwrite: false }, 100);
      return {
        act: () => copy(client),
        check: async () => {
          const next = again(rig, client);
          if (isSentAgain) await copy(next);
          expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
          // In no listing it is not opened nor broken off either: as if it had not been begun.
          const isThere = (await next.names()).includes('copy');
          if (!isThere) await next.ask('fs.make-folder', { path: ['copy'] });
          expect(isThere || !isSentAgain).toBe(true);
          expect(isThere ? (await next.get(['copy'])).toString() : 'bytes').toBe('bytes');
        },
      };
    });
});

test('bytes whose record was cut off are removed when main begins, those of a record it does not know wait', async () => {
  const rig = await startRig();
  await rig.close();
  const write = (name: string, content: string) =>
    fs.writeFile(rig.path('.sallyport-staging', name), content);
  await write('1.part', 'bytes');
  await write('1.json', '{"id":"1","user":"ali');
  await write('2.part', 'bytes');
  await write('2.json', '{"version":2}');
  await write('3.part', 'bytes');
  await write('4.json', '{"id":"4","user":"ali');
  await rig.start();
  expect(await rig.staged()).toEqual(['2.json', '2.part']);
});

test('an upload that was killed when its file had both its names is that file, and nobody writes on into it', async () => {
  const rig = await startRig();
  const client = rig.client();
  const handle = await client.open(['f'], exclusive);
  await client.write(handle, 'whole');
  await rig.close();
  const part =
    (await fs.readdir(rig.path('.sallyport-staging'))).find((name) => name.endsWith('.part')) ?? '';
  await fs.link(rig.path('.sallyport-staging', part), rig.path('alice', 'f'));
  await rig.start();
  const other = rig.client('alice');
  await other.ask('fs.rename', { from: ['f'], to: ['g'], overwrite: false });
  await other.put(['f'], 'other', resume);
  expect((await other.get(['g'])).toString()).toBe('whole');
  // Nobody heard the answer of its commit.
  const late = again(rig, client).ask('fs.commit', { handle });
  await expect(late).rejects.toMatchObject({ code: 'bad-handle' });
});
