import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import https from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runProgram } from '#test/harness/clients/process.ts';
import { prepareOpenSsh } from '#test/harness/clients/sftp-target.ts';
import { hashFile } from './ledger.ts';
import {
  type LocalFile,
  makeFile,
  pickSize,
  signIn,
  storedAt,
  targetOf,
  type Who,
  type World,
} from './world.ts';

/**
 * Clients that move whole files and know nothing of what happens inside. None of them tries anything again: what goes
 * wrong is an error, and an error is a violation.
 */
export type Client = (world: World, who: Who) => Promise<void>;

/** Files each client has; small ones and large ones in turns. */
const filesEach = 6;
/** Longest rest between two transfers. */
const restMsMax = 200;
/** Longest wait for one transfer: the pause that is promised, and the transfer itself on a slow machine. */
const transferMs = 120_000;

export const sftpGet: Client = async (world, who) => {
  const files = await makeFiles(who, storedAt(world, who, ''));
  const local = join(world.folder, who.name, 'got');
  await mkdir(join(local, '..'), { recursive: true });
  const sftp = await LongSftp.start(world, who);
  try {
    await repeat(world, who, async (turn) => {
      const { file, name } = pick(files, who);
      await sftp.run(turn, `get ${name} ${local}`);
      await requireSame(`${who.name}: get of ${name}, turn ${turn}`, local, file);
      downloaded(world, who, name, file);
    });
  } finally {
    await sftp.close();
  }
};

export const sftpPut: Client = async (world, who) => {
  const files = await makeFiles(who, join(world.folder, who.name));
  const sftp = await LongSftp.start(world, who);
  try {
    await repeat(world, who, async (turn) => {
      const { file } = pick(files, who);
      const name = targetName(who);
      await upload(world, who, { name, file, turn }, () => sftp.run(turn, `put ${file.file} ${name}`));
    });
  } finally {
    await sftp.close();
  }
};

export const httpsGet: Client = async (world, who) => {
  const files = await makeFiles(who, storedAt(world, who, ''));
  const local = join(world.folder, who.name, 'got');
  await mkdir(join(local, '..'), { recursive: true });
  const { cookie } = await signIn(world, who);
  await repeat(world, who, async (turn) => {
    const { file, name } = pick(files, who);
    await curl(world, who, cookie, ['-f', '-o', local], `/api/files/${name}`);
    await requireSame(`${who.name}: GET of ${name}, turn ${turn}`, local, file);
    downloaded(world, who, name, file);
  });
};

export const httpsPut: Client = async (world, who) => {
  const files = await makeFiles(who, join(world.folder, who.name));
  const { cookie } = await signIn(world, who);
  await repeat(world, who, async (turn) => {
    const { file } = pick(files, who);
    const name = targetName(who);
    await upload(world, who, { name, file, turn }, () =>
      curl(world, who, cookie, ['--fail-with-body', '-T', file.file], `/api/files/${name}`),
    );
  });
};

