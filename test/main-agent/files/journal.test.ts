import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { journalBytesMax, journalRecallMs } from '#main-agent/files/limits.ts';
import { FolderHandle } from '#main-agent/files/storage/local/folder-handle.ts';
import { LocalHidden } from '#main-agent/files/storage/local/local-hidden.ts';
import { Journal } from '#main-agent/files/storage/book/journal.ts';
import { buildLog } from '#shared/log.ts';
import { SettableClock } from './rig.ts';

const reader = { session: 's', handle: 7, virtualPath: ['f'], etag: 'e', fileId: 'i', startedAtMs: 1 };
const intent = (operation: number, id = 'x') => ({ session: 's', operation, id, replaced: false });

async function startJournals() {
  const path = await fs.mkdtemp(join(tmpdir(), 'sallyport-journal-'));
  const base = await FolderHandle.openBase(path);
  const folder = await LocalHidden.open(base, 'staging');
  const clock = new SettableClock();
  onTestFinished(async () => {
    await folder.close();
    await base.close();
    await fs.rm(path, { recursive: true });
  });
  return {
    clock,
    file: join(path, 'staging', 'operations.journal'),
    open: () => Journal.open(folder, clock, buildLog('silent', {})),
  };
}

test('intents and readers are there for the next process, for their session, and for a while only', async () => {
  const { open, clock } = await startJournals();
  const first = await open();
  first.noteReader(reader);
  await first.note(intent(1));
  expect(first.recall(intent(1))).toBeUndefined();
  await first.close();
  const second = await open();
  expect(second.recall(intent(1))).toMatchObject(intent(1));
  expect(second.recall(intent(2))).toBeUndefined();
  expect(second.recall({ session: 'other', operation: 1 })).toBeUndefined();
  expect(second.recallReader('s', 7)).toMatchObject(reader);
  expect(second.recallReader('other', 7)).toBeUndefined();
  clock.aheadMs += journalRecallMs + 1;
  expect(second.recall(intent(1))).toBeUndefined();
  expect(second.recallReader('s', 7)).toBeUndefined();
  await second.close();
});

test('the file stays small and open readers outlive its being written anew', async () => {
  const { open, file } = await startJournals();
  const first = await open();
  first.noteReader(reader);
  first.noteReader({ ...reader, handle: 8 });
  first.forgetReader(8);
  const wide = 'x'.repeat(100_000);
  for (let operation = 0; operation < 100; operation += 1) await first.note(intent(operation, wide));
  await first.close();
  expect((await fs.stat(file)).size).toBeLessThanOrEqual(journalBytesMax + 200_000);
  const second = await open();
  expect(second.recallReader('s', 7)).toMatchObject(reader);
  expect(second.recallReader('s', 8)).toBeUndefined();
  expect(second.recall(intent(99))).toBeDefined();
  await second.close();
});

test('lines that come at the same time are all written', async () => {
  const { open } = await startJournals();
  const first = await open();
  await Promise.all(Array.from({ length: 500 }, (_, operation) => first.note(intent(operation))));
  await first.close();
  const second = await open();
  for (const operation of [0, 1, 250, 499]) expect(second.recall(intent(operation))).toBeDefined();
  await second.close();
});

test('a line cut off by a kill, junk and another schema are ignored, the rest is read', async () => {
  const { open, file } = await startJournals();
  const first = await open();
  await first.note(intent(1));
  await first.close();
  await fs.appendFile(file, '{"kind":"other"}\nnull\n{"kind":"intent","sess');
  const second = await open();
  expect(second.recall(intent(1))).toBeDefined();
  await second.note(intent(2));
  await second.close();
  const third = await open();
  for (const operation of [1, 2]) expect(third.recall(intent(operation))).toBeDefined();
  await third.close();
});

test('a journal that can not be written anew costs no descriptor, however often it is tried', async () => {
  const { open, file } = await startJournals();
  const journal = await open();
  const wide = 'x'.repeat(100_000);
  for (let operation = 0; operation < 42; operation += 1) await journal.note(intent(operation, wide));
  await fs.rm(file);
  await fs.mkdir(join(file, 'in the way'), { recursive: true });
  for (let operation = 42; operation < 47; operation += 1) await journal.note(intent(operation, wide));
  expect(await openNames(`${file}-new`)).toEqual([]);
  await journal.close();
});

test('a journal of many open files with the longest names is read by the next process', async () => {
  const { open, file } = await startJournals();
  const first = await open();
  first.noteReader(reader);
  await first.close();
  const long = Array.from({ length: 16 }, () => '"'.repeat(255));
  const line = (handle: number) =>
    JSON.stringify({ kind: 'reader', ...reader, handle, virtualPath: long }) + '\n';
  const lines = Array.from({ length: 4096 }, (_, index) => line(index + 100));
  await fs.appendFile(file, lines.join(''));
  const second = await open();
  expect(second.recallReader('s', 7)).toMatchObject(reader);
  expect(second.recallReader('s', 4195)).toBeDefined();
  await second.close();
});

/** Of this process's descriptors, what those of that name lead to. */
async function openNames(path: string): Promise<string[]> {
  const numbers = await fs.readdir('/proc/self/fd');
  const targets = await Promise.all(
    numbers.map((number) => fs.readlink(`/proc/self/fd/${number}`).catch(() => '')),
  );
  return targets.filter((target) => target.startsWith(path));
}
