import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { signIn, targetOf, type Who, type World } from './world.ts';

/** `refused`: by what is there. Everything else that is not done is an error, and none may come. */
export type Answer = 'ok' | 'refused';

export interface Listed {
  readonly name: string;
  readonly isFolder: boolean;
  /** Of files. */
  readonly bytes: number;
}

/** What a client does with names, the same at both doors. Throws what no client may see. */
export interface Door {
  readonly user: string;
  /** Whether what is asked without waiting for answers is done in that order. */
  readonly keepsOrder: boolean;
  makeFolder(path: string): Promise<Answer>;
  removeFolder(path: string): Promise<Answer>;
  removeFile(path: string): Promise<Answer>;
  /** Nothing is replaced. */
  rename(from: string, to: string): Promise<Answer>;
  createExclusive(path: string, text: string): Promise<Answer>;
  /** Of a folder that is there. */
  list(path: string): Promise<readonly Listed[]>;
  close(): Promise<void>;
}

/** Longer than main may be away. */
const answerMs = 90_000;
const isOutage = /connection|inside|busy|internal|time/i;
/** NO_SUCH_FILE, FAILURE. */
const refusals: readonly unknown[] = [2, 4];

export async function openSftpDoor(world: World, who: Who): Promise<Door> {
  const target = targetOf(world, who);
  const privateKey = await readFile(target.keyFile ?? '');
  const client = new ssh2.Client();
  let lost: Error | undefined;
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve);
    client.on('error', (error) => {
      lost = error;
      reject(error);
    });
    const { host, port, user: username } = target;
    client.connect({ sock: net.connect({ host, port, localAddress: who.address }), username, privateKey });
  });
  const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
    client.sftp((error, session) => (error === undefined ? resolve(session) : reject(error)));
  });
  const rejecters = new Set<(error: Error) => void>();
  const closed = once(client, 'close');
  void closed.then(() => {
    for (const reject of rejecters) reject(lost ?? new Error(`${who.name}: the connection was closed`));
  });

  /** One request; its result, or `refused` by a status that is allowed. */
  const ask = <T>(
    what: string,
    send: (callback: (error: Error | null | undefined, result?: T) => void) => void,
    allowed = refusals,
  ): Promise<T | undefined | 'refused'> =>
    world.ledger.timed(
      () =>
        new Promise((resolve, reject) => {
          const fail = (error: Error): void => {
            settle();
            reject(new Error(`${who.name}: SFTP ${what}: ${error.message}`));
          };
          const timer = setTimeout(() => fail(new Error('no answer in time')), answerMs);
          const settle = (): void => {
            clearTimeout(timer);
            rejecters.delete(fail);
          };
          rejecters.add(fail);
          send((error, result) => {
            if (error === null || error === undefined) {
              settle();
              resolve(result);
              return;
            }
            const code: unknown = Reflect.get(error, 'code');
            if (!allowed.includes(code) || isOutage.test(error.message)) fail(error);
            else {
              settle();
              resolve('refused');
            }
          });
        }),
    );
  const change = async (what: string, send: Parameters<typeof ask>[1]): Promise<Answer> =>
    (await ask(what, send)) === 'refused' ? 'refused' : 'ok';

  return {
    user: who.name,
    keepsOrder: true,
    makeFolder: (path) => change(`mkdir ${path}`, (done) => sftp.mkdir(path, done)),
    removeFolder: (path) => change(`rmdir ${path}`, (done) => sftp.rmdir(path, done)),
    removeFile: (path) => change(`remove ${path}`, (done) => sftp.unlink(path, done)),
    rename: (from, to) => change(`rename ${from} ${to}`, (done) => sftp.rename(from, to, done)),
    async createExclusive(path, text) {
      const content = Buffer.from(text);
      const handle = await ask<Buffer>(`create ${path}`, (done) => sftp.open(path, 'wx', done));
      if (handle === 'refused') return 'refused';
      if (handle === undefined) throw new Error(`${who.name}: no handle`);
      const write = (done: (error: Error | null | undefined) => void): void =>
        sftp.write(handle, content, 0, content.length, 0, done);
      if ((await change(`write ${path}`, write)) === 'refused')
        throw new Error(`${who.name}: write of ${path} was refused`);
      return change(`close ${path}`, (done) => sftp.close(handle, done));
    },
    async list(path) {
      const found = await ask<ssh2.FileEntryWithStats[]>(
        `list ${path}`,
        (done) => sftp.readdir(path, done),
        [],
      );
      return (found === 'refused' ? [] : (found ?? [])).map(({ filename, attrs }) => ({
        name: filename,
        isFolder: attrs.isDirectory(),
        bytes: attrs.size,
      }));
    },
    async close() {
      client.end();
      await closed;
    },
  };
}

export async function openHttpsDoor(world: World, who: Who): Promise<Door> {
  const session = await signIn(world, who);
  const ask = async (
    method: string,
    path: string,
    value?: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<{ readonly answer: Answer; readonly body: Record<string, unknown> }> => {
    const { status, body } = await world.ledger.timed(() => session.json(method, path, value, headers));
    if (status >= 200 && status < 300) return { answer: 'ok', body };
    if ([404, 409, 412].includes(status)) return { answer: 'refused', body };
    throw new Error(`${who.name}: ${method} ${path}: ${status} ${JSON.stringify(body)}`);
  };
  const change = async (...what: Parameters<typeof ask>): Promise<Answer> => (await ask(...what)).answer;
  const remove = (path: string): Promise<Answer> => change('DELETE', `/api/files${path}`);
  return {
    user: who.name,
    keepsOrder: false,
    makeFolder: (path) => change('POST', `/api/files${path}?op=mkdir`),
    removeFolder: remove,
    removeFile: remove,
    rename: (from, to) => change('POST', `/api/files${from}?op=rename`, { to }),
    createExclusive: (path, text) => change('PUT', `/api/files${path}`, { text }, { 'if-none-match': '*' }),
    async list(path) {
      const { answer, body } = await ask('GET', `/api/files${path}?limit=1000`);
      if (answer === 'refused') throw new Error(`${who.name}: list ${path}: ${JSON.stringify(body)}`);
      return (body['entries'] as readonly { name: string; type: string; size: number }[]).map((entry) => ({
        name: entry.name,
        isFolder: entry.type === 'folder',
        bytes: entry.size,
      }));
    },
    close: async () => void (await session.json('POST', '/api/logout')),
  };
}
