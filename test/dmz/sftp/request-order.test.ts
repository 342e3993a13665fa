import { describe, expect, it } from 'vitest';
import { packetType as type } from '#dmz/sftp/protocol/constants.ts';
import { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { outstandingRequestsMax } from '#dmz/sftp/limits.ts';
import { SftpSession } from '#dmz/sftp/session.ts';
import type { WireWriter } from '#dmz/sftp/wire.ts';
import { SallyportError } from '#shared/error.ts';
import { parseVirtualPath } from '#shared/file-service/virtual-path.ts';
import { buildLog } from '#shared/log.ts';
import { MemoryChannel, type Reply } from './fakes/memory-channel.ts';
import { MemoryFiles } from './fakes/memory-files.ts';

const flags = { read: 1, write: 2, append: 4, create: 8, truncate: 16 };

/** The same numbers for the same seed. */
function buildRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Driven {
  readonly channel: MemoryChannel;
  readonly files: MemoryFiles;
  readonly session: SftpSession;
}

async function start(files: MemoryFiles): Promise<Driven> {
  const channel = new MemoryChannel();
  const session = new SftpSession({
    channel,
    files,
    slots: new StreamSlots(),
    username: 'alice',
    clock: { now: () => 0, monotonic: () => 0 },
    log: buildLog('silent', {}),
    onMalformed: (what) => {
      throw new Error(what);
    },
  });
  channel.sendPacket(Buffer.from([type.init, 0, 0, 0, 3]));
  await channel.reply();
  return { channel, files, session };
}

/** Calls take a random number of turns there and back, so that any two that are under way at once may change places. */
function buildLateFiles(random: (below: number) => number): MemoryFiles {
  const files = new MemoryFiles();
  files.delay = async () => {
    for (let turns = random(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  };
  return files;
}

/** One request; `slot` names what an OPEN of an earlier round gave. */
type Step =
  | { do: 'open'; slot: number; path: string; flags: number }
  | { do: 'opendir' | 'stat' | 'lstat' | 'remove' | 'rmdir' | 'mkdir'; path: string }
  | { do: 'chmod'; path: string; mode: number }
  | { do: 'truncate'; path: string; size: number }
  | { do: 'rename'; from: string; to: string }
  | { do: 'close' | 'fstat' | 'fsync'; slot: number }
  | { do: 'fchmod'; slot: number; mode: number }
  | { do: 'ftruncate'; slot: number; size: number }
  | { do: 'read'; slot: number; offset: number; length: number }
  | { do: 'write'; slot: number; offset: number; text: string }
  | { do: 'copy-data'; from: number; to: number; length: number };

const paths = ['/d', '/d/a', '/d/b', '/e', '/e/a', '/f', '/f/a', '/f/b'];

function buildScript(random: (below: number) => number): Step[][] {
  const path = () => paths[random(paths.length)] ?? '/d';
  const openFlags = [
    flags.read,
    flags.read | flags.write,
    flags.write | flags.create,
    flags.read | flags.write | flags.create,
    flags.write | flags.create | flags.truncate,
    flags.write | flags.append,
  ];
  let slots = 0;
  return Array.from({ length: 4 }, () => {
    const known = slots;
    const slot = () => random(known + 1);
    const build: (() => Step)[] = [
      () => ({
        do: 'open',
        slot: slots++,
        path: path(),
        flags: openFlags[random(openFlags.length)] ?? 1,
      }),
      () => ({ do: 'stat', path: path() }),
      () => ({ do: 'lstat', path: path() }),
      () => ({ do: 'opendir', path: path() }),
      () => ({ do: 'remove', path: path() }),
      () => ({ do: 'rmdir', path: path() }),
      () => ({ do: 'mkdir', path: path() }),
      () => ({ do: 'chmod', path: path(), mode: random(0o1000) }),
      () => ({ do: 'truncate', path: path(), size: random(30) }),
      () => ({ do: 'rename', from: path(), to: path() }),
      () => ({ do: 'close', slot: slot() }),
      () => ({ do: 'fstat', slot: slot() }),
      () => ({ do: 'fsync', slot: slot() }),
      () => ({ do: 'fchmod', slot: slot(), mode: random(0o1000) }),
      () => ({ do: 'ftruncate', slot: slot(), size: random(30) }),
      () => ({ do: 'copy-data', from: slot(), to: slot(), length: 1 + random(10) }),
    ];
    const transfers: (() => Step)[] = [
      () => ({ do: 'read', slot: slot(), offset: random(20), length: 1 + random(20) }),
      () => ({ do: 'write', slot: slot(), offset: random(20), text: String(random(1_000_000)) }),
    ];
    return Array.from({ length: 4 + random(12) }, () => {
      const kinds = known > 0 && random(2) === 0 ? transfers : build;
      const step = kinds[random(kinds.length)];
      if (step === undefined) throw new Error('no step');
      return step();
    });
  });
}

function send(channel: MemoryChannel, step: Step, handles: ReadonlyMap<number, string>): number {
  const handle = (slot: number) => handles.get(slot) ?? 'none';
  const ask = (kind: number, fill: (writer: WireWriter) => WireWriter) => channel.request(kind, fill);
  switch (step.do) {
    case 'open':
      return ask(type.open, (w) => w.string(step.path).uint32(step.flags).uint32(0));
    case 'mkdir':
      return ask(type.mkdir, (w) => w.string(step.path).uint32(0));
    case 'opendir':
    case 'stat':
    case 'lstat':
    case 'remove':
    case 'rmdir':
      return ask(type[step.do], (w) => w.string(step.path));
    case 'chmod':
      return ask(type.setstat, (w) => w.string(step.path).uint32(4).uint32(step.mode));
    case 'truncate':
      return ask(type.setstat, (w) => w.string(step.path).uint32(1).uint64(step.size));
    case 'rename':
      return ask(type.extended, (w) =>
        w.string('posix-rename@openssh.com').string(step.from).string(step.to),
      );
    case 'close':
    case 'fstat':
      return ask(type[step.do], (w) => w.string(handle(step.slot)));
    case 'fsync':
      return ask(type.extended, (w) => w.string('fsync@openssh.com').string(handle(step.slot)));
    case 'fchmod':
      return ask(type.fsetstat, (w) => w.string(handle(step.slot)).uint32(4).uint32(step.mode));
    case 'ftruncate':
      return ask(type.fsetstat, (w) => w.string(handle(step.slot)).uint32(1).uint64(step.size));
    case 'read':
      return ask(type.read, (w) => w.string(handle(step.slot)).uint64(step.offset).uint32(step.length));
    case 'write':
      return ask(type.write, (w) => w.string(handle(step.slot)).uint64(step.offset).string(step.text));
    case 'copy-data':
      return ask(type.extended, (w) =>
        w
          .string('copy-data')
          .string(handle(step.from))
          .uint64(0)
          .uint64(step.length)
          .string(handle(step.to))
          .uint64(15),
      );
  }
}

/** What the client was told, without the names of handles. */
function describeReply({ type: kind, reader }: Reply): string {
  switch (kind) {
    case type.status:
      return `status ${reader.uint32()} ${reader.text(1000)}`;
    case type.data:
      return `data ${reader.text(1000)}`;
    case type.attrs:
      reader.uint32();
      return `attrs ${reader.uint64()} ${(reader.uint64(), reader.uint32()).toString(8)}`;
    default:
      return `reply ${kind}`;
  }
}

/** What was answered, request by request, and what is there afterwards. */
async function run(
  script: readonly Step[][],
  files: MemoryFiles,
  options: { readonly waits: boolean },
): Promise<string[]> {
  const { channel } = await start(files);
  for (const name of ['/d', '/e']) await files.makeFolder(parseVirtualPath(name));
  files.put('/d/a', Buffer.from('the first file'));
  files.put('/d/b', Buffer.from('another one'));
  const handles = new Map<number, string>();
  const told: string[] = [];
  for (const round of script) {
    const ids: number[] = [];
    const replies = new Map<number, Reply>();
    const take = async () => {
      const reply = await channel.reply();
      replies.set(reply.id, reply);
    };
    for (const step of round) {
      ids.push(send(channel, step, handles));
      if (options.waits) await take();
    }
    while (replies.size < ids.length) await take();
    for (const [index, step] of round.entries()) {
      const reply = replies.get(ids[index] ?? -1);
      if (reply === undefined) throw new Error('a request was not answered');
      if (step.do === 'open' && reply.type === type.handle)
        handles.set(step.slot, reply.reader.string(16).toString());
      told.push(`${JSON.stringify(step)} → ${describeReply(reply)}`);
    }
  }
  for (const [path, { type: kind, bytes, mode }] of [...files.nodes].sort(([a], [b]) => (a < b ? -1 : 1)))
    told.push(`${path} is a ${kind} ${mode.toString(8)} with ${bytes.toString()}`);
  return told;
}

const sends = (channel: MemoryChannel, steps: readonly Step[], handles = new Map<number, string>()) =>
  steps.map((step) => send(channel, step, handles));

async function openFile(channel: MemoryChannel, path: string): Promise<Map<number, string>> {
  send(channel, { do: 'open', slot: 0, path, flags: flags.write | flags.create }, new Map());
  return new Map([[0, (await channel.reply()).reader.string(16).toString()]]);
}

/** Statuses by request, in the order of the requests. */
async function statuses(channel: MemoryChannel, ids: readonly number[]): Promise<(number | string)[]> {
  const told = new Map<number, number | string>();
  while (told.size < ids.length) {
    const { id, type: kind, reader } = await channel.reply();
    told.set(id, kind === type.status ? reader.uint32() : kind === type.handle ? 'handle' : 'attributes');
  }
  return ids.map((id) => told.get(id) ?? 'nothing');
}

/** Lets everything go on that can. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
}

describe('the order of requests', () => {
  it('any pipelined requests end as they would one after the other', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const script = buildScript(buildRandom(seed));
      const waited = await run(script, new MemoryFiles(), { waits: true });
      const pipelined = await run(script, buildLateFiles(buildRandom(seed)), { waits: false });
      expect(pipelined, `seed ${seed}`).toEqual(waited);
    }
  });

  it('makes folders within folders that were only just asked for', async () => {
    const { channel, files } = await start(buildLateFiles(buildRandom(7)));
    const ids = sends(channel, [
      { do: 'mkdir', path: '/a' },
      { do: 'mkdir', path: '/a/b' },
      { do: 'mkdir', path: '/a/b/c' },
      { do: 'open', slot: 0, path: '/a/b/c/f', flags: flags.write | flags.create },
      { do: 'stat', path: '/a/b/c' },
    ]);
    expect(await statuses(channel, ids)).toEqual([0, 0, 0, 'handle', 'attributes']);
    expect(files.nodes.has('/a/b/c')).toBe(true);
  });

  it.each<[string, Step, unknown]>([
    ['its mode set', { do: 'chmod', path: '/new', mode: 0o600 }, 0],
    ['renamed', { do: 'rename', from: '/new', to: '/newer' }, 0],
    ['looked at', { do: 'stat', path: '/new' }, 'attributes'],
    ['opened', { do: 'open', slot: 1, path: '/new', flags: flags.read }, 'handle'],
    ['removed', { do: 'remove', path: '/new' }, 0],
  ])('a file that was written and closed can be %s in the same breath', async (_what, then, told) => {
    for (let seed = 1; seed <= 20; seed++) {
      const { channel } = await start(buildLateFiles(buildRandom(seed)));
      const handles = await openFile(channel, '/new');
      const ids = sends(
        channel,
        [{ do: 'write', slot: 0, offset: 0, text: 'text' }, { do: 'close', slot: 0 }, then],
        handles,
      );
      expect(await statuses(channel, ids)).toEqual([0, 0, told]);
    }
  });

  it('questions between two changes run side by side', async () => {
    const files = new MemoryFiles();
    const { channel } = await start(files);
    const held = Promise.withResolvers<void>();
    let asked = 0;
    files.beforeStat = () => {
      asked += 1;
      return held.promise;
    };
    const ids = sends(
      channel,
      Array.from({ length: 20 }, () => ({ do: 'stat' as const, path: '/' })),
    );
    await settle();
    expect(asked).toBe(20);
    held.resolve();
    expect(new Set(await statuses(channel, ids))).toEqual(new Set(['attributes']));
  });

  it('WRITEs go on beside a change that takes long, and what touches nothing is answered at once', async () => {
    const files = new MemoryFiles();
    const { channel } = await start(files);
    const handles = await openFile(channel, '/new');
    const held = Promise.withResolvers<void>();
    files.makeFolder = () => held.promise;
    const [mkdir] = sends(channel, [{ do: 'mkdir', path: '/slow' }]);
    const [write] = sends(channel, [{ do: 'write', slot: 0, offset: 0, text: 'text' }], handles);
    expect((await channel.reply()).id).toBe(write);
    const realpath = channel.request(type.realpath, (w) => w.string('.'));
    expect((await channel.reply()).id).toBe(realpath);
    held.resolve();
    expect((await channel.reply()).id).toBe(mkdir);
  });

  it('a change waits for the WRITEs before it also when a lost link has them sent again', async () => {
    const files = new MemoryFiles();
    files.put('/old', Buffer.from('before'));
    const { channel } = await start(files);
    const handles = await openFile(channel, '/old');
    files.holdsBack = true;
    const ids = sends(
      channel,
      [
        { do: 'write', slot: 0, offset: 0, text: 'AFTER' },
        { do: 'truncate', path: '/old', size: 3 },
        { do: 'write', slot: 0, offset: 3, text: '!' },
      ],
      handles,
    );
    await settle();
    files.writeStreams[0]?.fail(new SallyportError('link-down', 'The connection to the inside is down'));
    await settle();
    expect(files.writeStreams).toHaveLength(2);
    expect(files.get('/old')).toHaveLength(6);
    files.holdsBack = false;
    files.writeStreams[1]!.holdsBack = false;
    files.writeStreams[1]?.acknowledge();
    expect(await statuses(channel, ids)).toEqual([0, 0, 0]);
    expect(files.get('/old')?.toString()).toBe('AFT!');
  });

  it('a link that stays away refuses all that waits at once, not one deadline after the other', async () => {
    const files = new MemoryFiles();
    const { channel } = await start(files);
    const lost = Promise.withResolvers<void>();
    let tries = 0;
    files.makeFolder = () => {
      tries += 1;
      return lost.promise;
    };
    const ids = sends(
      channel,
      Array.from({ length: 5 }, (_, index) => ({ do: 'mkdir' as const, path: `/${index}` })),
    );
    await settle();
    lost.reject(new SallyportError('link-down', 'The connection to the inside is down'));
    expect(await statuses(channel, ids)).toEqual([4, 4, 4, 4, 4]);
    expect(tries).toBe(1);
  });

  it('when the client vanishes a CLOSE that waits for its turn commits, and nothing else that waits is done', async () => {
    const files = new MemoryFiles();
    const { channel, session } = await start(files);
    const handles = await openFile(channel, '/whole');
    const held = Promise.withResolvers<void>();
    files.makeFolder = () => held.promise;
    sends(
      channel,
      [
        { do: 'mkdir', path: '/slow' },
        { do: 'write', slot: 0, offset: 0, text: 'all of it' },
        { do: 'close', slot: 0 },
        { do: 'rename', from: '/whole', to: '/elsewhere' },
      ],
      handles,
    );
    await settle();
    channel.onClose();
    await session.finished;
    expect(files.get('/whole')?.toString()).toBe('all of it');
    held.resolve();
    await settle();
    expect([...files.nodes.keys()]).toEqual(['/', '/whole']);
    expect(files.openHandles).toBe(0);
  });

  it('S-09: what waits for its turn counts as under way', async () => {
    const files = new MemoryFiles();
    const { channel } = await start(files);
    const held = Promise.withResolvers<void>();
    files.makeFolder = () => held.promise;
    const consumed = channel.consumedBytes;
    const ids = sends(
      channel,
      Array.from({ length: outstandingRequestsMax + 50 }, (_, index) => ({
        do: 'mkdir' as const,
        path: `/${index}`,
      })),
    );
    await settle();
    expect(channel.consumedBytes).toBe(consumed);
    held.resolve();
    expect(new Set(await statuses(channel, ids))).toEqual(new Set([0]));
    expect(channel.consumedBytes).toBe(channel.sentBytes);
  });
});
