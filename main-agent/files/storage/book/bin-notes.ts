/**
 * What is noted of an entry of the bin: whose it was, where, and until when it can be had back.
 *
 * Trust: only main writes notes; they are still checked when read, since they outlive the process that wrote them.
 */
import { z } from 'zod';
import type { Log } from '#shared/log.ts';
import type { HiddenFolder } from '../blob-storage.ts';
import type { Binned } from '../storage.ts';
import { uploadRecordSchema } from './staging-area.ts';

const { place, virtualPath } = uploadRecordSchema.shape;
const noteSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{22}$/),
  user: z.string(),
  virtualPath,
  place,
  type: z.enum(['file', 'folder']),
  bytes: z.number().optional(),
  atMs: z.number(),
  expiresAtMs: z.number(),
  reason: z.enum(['deleted', 'replaced']),
  isCounted: z.boolean(),
  /** Of whom, and as what, the operation was that put it here. */
  session: z.string(),
  operation: z.number(),
  /** Where it is being put back to. */
  restoringTo: place.optional(),
});

export type BinNote = z.output<typeof noteSchema>;

/** Beside the entry, which is named by its id alone. */
export function noteName(id: string): string {
  return `${id}.json`;
}

/** Durable when it resolves: what is moved there next must not lie there namelessly after a power cut. */
export function writeNote(folder: HiddenFolder, note: BinNote): Promise<void> {
  return folder.replace(noteName(note.id), JSON.stringify(note), { isDurable: true });
}

/** Undefined: it is damaged. */
export function parseNote(id: string, text: string, log: Log): BinNote | undefined {
  try {
    return noteSchema.parse(JSON.parse(text));
  } catch (error) {
    const damaged = 'a note of the bin is damaged; what it is about stays there';
    log.warn({ err: error, note: noteName(id) }, damaged);
    return undefined;
  }
}

export function toBinned(note: BinNote): Binned {
  const { operation: _operation, restoringTo: _restoringTo, ...binned } = note;
  return { ...binned, bytes: note.bytes };
}
