import { describe, expect, it } from 'vitest';
import type { FileClient } from '#dmz/files/file-client.ts';
import { listTree } from '#dmz/https/files/archive-tree.ts';
import { archiveEntriesMax } from '#dmz/https/limits.ts';
import { SallyportError } from '#shared/error.ts';
import type { Attributes, Entry } from '#shared/file-service/attributes.ts';
import { requireComponents, VirtualPath } from '#shared/file-service/virtual-path.ts';

const shared = { size: 1, mtimeMs: 0, atimeMs: 0, mode: 0o644, links: 1 };
const file: Attributes = { ...shared, type: 'file', etag: 'e' };
const folder: Attributes = { ...shared, type: 'folder' };
const link: Attributes = { ...shared, type: 'link' };
const brokenUpload: Attributes = { ...shared, type: 'file' };

interface Tree {
  readonly list?: (path: string, cursor: string | undefined) => { entries: Entry[]; next?: string };
  readonly stat?: (path: string) => Attributes;
}

function buildFiles({ list, stat }: Tree): FileClient {
  const partial: Pick<FileClient, 'list' | 'stat'> = {
    list: async (path, { cursor }) => list?.(path.toString(), cursor) ?? { entries: [] },
    stat: async (path) => {
      const found = stat?.(path.toString());
      if (found === undefined) throw new SallyportError('not-found', 'There is nothing of that name');
      return found;
    },
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- listing asks nothing else
  return partial as FileClient;
}
const nobody = { requireWanted: () => undefined, take: () => undefined };
const named = (pairs: Record<string, Attributes>): Entry[] =>
  Object.entries(pairs).map(([name, attributes]) => ({ name, attributes }));

describe('what goes into an archive', () => {
  it('is what links to files lead to, and no link to a folder, to nothing or to what may not be seen', async () => {
    const files = buildFiles({
      list: () => ({ entries: named({ f: link, d: link, gone: link, closed: link }) }),
      stat: (path) => {
        if (path === '/f') return file;
        if (path === '/d') return folder;
        if (path === '/closed') throw new SallyportError('permission-denied', 'no');
        throw new SallyportError('not-found', 'no');
      },
    });
    expect((await listTree(files, VirtualPath.root, [], nobody)).map(({ name }) => name)).toEqual(['f']);
  });

  it('is no upload that broke off: there is nothing to read', async () => {
    const files = buildFiles({
      list: () => ({ entries: named({ whole: file, broken: brokenUpload }) }),
      stat: () => brokenUpload,
    });
    expect((await listTree(files, VirtualPath.root, [], nobody)).map(({ name }) => name)).toEqual(['whole']);
    expect(await listTree(files, VirtualPath.root, ['broken'], nobody)).toEqual([]);
  });

  it('is no half of a folder whose listing is forbidden half way', async () => {
    const files = buildFiles({
      list: (_path, cursor) => {
        if (cursor !== undefined) throw new SallyportError('permission-denied', 'no');
        return { entries: named({ a: file }), next: '1' };
      },
    });
    await expect(listTree(files, VirtualPath.root, [], nobody)).rejects.toThrow('no');
  });

  it('is an empty folder where nothing may be listed', async () => {
    const files = buildFiles({
      list: (path) => {
        if (path === '/box') throw new SallyportError('permission-denied', 'no');
        return { entries: named({ box: folder }) };
      },
    });
    expect((await listTree(files, VirtualPath.root, [], nobody)).map(({ name }) => name)).toEqual(['box/']);
  });

  it('has as many names as entries, also when thousands would become one', async () => {
    const names = Array.from({ length: 2 ** 14 }, (_, index) =>
      index.toString(2).padStart(14, '0').replaceAll('0', ':').replaceAll('1', '\\'),
    );
    const files = buildFiles({
      list: () => ({ entries: names.map((name) => ({ name, attributes: file })) }),
    });
    const found = await listTree(files, VirtualPath.root, [], nobody);
    expect(new Set(found.map(({ name }) => name)).size).toBe(names.length);
    expect(found.filter(({ name }) => /[\\:]/.test(name))).toEqual([]);
  });

  it('is counted as it is listed: full folders in full folders hold no more than the bound', async () => {
    let listed = 0;
    const files = buildFiles({
      list: (_path, cursor) => {
        const start = Number(cursor ?? 0);
        listed += 1000;
        const entries = Array.from({ length: 1000 }, (_, index) => ({
          name: `n${start + index}`,
          attributes: folder,
        }));
        return start + 1000 >= 40_000 ? { entries } : { entries, next: String(start + 1000) };
      },
    });
    await expect(listTree(files, requireComponents(['top']), [], nobody)).rejects.toThrow(/At most/);
    expect(listed).toBeLessThanOrEqual(archiveEntriesMax + 1000);
  });
});
