import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Every folder and file below `folder` by its relative name: `folder`, or a file's size and SHA-256. */
export async function readTree(
  folder: string,
  skip: (path: string) => boolean = () => false,
): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  const walk = async (below: string): Promise<void> => {
    const entries = await readdir(join(folder, below), { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(below, entry.name);
      if (skip(path)) continue;
      if (entry.isDirectory()) {
        tree[path] = 'folder';
        await walk(path);
      } else if (entry.isFile()) {
        const content = await readFile(join(folder, path));
        tree[path] = `${content.length} ${createHash('sha256').update(content).digest('hex')}`;
      } else tree[path] = 'neither file nor folder';
    }
  };
  await walk('');
  return tree;
}

/** One line a path that is not the same in both. */
export function differences(
  right: Readonly<Record<string, string>>,
  seen: Readonly<Record<string, string>>,
): string[] {
  return [...new Set([...Object.keys(right), ...Object.keys(seen)])]
    .filter((path) => right[path] !== seen[path])
    .map((path) => `${path}: ${seen[path] ?? 'missing'} instead of ${right[path] ?? 'nothing'}`);
}
