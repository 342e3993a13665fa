import { existsSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { z } from 'zod';

/**
 * Files that a configuration names. Relative paths count from the configuration file. `credential:<name>` is a file
 * that systemd hands over (LoadCredential=), from the folder `credentials` beside the configuration if `init --systemd`
 * made it. Where there is neither, a check can't demand it.
 */

const credentialPrefix = 'credential:';
/** Beside the configuration; the unit files name it in LoadCredential=. */
export const credentialsFolder = 'credentials';
/** Keys, certificates chains and passwords; anything larger is the wrong file. */
const fileBytesMax = 256 * 1024;

export interface PathContext {
  /** Folder of the configuration file. */
  readonly folder: string;
  /** $CREDENTIALS_DIRECTORY, where systemd set it. */
  readonly credentials?: string;
  /** $RENEWED_CREDENTIALS_DIRECTORY, where the unit set it: those of them that a reload renewed. */
  readonly renewed?: string;
}

/** Of one configuration file. Commands run without systemd and find what it will hand over where it takes it from. */
export function pathContextOf(
  file: string,
  { credentials, renewed }: Omit<PathContext, 'folder'>,
): PathContext {
  const folder = path.dirname(path.resolve(file));
  const kept = path.join(folder, credentialsFolder);
  const found = credentials ?? (existsSync(kept) ? kept : undefined);
  return {
    folder,
    ...(found !== undefined && { credentials: found }),
    ...(renewed !== undefined && { renewed }),
  };
}

/** What a process started by systemd has its configuration and its keys from. */
export function credentialsOf(env: NodeJS.ProcessEnv): Omit<PathContext, 'folder'> {
  const { CREDENTIALS_DIRECTORY: credentials, RENEWED_CREDENTIALS_DIRECTORY: renewed } = env;
  return {
    ...(credentials !== undefined && { credentials }),
    ...(renewed !== undefined && { renewed }),
  };
}

/** Of a file that systemd handed over, the one that a reload put in its place, if there is one. */
export function newestOf(file: string, { credentials, renewed }: Omit<PathContext, 'folder'>): string {
  if (credentials === undefined || renewed === undefined) return file;
  if (path.dirname(path.resolve(file)) !== credentials) return file;
  const newest = path.join(renewed, path.basename(file));
  return existsSync(newest) ? newest : file;
}

/** Turns the text of the file into an absolute path; a credential without a directory stays as it was written. */
function resolvePath(text: string, context: PathContext): string {
  if (!text.startsWith(credentialPrefix)) return path.resolve(context.folder, text);
  return context.credentials === undefined
    ? text
    : newestOf(path.join(context.credentials, text.slice(credentialPrefix.length)), context);
}

export function filePath(context: PathContext) {
  return z
    .string({ error: 'a path, or credential:<name>' })
    .min(1)
    .max(4096)
    .refine((text) => !text.includes('\0'), { error: 'a path without NUL' })
    .refine((text) => !text.startsWith(credentialPrefix) || /^credential:[A-Za-z0-9._-]{1,64}$/.test(text), {
      error: 'credential:<name> with a plain name',
    })
    .transform((text) => resolvePath(text, context));
}

export type NamedFile = {
  /** Where in the configuration it is named. */
  readonly at: readonly PropertyKey[];
  readonly path: string;
  /** `secret`: nobody but the owner may read it. */
  readonly kind: 'secret' | 'public';
  /** Another process reads it: this one never does, and knows it by its inode, size and times. */
  readonly isForeign?: boolean;
  /** What is wrong with what is in it, to be said after its path. */
  readonly whyNot?: (content: Buffer) => Unusable | undefined;
};

interface Unusable {
  readonly message: string;
  readonly hint: string;
}

/** Why a named file can't be used, or undefined if it can. */
export async function whyUnusable(
  file: NamedFile,
  credentials: string | undefined,
): Promise<Unusable | undefined> {
  if (file.path.startsWith(credentialPrefix)) return undefined;
  try {
    const found = await stat(file.path);
    if (!found.isFile()) return { message: `${file.path} is not a file`, hint: 'name the file itself' };
    const ours = credentials === undefined || !file.path.startsWith(credentials + path.sep);
    if (file.kind === 'secret' && ours && (found.mode & 0o077) !== 0) {
      const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
      return { message: `${file.path} has mode ${mode}; others can read it`, hint: `chmod 600 ${file.path}` };
    }
    if (file.whyNot === undefined) return undefined;
    if (found.size > fileBytesMax)
      return { message: `${file.path} has ${found.size} bytes`, hint: 'name a smaller one' };
    const why = file.whyNot(await readFile(file.path));
    return why === undefined ? undefined : { ...why, message: `${file.path} ${why.message}` };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return code === 'ENOENT'
      ? { message: `${file.path} does not exist`, hint: 'create it, or correct the path' }
      : { message: `${file.path} can not be read (${code})`, hint: 'correct the path or its permissions' };
  }
}

/** Reads a file that only its owner may read (mode 0600 or less; systemd's credentials have their own guard). */
export async function readSecretFile(file: string, credentials?: string): Promise<Secret<Buffer>> {
  return new Secret(await readNamed({ at: [], path: file, kind: 'secret' }, credentials));
}

/** Reads a certificate or another file that is no secret. */
export function readPublicFile(file: string): Promise<Buffer> {
  return readNamed({ at: [], path: file, kind: 'public' }, undefined);
}

async function readNamed(file: NamedFile, credentials: string | undefined): Promise<Buffer> {
  if (file.path.startsWith(credentialPrefix)) {
    throw new SallyportError('config', 'A key file is missing', {
      detail: `${file.path}: $CREDENTIALS_DIRECTORY is not set`,
      hint: 'start through systemd with LoadCredential=, or name a path',
    });
  }
  const problem = await whyUnusable(file, credentials);
  if (problem !== undefined) {
    throw new SallyportError('config', 'A named file can not be used', {
      detail: problem.message,
      hint: problem.hint,
    });
  }
  const handle = await open(file.path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > fileBytesMax) {
      throw new SallyportError('config', 'A named file can not be used', {
        detail: `${file.path} is larger than ${fileBytesMax} bytes`,
      });
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
