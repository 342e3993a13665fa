import { mkdtempSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FolderHandle } from '#main-agent/files/storage/local/folder-handle.ts';
import { LocalFolder } from '#main-agent/files/storage/local/local-folder.ts';
import { Looks } from '#main-agent/files/storage/local/looks.ts';

async function openLooks() {
  const path = mkdtempSync(join(tmpdir(), 'sallyport-looks-'));
  for (let size = 0; size < 50; size += 1) {
    writeFileSync(join(path, `f${size}`), 'x'.repeat(size));
    utimesSync(join(path, `f${size}`), 1, 1_700_000_000 + size * 0.007_123_456_7);
  }
  const handle = await FolderHandle.openBase(path);
  const looks = new Looks();
  const folder = await LocalFolder.open(handle, looks, true);
  onTestFinished(async () => {
    await looks.close();
    await folder.close();
  });
  return { handle, looks, folder };
}

const all = ['f2', 'gone', 'f0', 'f1'];

test('many names are looked at in the order they were asked for, and what is gone is no number', async () => {
  const { handle, looks, folder } = await openLooks();
  expect(await looks.ask(handle, all, 'size')).toEqual(Float64Array.of(2, Number.NaN, 0, 1));
  const names = Array.from({ length: 50 }, (_, index) => `f${index}`);
  const [sizes, times] = await Promise.all([
    looks.ask(handle, ['f1'], 'size'),
    looks.ask(handle, names, 'mtimeMs'),
  ]);
  expect([...(sizes ?? [])]).toEqual([1]);
  // To the last digit: the first names of a folder are described, the others only looked at, and sorted together.
  const described = await folder.describe(names);
  expect([...(times ?? [])]).toEqual(described.map((one) => one?.mtimeMs));
});

test('what the thread can not say the folder asks for itself, or says why it can not', async () => {
  const { handle, looks, folder } = await openLooks();
  const tooLong = 'x'.repeat(256);
  expect(await looks.ask(handle, ['f1', tooLong], 'size')).toBeUndefined();
  await expect(folder.measure([tooLong], 'size')).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
  // It ends while it is asked.
  const asked = looks.ask(handle, all, 'size');
  await looks.close();
  expect([undefined, 4]).toContain((await asked)?.length);
  expect(await looks.ask(handle, all, 'size')).toBeUndefined();
  expect(await folder.measure(all, 'size')).toEqual([2, Number.NaN, 0, 1]);
});