/** In pieces; now and then it hangs up in the middle of one, and asks how far main got. */
export const tusUpload: Client = async (world, who) => {
  const files = await makeFiles(who, join(world.folder, who.name));
  const session = await signIn(world, who);
  const { random } = who;
  const ca = await readFile(world.site.files.ca);
  const base = { 'tus-resumable': '1.0.0', cookie: session.cookie };

  /** Resolves with the status; 0 where this client hung up after `leaveAfter` bytes of its own. */
  const patch = (id: string, offset: number, piece: Buffer, leaveAfter: number | undefined) =>
    new Promise<number>((resolve, reject) => {
      const request = https.request(new URL(`/api/uploads/${id}`, world.site.https), {
        method: 'PATCH',
        agent: false,
        ca,
        localAddress: who.address,
        family: 4,
        headers: {
          ...base,
          'content-type': 'application/offset+octet-stream',
          'upload-offset': String(offset),
          'content-length': String(piece.length),
        },
      });
      const timer = setTimeout(() => request.destroy(new Error('no answer in time')), transferMs);
      request.on('close', () => clearTimeout(timer));
      request.on('response', (response) => {
        response.resume();
        response.on('error', reject);
        response.on('end', () => resolve(response.statusCode ?? 0));
      });
      request.on('error', (error) => (leaveAfter === undefined ? reject(error) : resolve(0)));
      if (leaveAfter === undefined) request.end(piece);
      else
        request.write(piece.subarray(0, leaveAfter), () => {
          request.destroy();
          resolve(0);
        });
    });

  await repeat(world, who, async (turn) => {
    const { file } = pick(files, who);
    const name = targetName(who);
    const where = `${who.name}: tus upload of ${name}, turn ${turn}`;
    await upload(world, who, { name, file, turn }, async () => {
      const path = Buffer.from(`/${name}`).toString('base64');
      const created = await session.json('POST', '/api/uploads', undefined, {
        ...base,
        'upload-length': String(file.bytes),
        'upload-metadata': `path ${path},overwrite ${Buffer.from('true').toString('base64')}`,
      });
      if (created.status !== 201) throw new Error(`${where}: POST got ${said(created)}`);
      const id = String(created.body['id']);
      let hasLeft = false;
      for (let offset = 0; offset < file.bytes;) {
        const piece = file.content.subarray(offset, offset + pickSize(random, 12, 22));
        const leaves = random(12) === 0;
        const status = await patch(id, offset, piece, leaves ? random(piece.length) : undefined);
        // What was on its way when this client hung up may land after it was told how far main got.
        if (leaves || (hasLeft && status === 409)) {
          world.ledger.count(leaves ? 'hung up in a tus upload' : 'asked again in a tus upload');
          const asked = await session.json('GET', `/api/uploads/${id}`, undefined, base);
          const reached = Number(asked.body['offset']);
          if (asked.status !== 200 || !(reached >= offset))
            throw new Error(`${where}: GET got ${said(asked)}`);
          offset = reached;
        } else if (status === 204) offset += piece.length;
        else throw new Error(`${where}: PATCH at ${offset} got ${status}`);
        hasLeft = leaves;
      }
    });
  });
};

// — what they share —

interface NamedFile {
  readonly name: string;
  readonly file: LocalFile;
}

async function makeFiles({ random }: Who, folder: string): Promise<readonly NamedFile[]> {
  const files: NamedFile[] = [];
  for (let index = 0; index < filesEach; index += 1) {
    const name = `file-${index}`;
    // Every other one is small. No two have a size in common, so that a look at a size tells them apart.
    const bytes = index % 2 === 0 ? pickSize(random, 8, 17) : pickSize(random, 17, 24);
    files.push({ name, file: await makeFile(join(folder, name), bytes * filesEach + index) });
  }
  return files;
}

function pick(files: readonly NamedFile[], { random }: Who): NamedFile {
  const found = files[random(files.length)];
  if (found === undefined) throw new Error('no file');
  return found;
}

/** Few names, so that most uploads replace a file. */
function targetName({ random }: Who): string {
  return `target-${random(4)}`;
}

async function repeat(world: World, who: Who, run: (turn: number) => Promise<void>): Promise<void> {
  await world.waitForStorm();
  for (let turn = 0; !world.isOver(); turn += 1) {
    await run(turn);
    await delay(who.random(restMsMax));
  }
}

async function requireSame(what: string, local: string, file: LocalFile): Promise<void> {
  const got = await hashFile(local);
  if (got.sha256 !== file.sha256)
    throw new Error(`${what}: ${got.bytes} bytes with another hash instead of ${file.bytes}`);
}

function downloaded({ ledger }: World, { name: user }: Who, name: string, { bytes }: LocalFile): void {
  ledger.count('downloads');
  ledger.transferred({ event: 'file.download', user, path: `/${name}`, bytes });
}

