import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import { judgeRead, modifiedSecondMs } from './conditional.ts';
import { labelContent } from './content.ts';
import { DownloadBody } from './download-body.ts';
import { FileBytes } from './file-bytes.ts';
import { finish, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { fileHeaders } from '#dmz/https/exchange/headers.ts';
import { formatHttpDate } from '#dmz/https/exchange/time.ts';
import { judgeRange, type ByteRange } from './range.ts';

/** Sends an open file, or what the request's conditions ask for instead. Leaves the handle to the caller. */
export async function sendFile(
  exchange: Exchange,
  session: Admitted,
  name: string,
  file: RemoteFile,
): Promise<void> {
  const { attributes } = file;
  const answer = judgeFile(exchange, name, attributes);
  if (answer.body === undefined || answer.body.lengthBytes === 0) {
    await finish(exchange, answer.status, answer.headers);
    return;
  }
  const { status, headers, body } = answer;
  const begin = (): void => void exchange.response.writeHead(status, [...headers]);
  await new DownloadBody(exchange, session, (to) => new FileBytes(file, body, to), begin).send();
}

/** HEAD: the same headers from what is known of the file, without opening it. */
export async function sendFileHead(exchange: Exchange, name: string, attributes: Attributes): Promise<void> {
  const { status, headers } = judgeFile(exchange, name, attributes);
  await finish(exchange, status, headers);
}

interface FileAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body?: ByteRange;
}

function judgeFile(exchange: Exchange, name: string, file: Attributes): FileAnswer {
  const { headers } = exchange.request;
  const validators = [
    ...(file.etag === undefined ? [] : ['ETag', `"${file.etag}"`]),
    'Last-Modified',
    formatHttpDate(modifiedSecondMs(file)),
  ];
  const instead = judgeRead(headers, file);
  if (instead === 412) throw new SallyportError('precondition-failed', 'The file is not as you expected');
  if (instead === 304) return { status: 304, headers: [...fileHeaders, ...validators] };

  const { type, disposition } = labelContent(name);
  const common = [...fileHeaders, ...validators, 'Accept-Ranges', 'bytes'];
  const range = exchange.method === 'HEAD' ? undefined : judgeRange(headers, file);
  if (range === 'unsatisfiable')
    return {
      status: 416,
      headers: [...common, 'Content-Range', `bytes */${file.size}`, 'Content-Length', '0'],
    };

  const body = range ?? { offset: 0, lengthBytes: file.size };
  const described = [
    ...common,
    'Content-Type',
    type,
    'Content-Disposition',
    disposition,
    'Content-Length',
    String(body.lengthBytes),
  ];
  if (range === undefined) return { status: 200, headers: described, body };
  const last = body.offset + body.lengthBytes - 1;
  return {
    status: 206,
    headers: [...described, 'Content-Range', `bytes ${body.offset}-${last}/${file.size}`],
    body,
  };
}
