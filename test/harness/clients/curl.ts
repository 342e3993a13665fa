import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from './process.ts';

/** One user's browser-less session: a cookie jar and the real curl. */
export class CurlSession {
  readonly #origin: string;
  readonly #caFile: string;
  readonly #folder: string;

  private constructor(origin: string, caFile: string, folder: string) {
    this.#origin = origin;
    this.#caFile = caFile;
    this.#folder = folder;
  }

  static async start(origin: string, caFile: string): Promise<CurlSession> {
    return new CurlSession(origin, caFile, await mkdtemp(join(tmpdir(), 'sallyport-curl-')));
  }

  /** `args` go to curl as they are; a status of 0 means that there was no HTTP answer. */
  async call(
    path: string,
    args: readonly string[] = [],
    body?: string | Buffer,
  ): Promise<{ readonly status: number; readonly body: Buffer; readonly headers: string }> {
    const out = join(this.#folder, 'body');
    const headers = join(this.#folder, 'headers');
    await writeFile(out, '');
    await writeFile(headers, '');
    const jar = join(this.#folder, 'cookies');
    const fixed = ['-sS', '--cacert', this.#caFile, '-b', jar, '-c', jar, '-o', out, '-D', headers];
    const input = body === undefined ? [] : ['--data-binary', '@-'];
    const { stdout } = await runProgram(
      '/usr/bin/curl',
      [...fixed, '--max-time', '60', '-w', '%{http_code}', ...input, ...args, `${this.#origin}${path}`],
      body === undefined ? {} : { input: body },
    );
    return {
      status: Number(stdout.trim()),
      body: await readFile(out),
      headers: await readFile(headers, 'utf8'),
    };
  }

  async json(
    method: string,
    path: string,
    value?: object,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const args = ['-X', method, '-H', 'Content-Type: application/json'];
    const answer = await this.call(path, args, value === undefined ? undefined : JSON.stringify(value));
    const text = answer.body.toString();
    return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }

  async login(
    username: string,
    password: string,
    code?: string,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const first = await this.json('POST', '/api/login', { username, password });
    if (code === undefined || first.body['state'] !== 'code-required') return first;
    return this.json('POST', '/api/login/code', { code });
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