/** One upload: its name has it the moment it was answered, and was whole all the while (`watch.ts`). */
async function upload(
  world: World,
  who: Who,
  { name, file, turn }: NamedFile & { readonly turn: number },
  run: () => Promise<void>,
): Promise<void> {
  const { ledger } = world;
  const stored = storedAt(world, who, name);
  ledger.beginUpload(stored, file);
  await run();
  ledger.endUpload(stored);
  await requireSame(`${who.name}: stored ${name}, turn ${turn}`, stored, file);
  ledger.count('uploads');
  ledger.transferred({ event: 'file.upload', user: who.name, path: `/${name}`, bytes: file.bytes });
}

async function curl(
  { site }: World,
  { name, address }: Who,
  cookie: string,
  args: readonly string[],
  path: string,
): Promise<void> {
  const fixed = ['-sS', '--cacert', site.files.ca, '-b', cookie, '--interface', address];
  const all = [...fixed, '--max-time', String(transferMs / 1000), ...args, `${site.https}${path}`];
  const { status, stdout, stderr } = await runProgram('/usr/bin/curl', all);
  if (status !== 0)
    throw new Error(`${name}: curl ${args.join(' ')} ${path} ended with ${status}: ${stderr}${stdout}`);
}

const said = ({ status, body }: { readonly status: number; readonly body: object }): string =>
  `${status} ${JSON.stringify(body)}`;

/** OpenSSH's own program with one connection for as long as the run; it ends at the first error, as with a batch file. */
class LongSftp {
  readonly #who: Who;
  readonly #child: ChildProcess;
  readonly #folder: string;
  #stdout = '';
  #stderr = '';
  #seen: () => void = () => undefined;
  #exited: number | string | undefined;

  private constructor(who: Who, child: ChildProcess, folder: string) {
    this.#who = who;
    this.#child = child;
    this.#folder = folder;
    child.stdout?.on('data', (piece: Buffer) => {
      this.#stdout += piece.toString();
      this.#seen();
    });
    child.stderr?.on('data', (piece: Buffer) => {
      this.#stderr += piece.toString();
    });
    child.stdin?.on('error', () => undefined);
    child.once('close', (status, signal) => {
      this.#exited = status ?? signal ?? 'nothing';
      this.#seen();
    });
  }

  static async start(world: World, who: Who): Promise<LongSftp> {
    const folder = await mkdtemp(join(world.folder, 'openssh-'));
    const target = targetOf(world, who);
    const { options, env } = await prepareOpenSsh(folder, target);
    const at = ['-o', `BindAddress=${who.address}`, '-P', String(target.port), '-b', '-'];
    const child = spawn('/usr/bin/sftp', [...options, ...at, `${target.user}@${target.host}`], {
      env: { ...process.env, ...env },
      stdio: 'pipe',
    });
    const sftp = new LongSftp(who, child, folder);
    await sftp.run(-1, 'pwd');
    return sftp;
  }

  /** Resolves when the command has ended well: only then does the program go on to the next, which says so. */
  async run(turn: number, command: string): Promise<void> {
    const mark = `ended-${turn}`;
    this.#stdout = '';
    this.#child.stdin?.write(`${command}\n!echo ${mark}\n`);
    const end = performance.now() + transferMs;
    // The program repeats what it is told after its prompt; the mark alone on a line is what `echo` says.
    while (!this.#stdout.split('\n').includes(mark)) {
      const what = `${this.#who.name}: sftp ${command}`;
      if (this.#exited !== undefined)
        throw new Error(`${what}: ended with ${this.#exited}: ${this.#stderr.trim()}`);
      if (performance.now() > end) throw new Error(`${what}: not done in ${transferMs / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#seen = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async close(): Promise<void> {
    if (this.#exited === undefined) {
      const closed = once(this.#child, 'close');
      this.#child.stdin?.end('bye\n');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
      await closed;
      clearTimeout(timer);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
