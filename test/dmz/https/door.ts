/** A running HTTPS door over a fake inside, and two ways to talk to it: a browser-like client, and raw bytes over TLS. */
import { once } from 'node:events';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { buildHttpsServer, type HttpsServerOptions } from '#dmz/https/server.ts';
import { systemClock } from '#shared/clock.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { buildFakeInside, rightCode, rightPassword, type FakeInside } from './fake-inside.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly json: Record<string, unknown>;
}

export const publicUrl = 'https://files.example.test';

export class Door {
  readonly inside: FakeInside;
  readonly port: number;
  readonly ca: string;
  readonly server: ReturnType<typeof buildHttpsServer>;
  readonly #folder: string;
  readonly #listener: Server;

  private constructor(
    inside: FakeInside,
    server: ReturnType<typeof buildHttpsServer>,
    { ca, folder, listener }: { readonly ca: string; readonly folder: string; readonly listener: Server },
  ) {
    this.inside = inside;
    this.server = server;
    const address = listener.address();
    this.#listener = listener;
    this.port = typeof address === 'object' && address !== null ? address.port : server.address.port;
    this.ca = ca;
    this.#folder = folder;
  }

  static async open(
    options: Partial<
      Pick<HttpsServerOptions, 'profile' | 'clock' | 'registry' | 'securityTxt' | 'proxiesFrom'>
    > & {
      readonly inside?: Parameters<typeof buildFakeInside>[0];
      readonly withoutWeb?: boolean;
      readonly withoutCertificate?: boolean;
      /** Its connections come from another listener, as a worker's do. */
      readonly isHandedOver?: boolean;
    } = {},
  ): Promise<Door> {
    const {
      inside: insideOptions,
      withoutWeb = false,
      withoutCertificate = false,
      isHandedOver = false,
      ...rest
    } = options;
    const inside = await buildFakeInside(insideOptions);
    const authority = createThrowAwayAuthority(Date.now());
    const certificate = authority.issueServerCertificate(['localhost', '127.0.0.1']);
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-web-'));
    if (!withoutWeb) {
      await mkdir(join(folder, 'assets'));
      await writeFile(join(folder, 'index.html'), '<!doctype html><title>web</title>');
      await writeFile(
        join(folder, 'assets', 'main-AbCd1234.js'),
        `export const text = '${'long '.repeat(1000)}';`,
      );
      await writeFile(join(folder, 'favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
    }
    const at = { host: '127.0.0.1', port: 0 };
    const listener = createServer({ pauseOnConnect: true });
    const server = buildHttpsServer({
      listen: isHandedOver ? { onConnection: (take) => listener.on('connection', take) } : at,
      certificate: withoutCertificate
        ? undefined
        : { certificatePem: certificate.certificatePem, keyPem: certificate.privateKeyPem },
      profile: 'strict',
      publicUrl,
      login: inside.login,
      guard: inside.guard,
      link: inside.memory.link,
      webRoot: withoutWeb ? join(folder, 'nowhere') : folder,
      clock: systemClock,
      log: buildLog('silent', {}),
      ...rest,
    });
    await server.start();
    if (isHandedOver) await once(listener.listen(at), 'listening');
    return new Door(inside, server, { ca: authority.certificatePem, folder, listener });
  }

  /** `from`: one of 127.0.0.0/8, each a source of its own. */
  client(from = '127.0.0.1'): Client {
    return new Client(this, from);
  }

  /** A client that has signed in. */
  async signedIn(user: 'alice' | 'dave' | 'frank'): Promise<Client> {
    const client = this.client();
    await client.post('/api/login', { username: user, password: rightPassword });
    if (user === 'alice') await client.post('/api/login/code', { code: rightCode });
    return client;
  }

  async raw(): Promise<TLSSocket> {
    const socket = connect({ host: '127.0.0.1', port: this.port, servername: 'localhost', ca: this.ca });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    return socket;
  }

  /** Sends these bytes and returns everything until the server closes, or until it was silent for a while. */
  async exchangeRaw(bytes: string | Buffer): Promise<string> {
    const socket = await this.raw();
    socket.write(bytes);
    return readAll(socket);
  }

  async close(): Promise<void> {
    this.#listener.close();
    await this.server.close();
    this.inside.close();
    await rm(this.#folder, { recursive: true });
  }
}

export async function readAll(socket: Socket, silentMs = 400): Promise<string> {
  const chunks: Buffer[] = [];
  socket.setTimeout(silentMs, () => socket.destroy());
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!socket.destroyed) await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

export class Client {
  cookie: string | undefined;
  readonly #door: Door;
  readonly #localAddress: string;

  constructor(door: Door, localAddress: string) {
    this.#door = door;
    this.#localAddress = localAddress;
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send('GET', path, undefined, headers);
  }

  post(path: string, json?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return json === undefined
      ? this.send('POST', path, undefined, headers)
      : this.send('POST', path, JSON.stringify(json), { 'Content-Type': 'application/json', ...headers });
  }

  async send(
    method: string,
    path: string,
    body?: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const agent = new Agent({ keepAlive: false });
    const request = httpsRequest({
      host: '127.0.0.1',
      port: this.#door.port,
      localAddress: this.#localAddress,
      servername: 'localhost',
      ca: this.#door.ca,
      agent,
      method,
      path,
      headers: {
        ...(this.cookie !== undefined && { Cookie: this.cookie }),
        ...(body === undefined || 'Transfer-Encoding' in headers
          ? {}
          : { 'Content-Length': String(Buffer.byteLength(body)) }),
        ...headers,
      },
    });
    // After an early answer the rest of the body may hit a closed socket.
    request.on('error', () => undefined);
    request.end(body);
    const [response] = await once(request, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    for (const line of (response.headers['set-cookie'] ?? []) as string[]) {
      const value = line.split(';')[0] ?? '';
      if (value.startsWith('__Host-sallyport=')) this.cookie = value.endsWith('=') ? undefined : value;
    }
    const bytes = Buffer.concat(chunks);
    let json = {};
    try {
      json = JSON.parse(bytes.toString());
    } catch {
      // Not every answer is JSON.
    }
    return {
      status: response.statusCode,
      headers: response.headers,
      rawHeaders: response.rawHeaders,
      body: bytes,
      json,
    };
  }
}
