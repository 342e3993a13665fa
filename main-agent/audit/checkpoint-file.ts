import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { writeDurably } from '#main-agent/durable-file.ts';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';

/**
 * The file of checkpoints, one JSON line each, beside the audit. The newest says all: it stands for every record before
 * it. Some older ones are kept for the times they tell.
 */

/** A day of one a minute. */
const checkpointsKept = 1440;
/** When it is cut back: a line has about 400 bytes. */
const fileBytesMax = 2 * 1024 * 1024;

export function checkpointFileOf(auditFile: string): string {
  const { dir, name, ext } = path.parse(auditFile);
  return path.join(dir, `${name}.checkpoints${ext}`);
}

/** Durable when it resolves. */
export async function appendCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  let bytes: number;
  try {
    await handle.appendFile(`${JSON.stringify(checkpoint)}\n`);
    await handle.datasync();
    bytes = (await handle.stat()).size;
  } finally {
    await handle.close();
  }
  if (bytes <= fileBytesMax) return;
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').slice(-checkpointsKept);
  await writeDurably(file, `${lines.join('\n')}\n`, { mode: 0o600 });
}

/** The newest whole line that is one; undefined: there is none. */
export async function readNewestCheckpoint(file: string): Promise<Checkpoint | undefined> {
  if (!existsSync(file)) return undefined;
  const lines = (await readFile(file, 'utf8')).split('\n');
  for (const line of lines.toReversed()) {
    const checkpoint = parseCheckpoint(line);
    if (checkpoint !== undefined) return checkpoint;
  }
  return undefined;
}
