import { readdir } from 'node:fs/promises';
import path from 'node:path';

/**
 * The names of the audit files (D-41). The one being written is as configured, `audit.jsonl`; those before it carry the
 * number of their first record, `audit.000000000001.jsonl`, so that their names sort in the order of the chain.
 */

const numberDigits = 12;

export interface RotatedFile {
  readonly path: string;
  /** Number of its first record. */
  readonly first: number;
}

export function rotatedName(active: string, first: number): string {
  const { dir, name, ext } = path.parse(active);
  return path.join(dir, `${name}.${String(first).padStart(numberDigits, '0')}${ext}`);
}

/** Oldest first. */
export async function listRotated(active: string): Promise<readonly RotatedFile[]> {
  const { dir, name, ext } = path.parse(active);
  const found: RotatedFile[] = [];
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith(`${name}.`) || !entry.endsWith(ext)) continue;
    const number = entry.slice(name.length + 1, entry.length - ext.length);
    if (/^\d{12}$/.test(number)) found.push({ path: path.join(dir, entry), first: Number(number) });
  }
  return found.sort((one, other) => one.first - other.first);
}
