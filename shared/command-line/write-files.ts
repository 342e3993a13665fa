import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Makes a file that only its owner may read, whole or not at all; an existing one is kept. True: it was made. */
export function makePrivateFile(file: string, content: () => string | Buffer): boolean {
  if (existsSync(file)) return false;
  replaceFile(file, content(), 0o600);
  return true;
}

/** Atomic and durable: nobody sees half of it, and a crash leaves the old one or the new one. */
export function replaceFile(file: string, content: string | Buffer, mode: number): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const partial = `${file}.partial`;
  rmSync(partial, { force: true });
  const descriptor = openSync(partial, 'wx', mode);
  try {
    writeSync(descriptor, typeof content === 'string' ? Buffer.from(content) : content);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(partial, file);
}
