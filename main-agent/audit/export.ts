import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { listRotated } from './audit-files.ts';
import { fitsFilter, type AuditFilter } from './audit-query.ts';
import { parseLine } from './chain.ts';
import type { ExportFormat } from './export-formats.ts';
import { readFirstLine, readLines } from './file-lines.ts';

/** Records of the audit files that fit, each with its line end. What is not a line of ours is left out; `verify` names it. */
export async function* exportAudit(
  file: string,
  filter: AuditFilter,
  { head, format }: ExportFormat,
): AsyncGenerator<string> {
  if (head !== '') yield head;
  const rotated = (await listRotated(file)).map(({ path }) => path);
  const files = existsSync(file) ? [...rotated, file] : rotated;
  for (const one of await skipOlder(files, filter.since)) {
    for await (const { text, isWhole } of readLines(one)) {
      const line = isWhole ? parseLine(text) : undefined;
      if (line !== undefined && fitsFilter(line.record, filter)) yield format(text, line);
    }
  }
}

/** From the last file on that begins before `since`. */
async function skipOlder(files: readonly string[], since: string | undefined): Promise<readonly string[]> {
  if (since === undefined) return files;
  let start = 0;
  for (const [index, file] of files.entries()) {
    const handle = await open(file, 'r');
    try {
      const line = parseLine((await readFirstLine(handle)) ?? '');
      const time =
        line === undefined || !('time' in line.record) ? Number.NaN : Date.parse(String(line.record.time));
      if (time < Date.parse(since)) start = index;
    } finally {
      await handle.close();
    }
  }
  return files.slice(start);
}
