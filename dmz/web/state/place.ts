import { parsePagePath, toPagePath, type FolderPath } from '#dmz/web/files/path.ts';

/** The client's own addresses. The server gives the same page for all of them. */

export type Place =
  | { readonly name: 'files'; readonly folder: FolderPath }
  | { readonly name: 'bin' }
  | { readonly name: 'options' }
  | { readonly name: 'set-password' }
  | { readonly name: 'setup' };

export function parsePlace(pathname: string): Place {
  if (pathname === '/bin') return { name: 'bin' };
  if (pathname === '/options') return { name: 'options' };
  if (pathname === '/set-password') return { name: 'set-password' };
  if (pathname === '/setup') return { name: 'setup' };
  const inFiles = pathname.startsWith('/files/') ? pathname.slice('/files/'.length) : '';
  return { name: 'files', folder: parsePagePath(inFiles) };
}

export function toAddress(place: Place): string {
  return place.name === 'files' ? toPagePath(place.folder) : `/${place.name}`;
}
