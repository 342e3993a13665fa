/**
 * Where the kernel's error numbers become file codes. Public messages are fixed sentences: a path on main's disk, or
 * what else an errno message tells, stays in `detail`.
 */
import type { FileErrorCode } from '#shared/error-codes.ts';
import { SallyportError, toSallyportError } from '#shared/error.ts';

const byErrno: Readonly<Record<string, readonly [FileErrorCode, string]>> = {
  ENOENT: ['not-found', 'There is no such file or folder'],
  EEXIST: ['exists', 'That name is taken'],
  ENOTEMPTY: ['not-empty', 'The folder is not empty'],
  ENOTDIR: ['not-a-folder', 'That is not a folder'],
  EISDIR: ['is-a-folder', 'That is a folder'],
  EACCES: ['permission-denied', 'You may not do that here'],
  EPERM: ['permission-denied', 'You may not do that here'],
  EROFS: ['permission-denied', 'You may not do that here'],
  // The leaf is a symbolic link, or a pipe or socket without its other end: to users these do not exist.
  ELOOP: ['not-found', 'There is no such file or folder'],
  ENXIO: ['not-found', 'There is no such file or folder'],
  ENAMETOOLONG: ['bad-path', 'That name is too long'],
  EILSEQ: ['bad-path', 'The storage can not keep that name'],
  EINVAL: ['bad-path', 'The storage can not do that with this name'],
  ENOSPC: ['no-space', 'The storage is full'],
  EFBIG: ['no-space', 'The file is too large for the storage'],
  EDQUOT: ['quota-exceeded', 'Your quota is used up'],
  EMLINK: ['too-many', 'The folder has too many entries'],
  EMFILE: ['too-many', 'Too many files are open'],
  ENFILE: ['too-many', 'Too many files are open'],
  ENOMEM: ['too-many', 'Too many files are open'],
  EXDEV: ['unsupported', 'That can not be moved to another storage; copy it instead'],
  EOPNOTSUPP: ['unsupported', 'The storage can not do that'],
  ENOTSUP: ['unsupported', 'The storage can not do that'],
  EBADF: ['bad-handle', 'The file is no longer open'],
  EIO: ['io-error', 'The storage failed'],
};

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  const code = errnoOf(error);
  return code !== undefined && codes.includes(code);
}

/** Any thrown value as a SallyportError with a file code where the kernel gave a number. */
export function toFileError(error: unknown): SallyportError {
  if (error instanceof SallyportError) return error;
  const code = errnoOf(error);
  if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) return toSallyportError(error);
  const [fileCode, publicMessage] = byErrno[code] ?? ['io-error', 'The storage failed'];
  return new SallyportError(fileCode, publicMessage, {
    detail: error instanceof Error ? error.message : code,
    cause: error,
  });
}

/** Whether it is, or becomes, an error with one of these codes. */
export function hasFileCode(error: unknown, ...codes: readonly FileErrorCode[]): boolean {
  const { code } = toFileError(error);
  return codes.some((one) => one === code);
}

export function notFound(detail?: string): SallyportError {
  return new SallyportError(
    'not-found',
    'There is no such file or folder',
    detail === undefined ? {} : { detail },
  );
}

export function denied(detail: string): SallyportError {
  return new SallyportError('permission-denied', 'You may not do that here', { detail });
}

export function taken(detail: string): SallyportError {
  return new SallyportError('exists', 'That name is taken', { detail });
}

export function isAFolder(): SallyportError {
  return new SallyportError('is-a-folder', 'That is a folder');
}

export function badHandle(detail: string): SallyportError {
  return new SallyportError('bad-handle', 'The file is no longer open', { detail });
}
