import { readFileSync } from 'node:fs';
import https from 'node:https';

/** A browser-less session in this process: for many users at once, where a curl each would measure process starts. */
export class HttpsSession {
  readonly #origin: string;
  readonly #ca: Buffer;
  readonly #localAddress: string;
  /**
   * Sent with each request, and replaced by what the answers set. A program that goes on with this session reads it,
   * a thief sets another's.
   */
  cookie = '';

  /** `localAddress`: which of 127.0.0.0/8 this user comes from. */
  constructor(origin: string, caFile: string, localAddress = '127.0.0.1') {
    this.#origin = origin;
    this.#ca = readFileSync(caFile);
    this.#localAddress = localAddress;
  }

  async json(
    method: string,
    path: string,
    value?: object,
    extraHeaders: Readonly<Record<string, string>> = {},
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const pieces: Buffer[] = [];
    const body = value === undefined ? undefined : JSON.stringify(value);
    const status = await this.stream(method, path, (piece) => pieces.push(piece), body, extraHeaders);
    const text = Buffer.concat(pieces).toString();
    return { status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }

  /** Resolves with the status after the last byte. */
  stream(
    method: string,
    path: string,
    onPiece: (piece: Buffer) => void,
    body?: string,
    extraHeaders: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers: Record<string, string> = { ...extraHeaders };
      if (this.cookie !== '') headers['cookie'] = this.cookie;
      if (body !== undefined) headers['content-type'] = 'application/json';
      const from = { localAddress: this.#localAddress, family: 4 };
      const options = { method, headers, ca: this.#ca, agent: false as const, ...from };
      const request = https.request(new URL(path, this.#origin), options, (response) => {
        const cookie = response.headers['set-cookie']?.[0]?.split(';')[0];
        if (cookie !== undefined) this.cookie = cookie;
        response.on('data', onPiece);
        response.on('error', reject);
        response.on('end', () => resolve(response.statusCode ?? 0));
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}
