import type { Socket } from 'node:net';
import { Door } from '#test/dmz/https/door.ts';
import type { Sample, Target } from '#test/fuzz/target.ts';

/** Raw bytes at the HTTPS door, behind real TLS, from a stranger and from somebody who is signed in. */

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;
/** All that the door says; 500 would be a fault of ours. */
const statuses = new Set([
  100, 200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 415, 416, 417, 422, 429, 431, 460, 501, 503, 505, 507,
]); // prettier-ignore
/** Of the form of a request. */
const ofForm = new Set([400, 405, 408, 413, 415, 417, 431, 501, 505]);
const hangsMs = 20_000;
/** Whole requests are answered far sooner; what is wrong is found either way. */
const silentMs = 40;
const idleTurns = 200;
/** Behind each case, so that the door ends the connection when it has read the case to its end. */
const last = Buffer.from('GET /favicon.svg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');

function samples(cookie: string): Sample[] {
  const of = (
    method: (typeof methods)[number],
    target: string,
    headers: readonly string[] = [],
    body = '',
  ): Sample => ({
    kinds: [method],
    bytes: Buffer.from(
      [
        `${method} ${target} HTTP/1.1`,
        'Host: files.example.test',
        ...headers,
        ...(body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
        '',
        body,
      ].join('\r\n'),
    ),
  });
  const session = `Cookie: ${cookie}`;
  const json = 'Content-Type: application/json';
  return [
    of('GET', '/'),
    of('GET', '/api/me', [session]),
    of('GET', '/api/files/?list=1&sort=name&limit=5', [session]),
    of('GET', '/api/files/docs/%C3%BC.txt', [session, 'Range: bytes=0-9', 'If-None-Match: "x"']),
    of('HEAD', '/api/files/hello.txt', [session]),
    of('POST', '/api/login', [json], '{"username":"nobody","password":"wrong"}'),
    of(
      'POST',
      '/api/uploads',
      [session, 'Tus-Resumable: 1.0.0', 'Upload-Length: 5', 'Upload-Metadata: path L2EudHh0'],
      '',
    ),
    of('PUT', '/api/files/new.txt', [session, 'If-None-Match: *'], 'content'),
    of(
      'PATCH',
      `/api/uploads/${'A'.repeat(22)}`,
      [session, 'Tus-Resumable: 1.0.0', 'Upload-Offset: 0', 'Content-Type: application/offset+octet-stream'],
      'hello',
    ),
    of('DELETE', '/api/files/new.txt', [session]),
    of('OPTIONS', '/api/uploads', ['Tus-Resumable: 1.0.0']),
    {
      kinds: ['POST'],
      bytes: Buffer.from(
        `POST /api/login HTTP/1.1\r\nHost: x\r\n${json}\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n{"username":"nobody","password":"wrong"}\r\n0\r\n\r\n`,
      ),
    },
  ];
}

/** The door is in this process: what it has to say it says within some turns of the loop, however busy the machine is. */
async function endWhenIdle(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  let before = -1;
  while (before !== pieces.length && !socket.closed) {
    before = pieces.length;
    for (let turn = 0; turn < idleTurns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}

export async function buildHttpEdge(): Promise<Target> {
  const door = await Door.open({ inside: { policy: { neverBan: ['127.0.0.0/8'] } } });
  const cookie = (await door.signedIn('frank')).cookie ?? '';
  const corpus = samples(cookie);
  const stateOf = (): string =>
    [...door.inside.files].map(([path, { content }]) => `${path} ${content.length}`).join('\n');
  return {
    name: 'http-edge',
    kinds: [...methods],
    corpus,
    async run(input, { kinds }) {
      const before = stateOf();
      const socket = await door.raw();
      const pieces: Buffer[] = [];
      let isHanging = false;
      socket.setTimeout(hangsMs, () => {
        isHanging = true;
        socket.destroy();
      });
      socket.on('data', (piece: Buffer) => pieces.push(piece));
      socket.write(Buffer.concat([input, last]));
      // Who waits for the rest of a body is told that there is none.
      const noMore = setTimeout(() => void endWhenIdle(socket, pieces), silentMs);
      // A reset is an end, too: the door reads only so much of what follows its last answer.
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
      clearTimeout(noMore);
      if (isHanging) throw new Error('neither answers nor ends');
      const answer = Buffer.concat(pieces).toString('latin1');
      const found = [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
      const strange = found.filter((status) => !statuses.has(status));
      if (strange.length > 0) throw new Error(`answers ${strange.join(', ')}: ${answer.slice(0, 500)}`);
      if (answer !== '' && !answer.startsWith('HTTP/1.1 '))
        throw new Error(`begins with ${answer.slice(0, 100)}`);
      const [first] = found;
      const isRefused = first === undefined || ofForm.has(first);
      if (first !== undefined && isRefused && stateOf() !== before)
        throw new Error('changed a file for a request that was refused');
      return { taken: isRefused ? [] : kinds, isRefused };
    },
    close: () => door.close(),
  };
}
