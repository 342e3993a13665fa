import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { breakCalls, type CallFault, type FailingCalls } from '#test/harness/faulty-files.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Held, startWholeProduct, type WholeProduct } from '#test/harness/whole-product.ts';

/** More than a window of a lane, so that a transfer is under way when the disk fails. */
const content = randomBytes(1_500_001);
const sftpPieceBytes = 32_000;

let product: WholeProduct;
let web: HttpsSession;
let ssh: ssh2.Client;
let sftp: SFTPWrapper;
let broken: FailingCalls | undefined;
/** When both sessions are there and do nothing. */
let idleDescriptors: number;
/** Of the file that is put or got: its own in each test, so that its records are known. */
let name = '';

/** What a client was told, in the order of its requests: `ok`, or code and words. */
type Told = readonly string[];

function ask<T>(act: (done: (error: Error | null | undefined, result: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    act((error, result) => {
      if (error === null || error === undefined) resolve(result);
      else reject(error);
    });
  });
}

/** What users can read out of what they were told, in the test that runs. */
const references: string[] = [];

async function toldBy(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
    return 'ok';
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) return String(error);
    const [, text = '', reference] = /^(.*?)(?: \(reference (\w{8})\))?$/s.exec(error.message) ?? [];
    if (reference !== undefined) references.push(reference);
    return `${String(error.code)} ${text}`;
  }
}

const toldBySftp = (act: (done: (error: Error | null | undefined) => void) => void): Promise<string> =>
  toldBy(() => ask<void>((done) => act((error) => done(error, undefined))));

async function connectSsh(): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve);
    client.once('error', reject);
    const sock = net.connect(product.sftpPort, '127.0.0.1').setNoDelay(true);
    client.connect({ sock, username: 'carol', password: product.password('carol') });
  });
  return client;
}

/** Where the pieces of the file begin. */
const offsets = Array.from(
  { length: Math.ceil(content.length / sftpPieceBytes) },
  (_, piece) => piece * sftpPieceBytes,
);
const lengthAt = (at: number): number => Math.min(sftpPieceBytes, content.length - at);
const firstTrouble = (told: Told): string => told.find((one) => one !== 'ok') ?? 'ok';

async function sftpPut({ flags = 'w', syncs = 0 }: { flags?: 'w' | 'wx'; syncs?: number }): Promise<Told> {
  let handle: Buffer = Buffer.alloc(0);
  const opened = await toldBy(async () => {
    handle = await ask<Buffer>((done) => sftp.open(`/${name}`, flags, done));
  });
  if (opened !== 'ok') return [opened];
  const written = offsets.map((at) =>
    toldBySftp((done) => sftp.write(handle, content, at, lengthAt(at), at, done)),
  );
  const told = [opened, firstTrouble(await Promise.all(written))];
  for (let sync = 0; sync < syncs; sync += 1) {
    told.push(await toldBySftp((done) => sftp.ext_openssh_fsync(handle, done)));
    broken?.restore();
  }
  told.push(await toldBySftp((done) => sftp.close(handle, done)));
  return told;
}

async function sftpGet(): Promise<Told> {
  let handle: Buffer = Buffer.alloc(0);
  const opened = await toldBy(async () => {
    handle = await ask<Buffer>((done) => sftp.open(`/${name}`, 'r', done));
  });
  if (opened !== 'ok') return [opened];
  const read = offsets.map((at) =>
    toldBySftp((done) => sftp.read(handle, Buffer.alloc(lengthAt(at)), 0, lengthAt(at), at, done)),
  );
  const told = firstTrouble(await Promise.all(read));
  return [opened, told, await toldBySftp((done) => sftp.close(handle, done))];
}

interface WebAnswer {
  /** Status and code of the error's body; `cut` where the answer broke off. */
  readonly told: string;
  readonly location: string;
}

function call(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: Buffer,
  /** Goes away then. */
  leaving?: AbortSignal,
): Promise<WebAnswer> {
  return new Promise((resolve) => {
    const options = {
      method,
      agent: false as const,
      ca: readFileSync(product.files.ca),
      headers: { cookie: web.cookie, ...headers },
    };
    const request = https.request(new URL(path, product.https), options, (response) => {
      const { statusCode = 0, headers: got } = response;
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', () => resolve({ told: `${statusCode} cut`, location: '' }));
      response.on('end', () => {
        const isError = got['content-type']?.startsWith('application/problem+json') === true;
        const problem = isError
          ? (JSON.parse(Buffer.concat(pieces).toString()) as Readonly<Record<string, unknown>>)
          : {};
        const told = isError ? `${statusCode} ${String(problem['code'])}` : String(statusCode);
        expect(problem['status'] ?? statusCode).toBe(statusCode);
        resolve({ told, location: got.location ?? '' });
      });
    });
    request.on('error', (error) => resolve({ told: String(error), location: '' }));
    leaving?.addEventListener('abort', () => request.destroy());
    request.end(body);
  });
}

