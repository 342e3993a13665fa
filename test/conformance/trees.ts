import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeContent, describeTime } from './answers.ts';
import { shorten } from './requests.ts';

/** What lies on disk before a row: content of a file, `folder`, a link's target, or nothing. */
export type Tree = Readonly<
  Record<string, string | Buffer | { folder: true } | { link: string } | undefined>
>;

export const folder = { folder: true } as const;

/** 2001-09-09: long ago, so that whatever touches a file shows. */
const preparedAt = 1_000_000_000;

/** Its bytes tell their place. */
export const longContent = Buffer.from(
  Array.from({ length: 10_000 }, (_, index) => String(index).padStart(9, '0') + '\n').join(''),
);

/** Every row's folder, unless it says otherwise. */
export const standardTree: Tree = {
  five: 'hello',
  other: 'something else',
  empty: '',
  long: longContent,
  full: folder,
  'full/inside': 'in a folder',
  bare: folder,
};

export async function prepareTree(at: string, more: Tree = {}): Promise<void> {
  const tree = Object.entries({ ...standardTree, ...more });
  await mkdir(at, { recursive: true });
  for (const [name, content] of tree) {
    const file = join(at, name);
    if (content === undefined) continue;
    if (typeof content === 'string' || Buffer.isBuffer(content)) {
      await writeFile(file, content);
      await chmod(file, 0o644);
    } else if ('link' in content) await symlink(content.link, file);
    else {
      await mkdir(file);
      await chmod(file, 0o755);
    }
  }
  for (const [name, content] of tree.toReversed())
    if (content !== undefined && !(typeof content === 'object' && 'link' in content))
      await utimes(join(at, name), preparedAt, preparedAt);
}

/** A line for everything below a folder: name → type, mode, size, content, and the time if somebody set it. */
export function readTree(at: string): Record<string, string> {
  const lines: Record<string, string> = {};
  // Names as bytes: not all of them are text.
  const walk = (path: Buffer, shown: string): void => {
    for (const name of readdirSync(path, { encoding: 'buffer' })) {
      const file = Buffer.concat([path, Buffer.from('/'), name]);
      const line = shown === '' ? shorten(name.toString()) : `${shown}/${shorten(name.toString())}`;
      const status = lstatSync(file);
      const mode = (status.mode & 0o7777).toString(8);
      if (status.isSymbolicLink()) lines[line] = `link to ${readlinkSync(file)}`;
      else if (status.isDirectory()) {
        lines[line] = `folder ${mode}`;
        walk(file, line);
      } else
        lines[line] =
          `file ${mode} ${describeContent(readFileSync(file))}${describeTime(Math.floor(status.mtimeMs / 1000))}`;
    }
  };
  walk(Buffer.from(at), '');
  return lines;
}
