/**
 * Names are kept byte for byte, but two that differ only by Unicode normalisation (Ü as one character or as U and an
 * accent) look the same to people and are one name on some clients: the second one is refused.
 */
import { SallyportError } from '#shared/error.ts';
import { normalName } from '../places.ts';
import type { FolderHandle } from './folder-handle.ts';

// oxlint-disable-next-line no-control-regex -- ASCII is what is meant
const ascii = /^[\u0000-\u007f]*$/;

function refuse(): never {
  throw new SallyportError('exists', 'A name that looks the same is already there', {
    detail: 'differs from another name only by Unicode normalisation',
  });
}

/** `exists` when the folder has another spelling of `name`; `except` is about to go (the old name of a rename). */
export async function requireNoTwin(folder: FolderHandle, name: string, except?: string): Promise<void> {
  const normal = normalName(name);
  if (ascii.test(name)) return;
  // KELVIN SIGN and three others normalise to ASCII: nobody needs them in a name, and letting them in would mean
  // reading the folder for each plain ASCII name too.
  if (ascii.test(normal)) refuse();
  if (normal === name && name.normalize('NFD') === name) return;
  const names = await folder.openNames();
  try {
    for (let entry = await names.read(); entry !== null; entry = await names.read()) {
      if (entry.name !== name && entry.name !== except && normalName(entry.name) === normal) refuse();
    }
  } finally {
    await names.close();
  }
}