const tus = { 'tus-resumable': '1.0.0' };

async function tusPut(): Promise<Told> {
  const metadata = `path ${Buffer.from(`/${name}`).toString('base64')}`;
  const facts = { 'upload-length': String(content.length), 'upload-metadata': metadata };
  const created = await call('POST', '/api/uploads', { ...tus, ...facts });
  if (created.told !== '201') return [created.told];
  const offset = { 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' };
  const patched = await call('PATCH', created.location, { ...tus, ...offset }, content);
  // What may be resumed is still there, and gone when its user says so.
  const removed = await call('DELETE', created.location, tus);
  return [created.told, patched.told, removed.told];
}

const acts = {
  'SFTP put': () => sftpPut({}),
  'SFTP put of a new file only': () => sftpPut({ flags: 'wx' }),
  'SFTP put with fsync': () => sftpPut({ syncs: 2 }),
  'SFTP get': sftpGet,
  'HTTPS PUT': async () => [(await call('PUT', `/api/files/${name}`, {}, content)).told],
  'HTTPS PUT of a new file only': async () => [
    (await call('PUT', `/api/files/${name}`, { 'if-none-match': '*' }, content)).told,
  ],
  'HTTPS GET': async () => [(await call('GET', `/api/files/${name}`)).told],
  tus: tusPut,
} as const satisfies Readonly<Record<string, () => Promise<Told>>>;

interface Row {
  readonly disk: string;
  readonly fault: CallFault;
  /** The outcome and the beginning of the detail of the one record, or none. */
  readonly record: readonly [event: string, outcome: string, detail: string];
  readonly told: Readonly<Partial<Record<keyof typeof acts, Told>>>;
  /** Doors after which a part waits to be resumed, until the next upload of that name. */
  readonly keeps?: readonly (keyof typeof acts)[];
  /** All the same, and whole. */
  readonly isVisible?: boolean;
}

const part = /\.sallyport-staging\/[^/]+\.part$/;
const full = '4 The storage is full';
const failed = '4 The storage failed';

const rows: readonly Row[] = [
  {
    disk: 'is full when the file is opened',
    fault: { call: 'open', on: part, how: 'ENOSPC' },
    record: ['file.refused', 'failed', 'ENOSPC'],
    told: { 'SFTP put': [full], 'HTTPS PUT': ['507 no-space'], tus: ['507 no-space'] },
  },
  {
    disk: 'is full when the record of the upload is written',
    fault: { call: 'writev', on: /\.json$/, how: 'ENOSPC' },
    record: ['file.refused', 'failed', 'ENOSPC'],
    told: { 'SFTP put': [full], 'HTTPS PUT': ['507 no-space'], tus: ['507 no-space'] },
  },
  {
    disk: 'is full in the middle',
    fault: { call: 'writev', on: part, how: 'ENOSPC', after: 2 },
    record: ['file.upload', 'failed', 'no-space'],
    told: {
      'SFTP put': ['ok', full, full],
      'HTTPS PUT': ['507 no-space'],
      tus: ['201', '507 no-space', '204'],
    },
    keeps: ['SFTP put'],
  },
  {
    disk: 'fails in the middle of writing',
    fault: { call: 'writev', on: part, how: 'EIO', after: 2 },
    record: ['file.upload', 'failed', 'io-error'],
    told: {
      'SFTP put': ['ok', failed, failed],
      'HTTPS PUT': ['500 io-error'],
      tus: ['201', '500 io-error', '204'],
    },
    keeps: ['SFTP put'],
  },
  {
    disk: 'has a quota of its own that is reached',
    fault: { call: 'writev', on: part, how: 'EDQUOT', after: 1 },
    record: ['file.upload', 'failed', 'quota-exceeded'],
    told: {
      'SFTP put': ['ok', '4 Your quota is used up', '4 Your quota is used up'],
      'HTTPS PUT': ['507 quota-exceeded'],
    },
    keeps: ['SFTP put'],
  },
  {
    // The kernel drops what it could not write and tells so once: nothing that was sent may be built on.
    disk: 'fails when the file is synced',
    fault: { call: 'fsync', on: part, how: 'EIO' },
    record: ['file.upload', 'failed', 'io-error, given up'],
    told: {
      'SFTP put': ['ok', 'ok', failed],
      'SFTP put with fsync': ['ok', 'ok', failed, failed, failed],
      'HTTPS PUT': ['500 io-error'],
      tus: ['201', '500 io-error', '404 not-found'],
    },
  },
  {
    disk: 'fails when the file gets its name',
    fault: { call: 'rename', on: part, how: 'EIO' },
    record: ['file.upload', 'failed', 'io-error'],
    told: { 'SFTP put': ['ok', 'ok', failed], 'HTTPS PUT': ['500 io-error'] },
    keeps: ['SFTP put'],
  },
  {
    disk: 'fails when the first of two names is removed',
    fault: { call: 'unlink', on: part, how: 'EIO' },
    record: ['file.upload', 'failed', 'io-error'],
    told: {
      'SFTP put of a new file only': ['ok', 'ok', failed],
    },
    keeps: ['SFTP put of a new file only'],
  },
  {
    disk: 'fails when the folder is synced, and the whole file is there',
    fault: { call: 'fsync', on: /\/files\/carol$/, how: 'EIO' },
    record: ['file.upload', 'failed', 'new file, .*, there, but its folder could not be synced'],
    told: {
      'SFTP put': ['ok', 'ok', failed],
      'HTTPS PUT': ['500 io-error'],
      'HTTPS PUT of a new file only': ['500 io-error'],
      tus: ['201', '500 io-error', '404 not-found'],
    },
    isVisible: true,
  },
  {
    disk: 'fails at the first read',
    fault: { call: 'readv', on: /\/carol\/[^/]+\.bin$/, how: 'EIO' },
    record: ['file.download', 'failed', 'The storage failed'],
    told: { 'SFTP get': ['ok', failed, 'ok'], 'HTTPS GET': ['500 io-error'] },
  },
  {
    disk: 'fails in the middle of reading',
    fault: { call: 'readv', on: /\/carol\/[^/]+\.bin$/, how: 'EIO', after: 1 },
    record: ['file.download', 'failed', 'The storage failed'],
    told: { 'SFTP get': ['ok', failed, 'ok'], 'HTTPS GET': ['200 cut'] },
  },
  {
    disk: 'fails when the file is opened for reading',
    fault: { call: 'open', on: /\/carol\/[^/]+\.bin$/, how: 'EIO' },
    record: ['file.refused', 'failed', 'EIO'],
    told: { 'SFTP get': [failed], 'HTTPS GET': ['500 io-error'] },
  },
];

beforeAll(async () => {
  product = await startWholeProduct({ users: [buildDemoUser('carol')] });
  web = new HttpsSession(product.https, product.files.ca);
  await web.json('POST', '/api/login', { username: 'carol', password: product.password('carol') });
  ssh = await connectSsh();
  sftp = await ask<SFTPWrapper>((done) => ssh.sftp(done));
  // What the first of each kind opens for good.
  name = 'first.bin';
  for (const act of [acts['SFTP put'], acts['SFTP get'], acts['HTTPS PUT'], acts['HTTPS GET']]) await act();
  await call('DELETE', `/api/files/${name}`);
  idleDescriptors = (await product.held()).descriptors;
});
afterEach(() => broken?.restore());
afterAll(async () => {
  ssh.end();
  await product.close();
});

const stored = (...names: readonly string[]): string => join(product.files.files, 'carol', ...names);

async function recordsOfFile(): Promise<readonly Record<string, unknown>[]> {
  return (await product.audit()).filter(({ path }) => path === `/${name}`);
}

/** All that is counted, once nothing is under way any more. */
async function settled(): Promise<Held> {
  await expect.poll(async () => (await product.held()).requests).toBe(0);
  return product.held();
}

/** Folders are held open for a second longer than they are needed: what counts is that it comes down again. */
async function expectNothingHeld(): Promise<void> {
  await expect
    .poll(async () => {
      const { handles, streams, frames, requests, descriptors } = await product.held();
      return { handles, streams, frames, requests, descriptors: Math.max(0, descriptors - idleDescriptors) };
    })
    .toEqual({ handles: 0, streams: 0, frames: 0, requests: 0, descriptors: 0 });
}

describe('a disk that', () => {
  const cases = rows.flatMap((row) =>
    Object.entries(row.told).map(([door, told]) => ({ ...row, door: door as keyof typeof acts, told })),
  );
  it.each(cases)('$disk: $door is told, the audit once, and nothing is left', async (row) => {
    const { door, fault, told, record, keeps = [], isVisible = false } = row;
    name = `${randomBytes(6).toString('hex')}.bin`;
    const isThereBefore = door.endsWith('get') || door.endsWith('GET');
    if (isThereBefore) await writeFile(stored(name), content);
    const { staging } = await settled();
    references.length = 0;
    broken = breakCalls(fault);
    expect(await acts[door]()).toEqual(told);
    broken.restore();
    await expect
      .poll(async () => (await product.audit()).map(({ reference }) => reference))
      .toEqual(expect.arrayContaining(references));
    const [event, outcome, detail] = record;
    await expect
      .poll(recordsOfFile)
      .toEqual([expect.objectContaining({ event, outcome, detail: expect.stringMatching(`^${detail}`) })]);
    const isThere = isThereBefore || isVisible;
    expect(readdirSync(stored())).toEqual(isThere ? [name] : []);
    expect(isThere ? readFileSync(stored(name)).equals(content) : true).toBe(true);
    // A part and its record.
    const kept = keeps.includes(door) ? 2 : 0;
    await expectNothingHeld();
    expect((await product.held()).staging).toHaveLength(staging.length + kept);
    // The disk is well again: so is everything else, and a part that waited is gone.
    expect(await acts['HTTPS PUT']()).toEqual([isThere ? '204' : '201']);
    expect((await call('DELETE', `/api/files/${name}`)).told).toBe('204');
    await expect.poll(async () => (await product.held()).staging).toEqual(staging);
  });
});

describe('a disk that does not answer', () => {
  const hangs = {
    writing: { call: 'writev', on: part, how: 'waits', after: 1 },
    syncing: { call: 'fsync', on: part, how: 'waits' },
    naming: { call: 'rename', on: part, how: 'waits' },
    reading: { call: 'readv', on: /\/carol\/[^/]+\.bin$/, how: 'waits', after: 1 },
  } as const satisfies Readonly<Record<string, CallFault>>;

  /** Its bytes, where it is there. */
  async function beginFile(isThere: boolean): Promise<void> {
    name = `${randomBytes(6).toString('hex')}.bin`;
    if (isThere) await writeFile(stored(name), content);
  }

  it.each([
    ['SFTP put', 'writing', ['ok', 'ok', 'ok']],
    ['SFTP put', 'syncing', ['ok', 'ok', 'ok']],
    ['SFTP get', 'reading', ['ok', 'ok', 'ok']],
    ['HTTPS PUT', 'writing', ['201']],
    ['HTTPS PUT', 'naming', ['201']],
    ['HTTPS GET', 'reading', ['200']],
  ] as const)('%s waits for the %s, nobody else does, and all goes on', async (door, hang, told) => {
    await beginFile(hang === 'reading');
    const fault = (broken = breakCalls(hangs[hang]));
    const acting = acts[door]();
    await expect.poll(() => fault.count).toBeGreaterThan(0);
    const other = new HttpsSession(product.https, product.files.ca);
    const login = { username: 'carol', password: product.password('carol') };
    expect((await other.json('POST', '/api/login', login)).body['state']).toBe('signed-in');
    expect((await other.json('GET', '/api/files?list')).status).toBeLessThan(500);
    expect((await other.json('POST', '/api/logout')).status).toBeLessThan(300);
    fault.restore();
    expect(await acting).toEqual(told);
    await expect.poll(recordsOfFile).toEqual([expect.objectContaining({ outcome: 'ok' })]);
    expect(readFileSync(stored(name)).equals(content)).toBe(true);
    await call('DELETE', `/api/files/${name}`);
    await expectNothingHeld();
  });

  it.each([
    ['PUT', 'writing', 'file.upload'],
    ['GET', 'reading', 'file.download'],
  ] as const)(
    'a client that leaves its %s in the %s has cut it once the disk answers',
    async (method, hang, event) => {
      await beginFile(method === 'GET');
      const { staging } = await settled();
      const fault = (broken = breakCalls(hangs[hang]));
      const leaving = new AbortController();
      const body = method === 'PUT' ? content : undefined;
      // One byte of it never comes.
      const announced = body === undefined ? {} : { 'content-length': String(content.length + 1) };
      const acting = call(method, `/api/files/${name}`, announced, body, leaving.signal);
      await expect.poll(() => fault.count).toBeGreaterThan(0);
      leaving.abort();
      await acting;
      fault.restore();
      await expect.poll(recordsOfFile).toEqual([expect.objectContaining({ event, outcome: 'cut' })]);
      await expectNothingHeld();
      expect((await product.held()).staging).toEqual(staging);
      if (method === 'GET') await call('DELETE', `/api/files/${name}`);
      expect(readdirSync(stored())).toEqual([]);
    },
  );

  it('an SFTP client that leaves a put and a get while it hangs has cut both, and the put can go on', async () => {
    await beginFile(true);
    const { staging } = await settled();
    const faults = [breakCalls(hangs.writing), breakCalls(hangs.reading)];
    const client = await connectSsh();
    const session = await ask<SFTPWrapper>((done) => client.sftp(done));
    const ignore = (): void => undefined;
    const reading = await ask<Buffer>((done) => session.open(`/${name}`, 'r', done));
    const writing = await ask<Buffer>((done) => session.open(`/up-${name}`, 'w', done));
    for (const at of offsets) {
      session.read(reading, Buffer.alloc(lengthAt(at)), 0, lengthAt(at), at, ignore);
      session.write(writing, content, at, lengthAt(at), at, ignore);
    }
    await expect.poll(() => faults.map(({ count }) => count > 0)).toEqual([true, true]);
    client.destroy();
    await expect.poll(async () => (await product.held()).streams).toBe(0);
    for (const fault of faults) fault.restore();
    const cut = expect.objectContaining({ outcome: 'cut' });
    await expect.poll(recordsOfFile).toEqual([cut]);
    await expect
      .poll(async () => (await product.audit()).filter(({ path }) => path === `/up-${name}`))
      .toEqual([cut]);
    await expectNothingHeld();
    expect((await product.held()).staging).toHaveLength(staging.length + 2);
    expect(readdirSync(stored())).toEqual([name]);
    await call('DELETE', `/api/files/${name}`);
  });
});

describe('a quota that is reached in the middle of an upload', () => {
  async function quotaOf(): Promise<unknown> {
    return (await web.json('GET', '/api/me')).body['quota'];
  }

  it('each door says so, the audit once, and what was taken on account of it is given back', async () => {
    const file = join(product.files.main.users, 'carol.yaml');
    const unlimited = readFileSync(file, 'utf8');
    const { used_bytes: usedBytes } = (await quotaOf()) as { readonly used_bytes: number };
    // Room for some of the file.
    const limitMiB = Math.floor(usedBytes / 2 ** 20) + 1;
    await writeFile(file, `${unlimited}quota: ${limitMiB}MiB\n`);
    const untouched = { used_bytes: usedBytes, limit_bytes: limitMiB * 2 ** 20 };
    await expect.poll(quotaOf).toEqual(untouched);
    const { staging } = await settled();
    const used = '4 Your quota is used up';
    const failedUpload = { event: 'file.upload', outcome: 'failed' };
    for (const [door, told, record] of [
      ['HTTPS PUT', ['507 quota-exceeded'], failedUpload],
      // It says how long it will be.
      ['tus', ['507 quota-exceeded'], { event: 'file.refused', outcome: 'refused' }],
      ['SFTP put', ['ok', used, used], failedUpload],
    ] as const) {
      name = `${randomBytes(6).toString('hex')}.bin`;
      expect(await acts[door]()).toEqual(told);
      await expect.poll(recordsOfFile).toEqual([expect.objectContaining(record)]);
      await expectNothingHeld();
      // The part that may be resumed is there and counts; whoever uploads the name anew drops it.
      const kept = door === 'SFTP put' ? 2 : 0;
      expect((await product.held()).staging).toHaveLength(staging.length + kept);
      expect(kept === 0 ? await quotaOf() : untouched).toEqual(untouched);
      expect(readdirSync(stored())).toEqual([]);
    }
    await writeFile(file, unlimited);
    await expect.poll(quotaOf).not.toHaveProperty('limit_bytes');
  });
});
