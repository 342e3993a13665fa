import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RemoteFile } from '#dmz/files/file-client.ts';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';

const reading = { read: true, write: false, create: 'never', truncate: false, append: false } as const;

/** The link of a main that tells a content, as far as one file needs it. */
class PlayedLink {
  readonly holders = new Map<number, () => void>();

  async request(verb: string): Promise<unknown> {
    return verb === 'fs.open' ? { handle: 7, attributes: {}, created: false, content: 'c21hbGw' } : {};
  }

  holdContent(handle: number, onChanging: () => void): () => void {
    this.holders.set(handle, onChanging);
    return () => void this.holders.delete(handle);
  }
}

let link: PlayedLink;
let file: RemoteFile;

beforeEach(async () => {
  vi.useFakeTimers();
  link = new PlayedLink();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one file asks for nothing else
  const files = buildRemoteFiles({ link: link as unknown as MainLink, session: 's' });
  file = await files.open(requireComponents(['f']), reading, {}, 100);
});

afterEach(() => {
  vi.useRealTimers();
});

test('is there from the start', () => {
  expect(file.content?.toString()).toBe('small');
});

test('is good until main says that it is about to be another', () => {
  link.holders.get(7)?.();
  expect(file.content).toBeUndefined();
});

test('is good for a second: other programs on main’s host say nothing', () => {
  vi.advanceTimersByTime(999);
  expect(file.content).toBeDefined();
  vi.advanceTimersByTime(1);
  expect(file.content).toBeUndefined();
  expect(link.holders.size).toBe(0);
});

test('is let go of with its file', async () => {
  await file.release();
  expect(file.content).toBeUndefined();
  expect(link.holders.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});
