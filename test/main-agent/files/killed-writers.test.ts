import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Client, mountOf, newFile, resume, type StorageRig, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const appending = { ...resume, append: true };
const direct = userOf('alice', [mountOf([], ['alice'], undefined, { uploads: 'direct' })]);

async function text(rig: StorageRig, name: string): Promise<string> {
  return (await rig.medium.readFile('alice', name)).toString();
}

const clients = new WeakMap<StorageRig, Map<string, Client>>();

/** One for each session, before and after main was killed. */
function clientOf(rig: StorageRig, session = 'one-session', user = userOf('alice')): Client {
  let own = clients.get(rig);
  if (own === undefined) clients.set(rig, (own = new Map<string, Client>()));
  const client = own.get(session) ?? rig.client(user, 'sftp', session);
  own.set(session, client);
  return client;
}

async function appended(client: Client, handle: number): Promise<unknown> {
  return client.ask('fs.stat-handle', { handle }).then(
    ({ appendedBytes }) => appendedBytes,
    ({ code }: { code: string }) => code,
  );
}

onEachStorage(
  'a file that is written in place is gone on with after main was killed, and a write may come twice',
  async (start) => {
    const rig = await start();
    await clientOf(rig).put(['f'], 'hello world');
    const before = clientOf(rig);
    const { handle } = await before.askAs('fs.open', { path: ['f'], mode: { ...resume, read: true } }, 700);
    await before.write(handle, 'HE', 0);
    await rig.restart();
    const after = clientOf(rig);
    const resent = await after.askAs('fs.open', { path: ['f'], mode: { ...resume, read: true } }, 700);
    expect(resent).toMatchObject({ handle, created: false, attributes: { size: 11 } });
    await after.write(handle, 'HELLO', 0);
    expect((await after.read(handle)).toString()).toBe('HELLO world');
    await after.askAs('fs.commit', { handle }, 701);
    expect(await text(rig, 'f')).toBe('HELLO world');
    await rig.restart();
    // The answer of the CLOSE was lost.
    expect(await clientOf(rig).askAs('fs.commit', { handle }, 701)).toMatchObject({
      attributes: { size: 11 },
    });
  },
);

onEachStorage(
  'on a mount with direct uploads new, emptied and appended files are gone on with too',
  async (start) => {
    const rig = await start();
    const client = () => clientOf(rig, 'one-session', direct);
    await client().put(['old'], 'the old content');
    const opened = new Map<string, number>();
    for (const [name, mode] of [
      ['new', newFile],
      ['old', newFile],
      ['log', appending],
    ] as const) {
      const handle = await client().open([name], mode);
      await client().write(handle, 'one,');
      opened.set(name, handle);
    }
    await rig.restart();
    for (const [name, handle] of opened) {
      await client().write(handle, 'two', 4);
      await client().ask('fs.commit', { handle });
      expect(await text(rig, name)).toBe('one,two');
    }
  },
);

onEachStorage("another session can not go on with a killed session's file", async (start) => {
  const rig = await start();
  await clientOf(rig).put(['f'], 'x');
  const handle = await clientOf(rig).open(['f'], resume);
  await rig.restart();
  await expect(clientOf(rig, 'other').write(handle, 'y')).rejects.toMatchObject({ code: 'bad-handle' });
});

test('a file that was replaced, removed or renamed while main was down is not gone on with', async () => {
  const rig = await startRig();
  const handles: number[] = [];
  for (const name of ['replaced', 'removed', 'renamed']) {
    await clientOf(rig).put([name], name);
    handles.push(await clientOf(rig).open([name], resume));
  }
  await rig.close();
  await rig.medium.writeFile(['alice', 'other'], 'another');
  await fs.rename(rig.path('alice', 'other'), rig.path('alice', 'replaced'));
  await rig.medium.rm('alice', 'removed');
  await fs.rename(rig.path('alice', 'renamed'), rig.path('alice', 'elsewhere'));
  await rig.start();
  for (const handle of handles) {
    await expect(clientOf(rig).write(handle, 'lost')).rejects.toMatchObject({ code: 'changed' });
  }
  expect(await text(rig, 'replaced')).toBe('another');
});

onEachStorage(
  'a file that its users rename is gone on with under its new name, also inside a folder',
  async (start) => {
    const rig = await start();
    const client = clientOf(rig);
    const move = (from: string[], to: string[]) => client.ask('fs.rename', { from, to, overwrite: false });
    await client.ask('fs.make-folder', { path: ['d'] });
    await client.put(['d', 'log'], 'one,');
    const handle = await client.open(['d', 'log'], appending);
    await client.write(handle, 'two,');
    await move(['d', 'log'], ['d', 'moved']);
    await move(['d'], ['e']);
    await rig.restart();
    // Before its session is back.
    await clientOf(rig, 'other').ask('fs.rename', { from: ['e', 'moved'], to: ['log'], overwrite: false });
    expect(await appended(client, handle)).toBe(4);
    await client.write(handle, 'three');
    await rig.restart();
    expect(await appended(client, handle)).toBe(9);
    await client.ask('fs.commit', { handle });
    expect(await text(rig, 'log')).toBe('one,two,three');
  },
);

