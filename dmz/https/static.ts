import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Log } from '#shared/log.ts';
import { type Branding, buildClientPage } from './client-page.ts';
import type { Exchange } from './exchange/exchange.ts';
import { pageHeaders } from './exchange/headers.ts';
import { staticBytesMax, staticFilesMax } from './limits.ts';

/**
 * The web client's built files, held in memory with their compressed forms. Nothing here touches the disk after the
 * start, so no request path can name a file that is not in the list.
 */

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};
const compressible = /^(text\/|application\/(json|manifest\+json)|image\/svg)/;
/** Smaller gains don't pay for the header. */
const compressedFromBytes = 1024;
/** The bundler puts a hash of the content into every name under assets/. */
const hashedName = /^\/assets\/[^/]+-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;

/** Addresses the web client makes itself: reloaded or bookmarked, each is the client again. */
const clientPage = /^\/(index\.html|files(\/.*)?|bin\/?|options\/?|setup\/?|set-password)?$/;

interface StaticFile {
  readonly plain: Buffer;
  readonly gzip?: Buffer;
  readonly brotli?: Buffer;
  readonly headers: readonly string[];
  readonly etag: string;
}

export interface StaticFiles {
  /** False: no such file. */
  send(exchange: Exchange): boolean;
}

/** `branding`: what the client's page says of this place, asked again for every page. */
export async function loadStaticFiles(
  folder: string,
  branding: () => Branding,
  log: Log,
): Promise<StaticFiles> {
  const files = new Map<string, StaticFile>();
  let totalBytes = 0;
  for (const path of await listFiles(folder, log)) {
    const content = await readFile(path);
    totalBytes += content.length;
    if (files.size >= staticFilesMax || totalBytes > staticBytesMax)
      throw new Error(
        `${folder} holds more than a web client: over ${staticFilesMax} files or ${staticBytesMax} bytes`,
      );
    const name = `/${relative(folder, path).split(sep).join('/')}`;
    files.set(name, await prepare(name, content));
  }
  const built = files.get('/index.html');
  files.delete('/index.html');
  const unbuilt = await prepare(
    '/none.txt',
    Buffer.from('The web client is not built on this node. Run: npm run web:build\n'),
  );
  const branded =
    built === undefined
      ? () => ({ page: unbuilt, files: new Map<string, StaticFile>() })
      : buildClientPage(built.plain.toString('utf8'), branding);
  return {
    send(exchange) {
      const { path } = exchange;
      const isPage = clientPage.test(path);
      const file =
        files.get(path) ??
        (isPage ? branded().page : path.startsWith('/branding/') ? branded().files.get(path) : undefined);
      if (file === undefined) return false;
      sendStatic(file, exchange);
      return true;
    },
  };
}

async function listFiles(folder: string, log: Log): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    log.warn({ folder, err: error }, 'no built web client; a plain page says so');
    return [];
  }
}

async function prepare(name: string, plain: Buffer): Promise<StaticFile> {
  const type = types[extname(name)] ?? 'application/octet-stream';
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  const headers = [
    ...pageHeaders,
    'Content-Type',
    type,
    'ETag',
    etag,
    'Vary',
    'Accept-Encoding',
    'Cache-Control',
    hashedName.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
  ];
  if (!compressible.test(type) || plain.length < compressedFromBytes) return { plain, headers, etag };
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
  const [gzipped, brotli] = await Promise.all([
    promisify(gzip)(plain, { level: 9 }),
    promisify(brotliCompress)(plain, { params }),
  ]);
  return { plain, gzip: gzipped, brotli, headers, etag };
}

function sendStatic(file: StaticFile, exchange: Exchange): void {
  const { request, response } = exchange;
  if (request.headers['if-none-match']?.includes(file.etag) === true) {
    response.writeHead(304, [...file.headers]);
    response.end();
    return;
  }
  const { encoding, bytes } = choose(file, request.headers['accept-encoding'] ?? '');
  response.writeHead(200, [
    ...file.headers,
    'Content-Length',
    String(bytes.length),
    ...(encoding === undefined ? [] : ['Content-Encoding', encoding]),
  ]);
  response.end(bytes);
}

function choose(file: StaticFile, accepted: string): { encoding?: string; bytes: Buffer } {
  if (file.brotli !== undefined && accepts(accepted, 'br')) return { encoding: 'br', bytes: file.brotli };
  if (file.gzip !== undefined && accepts(accepted, 'gzip')) return { encoding: 'gzip', bytes: file.gzip };
  return { bytes: file.plain };
}

function accepts(header: string, coding: string): boolean {
  return (
    header
      .toLowerCase()
      .split(',')
      // No pattern: one that skips white space on both sides of a mark is quadratic in a header full of it.
      .map((item) => item.split(';').map((part) => part.trim()))
      .some(([name, weight]) => name === coding && !/^q=0(\.0*)?$/.test(weight ?? ''))
  );
}
