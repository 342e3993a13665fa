import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSftpWithLibrary, checkSftpWithOpenSsh } from './self-check-sftp.ts';

/**
 * Proves on real input that what was just started works: a login with a one-time code, an upload and a download,
 * over both doors, as a user of its own whose traces nobody else sees.
 */
interface SelfCheckTarget {
  readonly https: string;
  readonly caFile: string;
  readonly sftp: { readonly host: string; readonly port: number; readonly hostKey: string };
  readonly username: string;
  readonly password: string;
  /** Each call gives a code that was not used before; it may wait for the next time step. */
  readonly nextCode: () => Promise<string>;
}

export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly error?: string;
}

/** Big enough to cross many frames and a credit window, small enough not to slow a start. */
const sampleBytes = 3 * 1024 * 1024 + 1;

/** Of the step before, this one and the next. */
const codesInForce = 3;

export async function runSelfCheck(target: SelfCheckTarget): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const sample = randomBytes(sampleBytes);
  const session = new HttpsSession(target, await readFile(target.caFile));
  const check = async (name: string, run: () => Promise<void>): Promise<void> => {
    const start = performance.now();
    try {
      await run();
      results.push({ name, ok: true, ms: Math.round(performance.now() - start) });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      results.push({ name, ok: false, ms: Math.round(performance.now() - start), error: message });
    }
  };

  await check('https: a stranger gets nothing', async () => {
    expectStatus(await session.call('GET', '/api/files/'), 401);
  });
  await check('https: password alone gets nothing', async () => {
    const answer = await session.call('POST', '/api/login', {
      username: target.username,
      password: target.password,
    });
    expectStatus(answer, 200);
    if (!answer.body.toString().includes('"code-required"')) throw new Error('no code was asked');
    expectStatus(await session.call('GET', '/api/files/'), 401);
  });
  await check('https: password and code sign in', async () => {
    let answer = await session.call('POST', '/api/login/code', { code: await target.nextCode() });
    // A demo that ran a moment ago has used codes of this time already.
    for (let spent = 0; spent < codesInForce && answer.body.toString().includes('"used-code"'); spent += 1)
      answer = await session.call('POST', '/api/login/code', { code: await target.nextCode() });
    expectStatus(answer, 200);
  });
  await check('https: upload', async () => {
    expectStatus(await session.call('PUT', '/api/files/self-check.bin', sample), 201);
  });
  await check('https: download', async () => {
    const answer = await session.call('GET', '/api/files/self-check.bin');
    expectStatus(answer, 200);
    expectSame(answer.body, sample);
  });
  await check('sftp: password and code, get and put', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-self-check-'));
    try {
      const local = join(folder, 'put.bin');
      await writeFile(local, sample);
      const options = { ...target, folder, local, code: await target.nextCode() };
      const run = existsSync('/usr/bin/sftp') ? checkSftpWithOpenSsh : checkSftpWithLibrary;
      await run(options);
      expectSame(await readFile(join(folder, 'got.bin')), sample);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
  await check('https: reads what sftp wrote', async () => {
    const answer = await session.call('GET', '/api/files/self-check-sftp.bin');
    expectStatus(answer, 200);
    expectSame(answer.body, sample);
  });
  await check('https: clean up and sign out', async () => {
    expectStatus(await session.call('DELETE', '/api/files/self-check.bin'), 204);
    expectStatus(await session.call('DELETE', '/api/files/self-check-sftp.bin'), 204);
    expectStatus(await session.call('POST', '/api/logout'), 204);
  });
  return results;
}

function expectStatus(answer: Answer, status: number): void {
  if (answer.status !== status)
    throw new Error(
      `status ${answer.status} instead of ${status}: ${answer.body.subarray(0, 200).toString()}`,
    );
}

function expectSame(got: Buffer, wanted: Buffer): void {
  const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  if (digest(got) !== digest(wanted))
    throw new Error(`content differs: ${got.length} of ${wanted.length} bytes`);
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** A hung request must end the check, not the patience. */
const requestTimeoutMs = 20_000;

class HttpsSession {
  readonly #target: SelfCheckTarget;
  readonly #ca: Buffer;
  #cookie = '';

  constructor(target: SelfCheckTarget, ca: Buffer) {
    this.#target = target;
    this.#ca = ca;
  }

  call(method: string, path: string, body?: Buffer | object): Promise<Answer> {
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const headers: Record<string, string> = {};
    if (bytes !== undefined) headers['content-length'] = String(bytes.length);
    if (bytes !== undefined && bytes !== body) headers['content-type'] = 'application/json';
    if (this.#cookie !== '') headers['cookie'] = this.#cookie;
    return new Promise((resolve, reject) => {
      const request = https.request(
        new URL(path, this.#target.https),
        { method, headers, ca: this.#ca, agent: false, timeout: requestTimeoutMs },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('error', reject);
          response.on('end', () => {
            const cookie = response.headers['set-cookie']?.[0]?.split(';')[0];
            if (cookie !== undefined) this.#cookie = cookie.endsWith('=') ? '' : cookie;
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces) });
          });
        },
      );
      request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer`)));
      request.on('error', reject);
      request.end(bytes);
    });
  }
}