onEachStorage(
  'what a handle appended is told by its own count, not by how long the file is',
  async (start) => {
    const rig = await start();
    const client = clientOf(rig);
    await client.put(['log'], 'start,');
    const handle = await client.open(['log'], appending);
    const theirs = await clientOf(rig, 'other').open(['log'], appending);
    await client.write(handle, 'one,');
    await clientOf(rig, 'other').write(theirs, 'theirs,');
    expect(await appended(client, handle)).toBe(4);
    for (let kill = 0; kill < 3; kill += 1) {
      await rig.restart();
      expect(await appended(clientOf(rig), handle)).toBe(4 + 4 * kill);
      await clientOf(rig).write(handle, 'more');
    }
    await rig.restart();
    expect(await appended(clientOf(rig, 'other'), theirs)).toBe(7);
    expect(await text(rig, 'log')).toBe('start,one,theirs,moremoremore');
  },
);

onEachStorage('a new file that is appended to knows what landed as well', async (start) => {
  const rig = await start();
  const handle = await clientOf(rig).open(['log'], { ...newFile, append: true });
  await clientOf(rig).write(handle, 'one,');
  await clientOf(rig).write(handle, 'two,');
  await rig.restart();
  expect(await appended(clientOf(rig), handle)).toBe(8);
  await clientOf(rig).write(handle, 'three');
  await clientOf(rig).ask('fs.commit', { handle });
  expect(await text(rig, 'log')).toBe('one,two,three');
});

/** Two lines are appended; then main is killed, and the file is as a kill at another moment would have left it. */
async function appendAndKill(mangle: (file: string) => Promise<void>) {
  const rig = await startRig();
  await clientOf(rig).put(['log'], 'start,');
  const handle = await clientOf(rig).open(['log'], appending);
  await clientOf(rig).write(handle, 'one,');
  await clientOf(rig).write(handle, 'two,');
  await rig.close();
  await mangle(rig.path('alice', 'log'));
  await rig.start();
  return { rig, handle };
}

test('an append that did not land is sent again', async () => {
  const { rig, handle } = await appendAndKill((file) => fs.truncate(file, 'start,one,'.length));
  expect(await appended(clientOf(rig), handle)).toBe(4);
  await clientOf(rig).write(handle, 'two,');
  expect(await text(rig, 'log')).toBe('start,one,two,');
});

test('an append of which only a piece landed, or that can not be told, is refused and never doubled', async () => {
  for (const mangle of [
    (file: string) => fs.truncate(file, 'start,one,t'.length),
    (file: string) => fs.writeFile(file, 'start,one,TWO,', { flag: 'r+' }),
  ]) {
    const { rig, handle } = await appendAndKill(mangle);
    const left = await text(rig, 'log');
    expect(await appended(clientOf(rig), handle)).toBe('changed');
    await expect(clientOf(rig).write(handle, 'two,')).rejects.toMatchObject({ code: 'changed' });
    // Decided once: what others do to the file later tells nothing.
    await clientOf(rig, 'other').put(['log'], 'start,one,two,');
    await rig.restart();
    expect(await appended(clientOf(rig), handle)).toBe('changed');
    expect(left).not.toContain('two,');
  }
});

onEachStorage(
  'an append behind which another one landed is there, whatever was written over it since',
  async (start) => {
    const rig = await start();
    await clientOf(rig).put(['log'], '');
    const handle = await clientOf(rig).open(['log'], appending);
    const theirs = await clientOf(rig, 'other').open(['log'], appending);
    await clientOf(rig).write(handle, 'mine,');
    await clientOf(rig, 'other').write(theirs, 'theirs,');
    const editing = await clientOf(rig, 'third').open(['log'], resume);
    await clientOf(rig, 'third').write(editing, 'EDIT', 0);
    await rig.restart();
    expect(await appended(clientOf(rig), handle)).toBe(5);
    expect(await appended(clientOf(rig, 'other'), theirs)).toBe(7);
  },
);

test('kill -9 while two sessions append: each line is there once, or its writer is told', async () => {
  const rig = await startRig();
  await clientOf(rig).put(['log'], '');
  await rig.close();
  for (let kill = 0; kill < 4; kill += 1) {
    await fs.truncate(rig.path('alice', 'log'), 0);
    const program = fileURLToPath(new URL('appender.ts', import.meta.url));
    const main = spawn(process.execPath, [program, rig.base, String(kill)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const handles = new Map<string, number>();
    const answered = new Map<string, number>();
    for await (const said of createInterface({ input: main.stdout })) {
      const [who = '', what, handle] = said.split(' ');
      if (what === 'open') handles.set(who, Number(handle));
      else answered.set(who, Number(what));
      if (Math.min(answered.get('a') ?? 0, answered.get('b') ?? 0) >= 20 + 7 * kill) main.kill('SIGKILL');
    }
    if (main.exitCode === null && main.signalCode === null) await once(main, 'close');
    await rig.start();
    const left = await text(rig, 'log');
    for (const who of ['a', 'b']) {
      const client = clientOf(rig, `session ${who} ${kill}`);
      const has = await appended(client, handles.get(who) ?? 0);
      const lines = left.split('\n').filter((line) => line.startsWith(`${who} `) && line.length === 40_000);
      expect(lines.map((line) => Number(line.split(' ')[1]))).toEqual(lines.map((_, index) => index));
      expect(lines.length).toBeGreaterThanOrEqual(answered.get(who) ?? 0);
      expect(['changed', lines.length * 40_001]).toContain(has);
    }
    await rig.close();
  }
});
