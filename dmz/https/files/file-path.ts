import { SallyportError } from '#shared/error.ts';
import { requireComponents, type VirtualPath } from '#shared/file-service/virtual-path.ts';

/**
 * The escaped rest of `/api/files/…` → the path it names, and whether it ended in a slash.
 *
 * Trust: a stranger's string. Each component is unescaped once, strictly; anything that could mean two things (an
 * escaped slash, a dot segment, an empty component, bytes that are not UTF-8, NUL) is `bad-path`.
 */
export function parseFilePath(escaped: string): {
  readonly path: VirtualPath;
  readonly isFolderForm: boolean;
} {
  if (escaped === '') return { path: requireComponents([]), isFolderForm: true };
  const isFolderForm = escaped.endsWith('/');
  const parts = (isFolderForm ? escaped.slice(0, -1) : escaped).split('/');
  return { path: requireComponents(parts.map(unescape)), isFolderForm };
}

/** The other way round: as the rest of `/api/files/…`. */
export function formatFilePath({ components }: VirtualPath): string {
  return components.map(encodeURIComponent).join('/');
}

/** A path in JSON (`/a/b`), not escaped. Absolute, and read as strictly as one in a URL. */
export function parseJsonPath(text: string): VirtualPath {
  if (!text.startsWith('/')) throw badPath('not absolute');
  const trimmed = text.slice(1).replace(/\/$/, '');
  return requireComponents(trimmed === '' ? [] : trimmed.split('/'));
}

function unescape(component: string): string {
  try {
    return decodeURIComponent(component);
  } catch {
    throw badPath('not UTF-8 behind the escapes');
  }
}

function badPath(detail: string): SallyportError {
  return new SallyportError('bad-path', 'That name is not served here', { detail });
}
