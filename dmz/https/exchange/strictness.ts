import type { IncomingMessage } from 'node:http';
import { headersMax } from '#dmz/https/limits.ts';

/**
 * What Node's parser lets through and we don't: each is a way two HTTP programs come to read one request differently
 * (RFC 9112 §11.2 request smuggling), or a feature we don't have.
 *
 * Trust: looks at a stranger's request before anything else does.
 */

/** Sent twice, these make a request mean two things. */
const singletons = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'cookie',
  'expect',
  'range',
  'if-range',
  'origin',
  'sec-fetch-site',
  'sallyport-code',
  'upload-offset',
  'upload-length',
  'upload-metadata',
  'upload-checksum',
  'tus-resumable',
  'sallyport-password',
]);
const bodiless = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export interface Violation {
  readonly status: number;
  readonly what: string;
}

/** The first rule the request breaks, or undefined. */
export function findViolation(request: IncomingMessage): Violation | undefined {
  const { headers, httpVersion } = request;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return bad(`HTTP/${httpVersion}`, 505);
  if (request.rawHeaders.length > headersMax * 2) return bad('too many headers', 431);
  const duplicate = findDuplicate(request.rawHeaders);
  if (duplicate !== undefined) return bad(`${duplicate} twice`);
  if (!methods.has(request.method ?? '')) return bad('method', 501);

  const target = request.url ?? '';
  if (!target.startsWith('/')) return bad('target is not origin-form');
  if (!/^[\u0021-\u007e]+$/.test(target) || target.includes('#')) return bad('characters in the target');

  const { host } = headers;
  if (host === undefined ? httpVersion === '1.1' : !/^[A-Za-z0-9.\-_:[\]]{1,255}$/.test(host))
    return bad('Host');

  const encoding = headers['transfer-encoding'];
  const length = headers['content-length'];
  if (encoding !== undefined) {
    if (httpVersion === '1.0') return bad('Transfer-Encoding in HTTP/1.0');
    if (length !== undefined) return bad('Transfer-Encoding and Content-Length');
    if (encoding.toLowerCase() !== 'chunked') return bad('Transfer-Encoding other than chunked', 501);
  }
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) return bad('Content-Length');
  const hasBody = encoding !== undefined || (length !== undefined && Number(length) > 0);
  if (hasBody && bodiless.has(request.method ?? '')) return bad(`${request.method ?? ''} with a body`);
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue')
    return bad('Expect', 417);
  const contentEncoding = headers['content-encoding'];
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== 'identity')
    return bad('Content-Encoding', 415);
  return undefined;
}

function findDuplicate(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    if (singletons.has(name) && seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}

function bad(what: string, status = 400): Violation {
  return { status, what };
}
