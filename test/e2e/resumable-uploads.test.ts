import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DefaultHttpStack, Upload } from 'tus-js-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import {
  type Product,
  sha256,
  sha256OfFile,
  startProduct,
  waitUntil,
  writeRandomFile,
} from '#test/harness/product.ts';

const bytes = 48 * 1024 * 1024;

describe('resumable uploads', () => {
  let product: Product;
  let local: string;
  let hash: string;
  beforeAll(async () => {
    product = await startProduct();
    local = join(product.folder, 'big.bin');
    hash = await writeRandomFile(local, bytes);
  });
  afterAll(() => product.close());

  const stored = (name: string): string => join(product.site.files.files, 'frank', name);

  async function signIn(): Promise<HttpsSession> {
    const session = new HttpsSession(product.site.https, product.site.files.ca);
    const answer = await session.json('POST', '/api/login', {
      username: 'frank',
      password: product.password('frank'),
    });
    expect(answer.body['state']).toBe('signed-in');
    return session;
  }

  async function listed(session: HttpsSession): Promise<{ id: string; path: string; offset: number }[]> {
    const { body } = await session.json('GET', '/api/uploads');
    return body['uploads'] as { id: string; path: string; offset: number }[];
  }

  /** tus-js-client, as a script would use it. Resolves when it is done; `onProgress` may abort it. */
  async function uploadWithTus(
    session: HttpsSession,
    target: { readonly path: string } | { readonly uploadUrl: string },
    onProgress: (sent: number, upload: Upload) => void,
  ): Promise<'done' | 'aborted'> {
    const ca = await readFile(product.site.files.ca);
    return new Promise((resolve, reject) => {
      const upload = new Upload(createReadStream(local), {
        endpoint: `${product.site.https}/api/uploads`,
        ...('uploadUrl' in target ? { uploadUrl: target.uploadUrl } : {}),
        ...('path' in target ? { metadata: { path: target.path } } : {}),
        uploadSize: bytes,
        chunkSize: 8 * 1024 * 1024,
        headers: { Cookie: session.cookie },
        httpStack: new DefaultHttpStack({ ca }),
        retryDelays: [200, 500, 1000, 2000, 4000, 8000],
        onSuccess: () => resolve('done'),
        onError: reject,
        onChunkComplete: (_size, sent) => {
          onProgress(sent, upload);
        },
      });
      upload.start();
      const abort = upload.abort.bind(upload);
      upload.abort = async (shouldTerminate?: boolean) => {
        await abort(shouldTerminate);
        resolve('aborted');
      };
    });
  }

  it('tus-js-client stops half way, signs in anew and goes on where the disk of main got to', async () => {
    const first = await signIn();
    const outcome = await uploadWithTus(first, { path: '/tus.bin' }, (sent, upload) => {
      if (sent >= bytes / 2) void upload.abort();
    });
    expect(outcome).toBe('aborted');
    await first.json('POST', '/api/logout');

    const second = await signIn();
    const [unfinished] = await listed(second);
    expect(unfinished?.path).toBe('/tus.bin');
    const had = unfinished?.offset ?? 0;
    expect(had).toBeGreaterThanOrEqual(bytes / 2);
    expect(had).toBeLessThan(bytes);
    let least = bytes;
    const uploadUrl = `${product.site.https}/api/uploads/${unfinished?.id ?? ''}`;
    await uploadWithTus(second, { uploadUrl }, (sent) => {
      least = Math.min(least, sent);
    });
    expect(least).toBeGreaterThan(had);
    expect(sha256OfFile(stored('tus.bin'))).toBe(hash);
    expect(await listed(second)).toEqual([]);
  });

  it('a main that is killed in the middle is a pause', async () => {
    const session = await signIn();
    let killed: Promise<void> | undefined;
    const outcome = await uploadWithTus(session, { path: '/killed.bin' }, () => {
      killed ??= product.killMain();
    });
    await killed;
    expect(outcome).toBe('done');
    expect(sha256OfFile(stored('killed.bin'))).toBe(hash);
  });

  it('tus-js-client may give a finished upload up: its address is gone, the file stays', async () => {
    const session = await signIn();
    let url = '';
    await uploadWithTus(session, { path: '/ended.bin' }, (_sent, upload) => {
      url = upload.url ?? '';
    });
    const ca = await readFile(product.site.files.ca);
    const options = { headers: { Cookie: session.cookie }, httpStack: new DefaultHttpStack({ ca }) };
    await Upload.terminate(url, options);
    expect(sha256OfFile(stored('ended.bin'))).toBe(hash);
    await expect(Upload.terminate(url, { ...options, retryDelays: [] })).rejects.toThrow(/404/);
  });

  it('curl creates, sends half, asks how far it got, sends the rest with its checksum, and removes another', async () => {
    const frank = await CurlSession.start(product.site.https, product.site.files.ca);
    await frank.json('POST', '/api/login', { username: 'frank', password: product.password('frank') });
    const content = (await readFile(local)).subarray(0, 1_000_000);
    const half = join(product.folder, 'half');
    const header = (...lines: string[]): string[] => lines.flatMap((line) => ['-H', line]);
    const tus = header('Tus-Resumable: 1.0.0');
    const path = Buffer.from('/curl.bin').toString('base64');
    const create = [
      '-X',
      'POST',
      ...tus,
      ...header('Upload-Length: 1000000', `Upload-Metadata: path ${path}`),
    ];
    const locationOf = (headers: string): string => /^location: (\S+)/im.exec(headers)?.[1] ?? '';
    const made = await frank.call('/api/uploads', create);
    expect(made.status).toBe(201);
    const location = locationOf(made.headers);
    const patch = async (from: number, to: number, ...more: string[]): Promise<number> => {
      await writeFile(half, content.subarray(from, to));
      const headers = header(
        `Upload-Offset: ${from}`,
        'Content-Type: application/offset+octet-stream',
        ...more,
      );
      return (await frank.call(location, ['-X', 'PATCH', ...tus, ...headers, '--data-binary', `@${half}`]))
        .status;
    };
    expect(await patch(0, 400_000)).toBe(204);
    const head = await frank.call(location, ['-I', ...tus]);
    expect(head.headers).toMatch(/^upload-offset: 400000\r$/im);
    expect(
      await patch(400_000, 1_000_000, `Upload-Checksum: sha1 ${Buffer.alloc(20).toString('base64')}`),
    ).toBe(460);
    const digest = Buffer.from(sha256(content.subarray(400_000)), 'hex').toString('base64');
    expect(await patch(400_000, 1_000_000, `Upload-Checksum: sha256 ${digest}`)).toBe(204);
    expect(sha256OfFile(stored('curl.bin'))).toBe(sha256(content));

    const second = await frank.call('/api/uploads', [
      ...create.slice(0, -1),
      `Upload-Metadata: path ${Buffer.from('/gone.bin').toString('base64')}`,
    ]);
    const removed = await frank.call(locationOf(second.headers), ['-X', 'DELETE', ...tus]);
    expect(removed.status).toBe(204);
    await frank.close();
  });

  it('a folder comes out as one archive that unzips to the same bytes', async () => {
    const frank = await CurlSession.start(product.site.https, product.site.files.ca);
    await frank.json('POST', '/api/login', { username: 'frank', password: product.password('frank') });
    const answer = await frank.call('/api/files/?zip=1');
    expect(answer.status).toBe(200);
    const zip = join(product.folder, 'all.zip');
    await writeFile(zip, answer.body);
    const script =
      'import sys,zipfile,hashlib; z=zipfile.ZipFile(sys.argv[1]); print(hashlib.sha256(z.read("tus.bin")).hexdigest())';
    const { stdout } = await runProgram('python3', ['-c', script, zip]);
    expect(stdout.trim()).toBe(hash);
    await frank.close();
    await waitUntil(() => product.audit().some((one) => one['path'] === '/tus.bin'), 5_000);
  });
});
