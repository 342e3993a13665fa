import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { SallyportError } from '#shared/error.ts';
import { parseStrictJson } from '#shared/json.ts';
import { askForBody, type Exchange } from './exchange.ts';
import { jsonBytesMax, jsonDepthMax, uploadPace } from '#dmz/https/limits.ts';
import { tooSlow } from './pace.ts';

/**
 * A request's JSON, read within bounds and checked against the schema of its route.
 *
 * Trust: the body is a stranger's. Rejects `bad-request`.
 */
export async function readJson<T>(
  exchange: Exchange,
  schema: z.ZodType<T>,
  options: { readonly bytesMax: number } = { bytesMax: jsonBytesMax },
): Promise<T> {
  const type = exchange.request.headers['content-type'] ?? '';
  if (!/^application\/json(;\s*charset="?utf-8"?)?$/i.test(type.trim()))
    throw refuse('Send application/json');
  const bytes = await readBody(exchange, options.bytesMax);
  if (!isUtf8(bytes)) throw refuse('Send UTF-8');
  let value: unknown;
  try {
    value = parseStrictJson(bytes.toString('utf8'));
  } catch {
    throw refuse('Send valid JSON, each field once');
  }
  if (isDeeperThan(value, jsonDepthMax)) throw refuse('That JSON is nested too deeply');
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map(({ path, code }) => `${path.map(String).join('.')} ${code}`);
  throw new SallyportError('bad-request', 'A field is missing, unknown or of the wrong kind', {
    detail: fields.join('; '),
  });
}

/** For routes that take nothing: no body, or an empty JSON object. */
export async function requireNoInput(exchange: Exchange): Promise<void> {
  await readOptionalJson(exchange, z.strictObject({}), {});
}

/** `absent` where there is no body. */
export async function readOptionalJson<T>(exchange: Exchange, schema: z.ZodType<T>, absent: T): Promise<T> {
  const { headers } = exchange.request;
  if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0)
    return absent;
  return readJson(exchange, schema);
}

function readBody(exchange: Exchange, bytesMax: number): Promise<Buffer> {
  const { request } = exchange;
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw refuse('That is too much JSON');
  askForBody(exchange);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    const settle = (act: () => void): void => {
      transfer.done();
      request.off('data', take).off('end', end).off('close', close);
      act();
    };
    const transfer = exchange.pace.watch(uploadPace, () => settle(() => reject(tooSlow())));
    const take = (chunk: Buffer): void => {
      transfer.moved(chunk.length);
      total += chunk.length;
      chunks.push(chunk);
      if (total > bytesMax) settle(() => reject(refuse('That is too much JSON')));
    };
    const end = (): void => settle(() => resolve(Buffer.concat(chunks)));
    const close = (): void => settle(() => reject(refuse('The request was cut off')));
    request.on('data', take).on('end', end).on('close', close);
  });
}

/** Looks no deeper than `levels`, so a deep value costs no deep recursion. */
function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}

function refuse(message: string): SallyportError {
  return new SallyportError('bad-request', message);
}
