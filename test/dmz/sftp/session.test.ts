import { createHash, randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { handlesMax, outstandingRequestsMax, releasesMax } from '#dmz/sftp/limits.ts';
import { packetType as type, statusCode } from '#dmz/sftp/protocol/constants.ts';
import { SftpSession } from '#dmz/sftp/session.ts';
import type { WireWriter } from '#dmz/sftp/wire.ts';
import { buildLog } from '#shared/log.ts';
import { MemoryChannel } from './fakes/memory-channel.ts';
import { MemoryFiles } from './fakes/memory-files.ts';

const now = Date.UTC(2026, 0, 15);
const flags = { read: 1, write: 2, append: 4, create: 8, truncate: 16 };

let channel: MemoryChannel;
let files: MemoryFiles;
let breaches: string[];
let finished: Promise<void>;

async function start(): Promise<void> {
  channel = new MemoryChannel();
  files = new MemoryFiles();
  breaches = [];
  ({ finished } = new SftpSession({
    channel,
    files,
    slots: new StreamSlots(),
    username: 'alice',
    clock: { now: () => now, monotonic: () => 0 },
    log: buildLog('silent', {}),
    onMalformed: (what) => void breaches.push(what),
  }));
  channel.sendPacket(Buffer.from([type.init, 0, 0, 0, 3]));
  await channel.reply();
}

async function ask(kind: number, fill: (writer: WireWriter) => WireWriter) {
  const id = channel.request(kind, fill);
  const reply = await channel.reply();
  expect(reply.id).toBe(id);
  return reply;
}

async function status(kind: number, fill: (writer: WireWriter) => WireWriter): Promise<number> {
  const reply = await ask(kind, fill);
  expect(reply.type).toBe(type.status);
  return reply.reader.uint32();
}

async function open(path: string, pflags: number): Promise<string> {
  const reply = await ask(type.open, (writer) => writer.string(path).uint32(pflags).uint32(0));
  expect(reply.type).toBe(type.handle);
  return reply.reader.string(16).toString();
}

const close = (handle: string) => status(type.close, (writer) => writer.string(handle));
const extended = (name: string, fill: (writer: WireWriter) => WireWriter) => (writer: WireWriter) =>
  fill(writer.string(name));

beforeEach(start);

describe('an SFTP session', () => {
  it('announces version 3 and its extensions, hardlink@ not among them', async () => {
    await start();
    channel = new MemoryChannel();
    const session = new SftpSession({
      channel,
      files,
      slots: new StreamSlots(),
      username: 'alice',
      clock: { now: () => now, monotonic: () => 0 },
      log: buildLog('silent', {}),
      onMalformed: () => undefined,
    });
    void session;
    channel.sendPacket(Buffer.from([type.init, 0, 0, 0, 3]));
    const { type: kind, id: version, reader } = await channel.reply();
    expect([kind, version]).toEqual([type.version, 3]);
    const text = reader.rest().toString('latin1');
    for (const name of ['posix-rename@', 'statvfs@', 'fsync@', 'limits@', 'copy-data', 'home-directory'])
      expect(text).toContain(name);
    expect(text).not.toContain('hardlink');
  });

  it('makes an upload visible at CLOSE, with what was written', async () => {
    const handle = await open('/up.bin', flags.write | flags.create | flags.truncate);
    const bytes = randomBytes(300_000);
    for (let at = 0; at < bytes.length; at += 32_768)
      channel.request(type.write, (writer) =>
        writer
          .string(handle)
          .uint64(at)
          .string(bytes.subarray(at, at + 32_768)),
      );
    for (let count = 0; count < 10; count++) expect((await channel.reply()).reader.uint32()).toBe(0);
    expect(files.get('/up.bin')).toBeUndefined();
    expect(await close(handle)).toBe(0);
    expect(files.get('/up.bin')?.equals(bytes)).toBe(true);
    expect(files.writeStreams).toHaveLength(1);
  });

  it('answers a WRITE only when main has it', async () => {
    files.holdsBack = true;
    const handle = await open('/held', flags.write | flags.create);
    channel.request(type.write, (writer) => writer.string(handle).uint64(0).string('0123456789'));
    channel.request(type.write, (writer) => writer.string(handle).uint64(10).string('abcdefghij'));
    const stream = files.writeStreams[0];
    stream?.acknowledge(9);
    expect(channel.unreadReplies).toBe(0);
    stream?.acknowledge(10);
    expect((await channel.reply()).reader.uint32()).toBe(0);
    expect(channel.unreadReplies).toBe(0);
    stream?.acknowledge(20);
    expect((await channel.reply()).reader.uint32()).toBe(0);
  });

  it('stores a file at CLOSE without waiting for the end of its stream, since main has every byte', async () => {
    files.holdsBack = true;
    const handle = await open('/up', flags.write | flags.create);
    channel.request(type.write, (writer) => writer.string(handle).uint64(0).string('0123456789'));
    files.writeStreams[0]?.acknowledge(10);
    await channel.reply();
    expect(await close(handle)).toBe(0);
    expect(files.get('/up')?.toString()).toBe('0123456789');
    expect(files.writeStreams[0]?.isOver).toBe(false);
  });

  it('S-09: lets go of no more files at once than it may have requests under way', async () => {
    const handles: string[] = [];
    for (let count = 0; count < handlesMax; count++) {
      files.put(`/r${count}`, Buffer.from('read'));
      handles.push(await open(`/r${count}`, flags.read));
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    let underWay = 0;
    files.beforeRelease = () => {
      underWay += 1;
      return promise;
    };
    for (const handle of handles) channel.request(type.close, (writer) => writer.string(handle));
    await expect.poll(() => underWay).toBe(outstandingRequestsMax + releasesMax);
    await new Promise(setImmediate);
    expect(underWay).toBe(outstandingRequestsMax + releasesMax);
    resolve();
    for (const _ of handles) expect((await channel.reply()).reader.uint32()).toBe(0);
    expect(files.openHandles).toBe(0);
  });

  it('a small file is got while main answers nothing after its open, and waits for room where main holds too many', async () => {
    files.tellsContent = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    files.beforeRelease = () => promise;
    files.put('/small', Buffer.from('content'));
    const handle = await open('/small', flags.read);
    const read = (at: number) => ask(type.read, (writer) => writer.string(handle).uint64(at).uint32(32_768));
    expect((await read(0)).reader.string(100).toString()).toBe('content');
    expect((await read(7)).reader.uint32()).toBe(statusCode.eof);
    expect(await close(handle)).toBe(statusCode.ok);
    expect(files.readStreams).toHaveLength(0);
    for (let count = 1; count < handlesMax; count += 1) await open('/small', flags.read);
    const late = open('/small', flags.read);
    await new Promise(setImmediate);
    expect(files.openHandles).toBe(handlesMax);
    resolve();
    await late;
    expect(files.openHandles).toBe(handlesMax);
  });

  it('serves sequential reads from one stream, to the exact end', async () => {
    const bytes = randomBytes(1_000_003);
    files.put('/down', bytes);
    const handle = await open('/down', flags.read);
    const hash = createHash('sha256');
    let at = 0;
    const pending: number[] = [];
    let isOver = false;
    while (!isOver) {
      while (pending.length < 16) {
        pending.push(
          channel.request(
            type.read,
            (
              (offset) => (writer: WireWriter) =>
                writer.string(handle).uint64(offset).uint32(32_768)
            )(at),
          ),
        );
        at += 32_768;
      }
      const reply = await channel.reply();
      expect(reply.id).toBe(pending.shift());
      if (reply.type === type.status) isOver = true;
      else hash.update(reply.reader.string(32_768));
    }
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(files.readStreams.filter((stream) => stream.unreleasedBytes > 0)).toHaveLength(0);
    while (pending.length > 0) {
      expect((await channel.reply()).reader.uint32()).toBe(1);
      pending.shift();
    }
    expect(await close(handle)).toBe(0);
    expect(files.openHandles).toBe(0);
  });

  it('appends at the end whatever the offset says', async () => {
    files.put('/log', Buffer.from('one '));
    const handle = await open('/log', flags.write | flags.append);
    await status(type.write, (writer) => writer.string(handle).uint64(0).string('two '));
    await status(type.write, (writer) => writer.string(handle).uint64(0).string('three'));
    await close(handle);
    expect(files.get('/log')?.toString()).toBe('one two three');
  });

  it('FSTAT, FSETSTAT and CLOSE see the writes before them', async () => {
    const handle = await open('/f', flags.write | flags.create);
    channel.request(type.write, (writer) => writer.string(handle).uint64(0).string('0123456789'));
    channel.request(type.fstat, (writer) => writer.string(handle));
    channel.request(type.fsetstat, (writer) => writer.string(handle).uint32(8).uint32(1).uint32(2));
    channel.request(type.close, (writer) => writer.string(handle));
    expect((await channel.reply()).reader.uint32()).toBe(0);
    const attributes = (await channel.reply()).reader;
    attributes.uint32();
    expect(attributes.uint64()).toBe(10);
    expect((await channel.reply()).reader.uint32()).toBe(0);
    expect((await channel.reply()).reader.uint32()).toBe(0);
    expect(files.nodes.get('/f')?.mtimeMs).toBe(2000);
    expect(files.get('/f')?.toString()).toBe('0123456789');
  });

  it('does not commit an upload one of whose writes failed, and keeps it as a partial one', async () => {
    files.quotaBytes = 8;
    const handle = await open('/big', flags.write | flags.create);
    expect(await status(type.write, (writer) => writer.string(handle).uint64(0).string('01234567'))).toBe(0);
    expect(await status(type.write, (writer) => writer.string(handle).uint64(8).string('89'))).toBe(4);
    expect(await close(handle)).toBe(4);
    expect(files.get('/big')).toBeUndefined();
    expect(files.calls).toContain('release /big keep');
  });

  it('a lost channel commits nothing, keeps partial uploads and lets go of everything', async () => {
    files.put('/r', Buffer.alloc(5_000_000));
    const upload = await open('/half', flags.write | flags.create);
    await status(type.write, (writer) => writer.string(upload).uint64(0).string('half'));
    const download = await open('/r', flags.read);
    channel.request(type.read, (writer) => writer.string(download).uint64(0).uint32(1000));
    await ask(type.opendir, (writer) => writer.string('/')).then(
      () => undefined,
      () => undefined,
    );
    channel.onClose();
    await finished;
    expect(files.get('/half')).toBeUndefined();
    expect(files.partials.get('/half')?.toString()).toBe('half');
    expect(files.openHandles).toBe(0);
    expect(files.readStreams.every((stream) => stream.isOver)).toBe(true);
  });

  it('is not over before main has let go of what was closed, though the client goes with its CLOSE', async () => {
    files.put('/r', Buffer.from('read'));
    const { promise, resolve } = Promise.withResolvers<void>();
    files.beforeRelease = () => promise;
    const handle = await open('/r', flags.read);
    channel.request(type.close, (writer) => writer.string(handle));
    channel.onClose();
    let isOver = false;
    void finished.then(() => {
      isOver = true;
    });
    await new Promise(setImmediate);
    expect(isOver).toBe(false);
    resolve();
    await finished;
    expect(files.openHandles).toBe(0);
  });

  it('a CLOSE that was asked for still commits when the client is gone before its answer', async () => {
    files.holdsBack = true;
    const handle = await open('/whole', flags.write | flags.create);
    channel.request(type.write, (writer) => writer.string(handle).uint64(0).string('all'));
    channel.request(type.close, (writer) => writer.string(handle));
    channel.onClose();
    await Promise.resolve();
    files.writeStreams[0]?.acknowledge();
    files.writeStreams[0]!.holdsBack = false;
    await finished;
    expect(files.get('/whole')?.toString()).toBe('all');
  });

  it('ends the channel at the client’s EOF once everything is answered', async () => {
    files.put('/r', Buffer.from('hello'));
    const handle = await open('/r', flags.read);
    channel.request(type.read, (writer) => writer.string(handle).uint64(0).uint32(5));
    channel.onEnd();
    expect(channel.hasEnded).toBe(false);
    expect((await channel.reply()).reader.string(5).toString()).toBe('hello');
    await channel.ended();
    await finished;
    expect(files.openHandles).toBe(0);
  });

  it('lists a large folder in answers that every client takes, without losing a name', async () => {
    for (let index = 0; index < 5000; index++) files.put(`/file-${index}`, Buffer.alloc(0));
    files.folderPageEntries = 700;
    const opened = await ask(type.opendir, (writer) => writer.string('/'));
    const handle = opened.reader.string(16).toString();
    const names = new Set<string>();
    for (;;) {
      const reply = await ask(type.readdir, (writer) => writer.string(handle));
      if (reply.type === type.status) break;
      expect(reply.reader.left).toBeLessThanOrEqual(33 * 1024);
      for (let count = reply.reader.uint32(); count > 0; count--) {
        names.add(reply.reader.text(255));
        reply.reader.text(1000);
        for (let skip = 0; skip < 32; skip++) reply.reader.byte();
      }
    }
    expect(names.size).toBe(5000);
    expect(await close(handle)).toBe(0);
  });

  it('copies ranges between files, and not within one handle', async () => {
    files.put('/a', Buffer.from('0123456789'));
    const from = await open('/a', flags.read);
    const to = await open('/b', flags.write | flags.create);
    const copy = (source: string, sourceAt: number, length: number, target: string, targetAt: number) =>
      status(
        type.extended,
        extended('copy-data', (writer) =>
          writer.string(source).uint64(sourceAt).uint64(length).string(target).uint64(targetAt),
        ),
      );
    expect(await copy(from, 2, 3, to, 0)).toBe(0);
    expect(await copy(from, 8, 0, to, 3)).toBe(0);
    expect(await close(to)).toBe(0);
    expect(files.get('/b')?.toString()).toBe('23489');
    const both = await open('/a', flags.read | flags.write);
    expect(await copy(both, 0, 5, both, 3)).toBe(4);
    expect(await copy(both, 0, 3, both, 5)).toBe(4);
  });

  it('answers the small questions', async () => {
    files.put('/x', Buffer.from('abc'));
    const name = async (kind: number, fill: (writer: WireWriter) => WireWriter) => {
      const { reader } = await ask(kind, fill);
      reader.uint32();
      return reader.text(4096);
    };
    expect(await name(type.realpath, (writer) => writer.string('a/./b/../c'))).toBe('/a/c');
    expect(await name(type.realpath, (writer) => writer.string('../../..'))).toBe('/');
    expect(
      await name(
        type.extended,
        extended('expand-path@openssh.com', (w) => w.string('~/x')),
      ),
    ).toBe('/x');
    expect(
      await name(
        type.extended,
        extended('home-directory', (w) => w.string('alice')),
      ),
    ).toBe('/');
    const limits = (
      await ask(
        type.extended,
        extended('limits@openssh.com', (w) => w),
      )
    ).reader;
    expect([limits.uint64(), limits.uint64(), limits.uint64(), limits.uint64()]).toEqual([
      262_144,
      261_120,
      261_120,
      handlesMax,
    ]);
    const usage = (
      await ask(
        type.extended,
        extended('statvfs@openssh.com', (w) => w.string('/')),
      )
    ).reader;
    usage.uint64();
    expect([usage.uint64(), usage.uint64(), usage.uint64()]).toEqual([4096, 524_288, 262_144]);
    expect(await status(type.rename, (w) => w.string('/x').string('/y'))).toBe(0);
    files.put('/x', Buffer.from('new'));
    expect(await status(type.rename, (w) => w.string('/x').string('/y'))).toBe(4);
    expect(
      await status(
        type.extended,
        extended('posix-rename@openssh.com', (w) => w.string('/x').string('/y')),
      ),
    ).toBe(0);
    expect(await status(type.mkdir, (w) => w.string('/d').uint32(0))).toBe(0);
    expect(await status(type.rmdir, (w) => w.string('/d'))).toBe(0);
    expect(await status(type.remove, (w) => w.string('/y'))).toBe(0);
    expect(await status(type.symlink, (w) => w.string('/a').string('/b'))).toBe(3);
    expect(
      await status(
        type.extended,
        extended('hardlink@openssh.com', (w) => w.string('/').string('/z')),
      ),
    ).toBe(8);
    expect(await status(77, (w) => w)).toBe(8);
    expect(breaches).toEqual([]);
  });

  it('takes a name with a slash at its end for a folder, and never makes, moves or removes a file by it', async () => {
    files.put('/five', Buffer.from('hello'));
    const send = (path: string, pflags: number) =>
      status(type.open, (w) => w.string(path).uint32(pflags).uint32(0));
    expect(await send('/inbox/', flags.write | flags.create | flags.truncate)).toBe(4);
    expect(await send('/five/', flags.read)).toBe(2);
    expect(await send('/five/.', flags.read)).toBe(2);
    expect(await status(type.stat, (w) => w.string('/five/'))).toBe(2);
    expect(await status(type.setstat, (w) => w.string('/five/').uint32(4).uint32(0o600))).toBe(2);
    expect(await status(type.remove, (w) => w.string('/five/'))).toBe(2);
    expect(await status(type.rename, (w) => w.string('/five').string('/six/'))).toBe(2);
    expect(await status(type.rename, (w) => w.string('/five/').string('/six'))).toBe(2);
    expect([...files.nodes.keys()]).toEqual(['/', '/five']);
    expect(files.nodes.get('/five')?.mode).toBe(0o644);
    expect(await status(type.mkdir, (w) => w.string('/d/').uint32(0))).toBe(0);
    expect(await status(type.rename, (w) => w.string('/d/').string('/e/'))).toBe(0);
    expect((await ask(type.stat, (w) => w.string('/e/'))).type).toBe(type.attrs);
    expect((await ask(type.stat, (w) => w.string('/'))).type).toBe(type.attrs);
    expect(await status(type.rmdir, (w) => w.string('/e/'))).toBe(0);
  });

  it('sets mode and times by a handle for reading, but no size', async () => {
    files.put('/r', Buffer.from('hello'));
    const handle = await open('/r', flags.read);
    const set = (fill: (w: WireWriter) => WireWriter) => status(type.fsetstat, (w) => fill(w.string(handle)));
    expect(await set((w) => w.uint32(12).uint32(0o600).uint32(5).uint32(7))).toBe(0);
    expect(files.nodes.get('/r')).toMatchObject({ mode: 0o600, mtimeMs: 7000 });
    expect(await set((w) => w.uint32(1).uint64(2))).toBe(5);
    expect(files.get('/r')?.toString()).toBe('hello');
    const link = (w: WireWriter) => w.string('lsetstat@openssh.com').string('/r').uint32(1).uint64(2);
    expect(await status(type.extended, link)).toBe(5);
  });

  it('takes what STAT told back, and refuses another owner while the rest is applied', async () => {
    files.put('/x', Buffer.from('abc'));
    const handle = await open('/x', flags.read | flags.write);
    // size, owner, permissions and times, as STAT gives them
    const all = (owner: number, group: number, mode: number) => (writer: WireWriter) =>
      writer.uint32(15).uint64(3).uint32(owner).uint32(group).uint32(mode).uint32(5).uint32(7);
    expect(await status(type.setstat, (w) => all(0, 0, 0o100_600)(w.string('/x')))).toBe(0);
    expect(files.nodes.get('/x')).toMatchObject({ mode: 0o600, mtimeMs: 7000 });
    expect(await status(type.fsetstat, (w) => all(0, 0, 0o100_640)(w.string(handle)))).toBe(0);
    expect(files.nodes.get('/x')?.mode).toBe(0o640);
    expect(await status(type.setstat, (w) => all(1000, 0, 0o100_604)(w.string('/x')))).toBe(3);
    expect(files.nodes.get('/x')?.mode).toBe(0o604);
    expect(await status(type.fsetstat, (w) => all(0, 1000, 0o100_644)(w.string(handle)))).toBe(3);
    expect(files.nodes.get('/x')?.mode).toBe(0o644);
    expect(await status(type.setstat, (w) => w.string('/x').uint32(2).uint32(0).uint32(0))).toBe(0);
    expect(await status(type.setstat, (w) => w.string('/x').uint32(2).uint32(1).uint32(1))).toBe(3);
    expect(await status(type.setstat, (w) => all(0, 0, 0o100_600)(w.string('/none')))).toBe(2);
  });

  it('refuses handles that are not open, closed ones included, without harm', async () => {
    files.put('/r', Buffer.from('x'));
    const handle = await open('/r', flags.read);
    expect(await close(handle)).toBe(0);
    // OpenSSH's words for CLOSE, and FAILURE for the rest.
    expect(await close(handle)).toBe(2);
    expect(await status(type.read, (writer) => writer.string(handle).uint64(0).uint32(1))).toBe(4);
    expect(await status(type.write, (writer) => writer.string('zz').uint64(0).string('x'))).toBe(4);
    expect(await status(type.readdir, (writer) => writer.string('zz'))).toBe(4);
  });

  it('S-09: holds at most so many handles', async () => {
    files.put('/r', Buffer.from('x'));
    for (let count = 0; count < handlesMax; count++) await open('/r', flags.read);
    expect(await status(type.open, (writer) => writer.string('/r').uint32(1).uint32(0))).toBe(4);
    expect(files.openHandles).toBe(handlesMax);
  });

  it('S-09: takes no more requests than it may have under way, and gives no window back for the others', async () => {
    files.holdsBack = true;
    const handle = await open('/w', flags.write | flags.create);
    const consumed = channel.consumedBytes;
    for (let at = 0; at < outstandingRequestsMax + 50; at++)
      channel.request(type.write, (writer) => writer.string(handle).uint64(at).string('x'));
    const stream = files.writeStreams[0];
    expect(channel.consumedBytes).toBe(consumed);
    stream?.acknowledge(1);
    stream!.holdsBack = false;
    stream?.acknowledge();
    for (let count = 0; count < outstandingRequestsMax + 50; count++)
      expect((await channel.reply()).reader.uint32()).toBe(0);
    expect(channel.consumedBytes).toBe(channel.sentBytes);
  });

  it('S-09: stops reading requests while its answers are not taken', async () => {
    files.put('/r', Buffer.alloc(64 * 1024 * 1024));
    const handle = await open('/r', flags.read);
    channel.isBlocked = true;
    for (let at = 0; at < 250; at++)
      channel.request(type.read, (writer) =>
        writer
          .string(handle)
          .uint64(at * 262_144)
          .uint32(261_120),
      );
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(channel.queuedBytes).toBeLessThan(4 * 1024 * 1024);
    channel.unblock();
    for (let count = 0; count < 250; count++) expect((await channel.reply()).type).toBe(type.data);
  });

  it('answers 20,000 failing requests in one burst without recursion', async () => {
    const one = Buffer.from('0000000e0400000001000000057a7a7a7a7a', 'hex');
    channel.sendRaw(Buffer.concat(Array.from({ length: 20_000 }, () => one)));
    for (let count = 0; count < 20_000; count++) await channel.reply();
    expect(breaches).toEqual([]);
  });

  it.each([
    ['a request before INIT', Buffer.from([0, 0, 0, 9, type.stat, 0, 0, 0, 1, 0, 0, 0, 0]), true],
    ['a length with the top bit set', Buffer.from([0x80, 0, 0, 9, 3]), false],
    ['a packet without an id', Buffer.from([0, 0, 0, 3, 3, 0, 0]), false],
  ])('ends at %s', async (_name, bytes, isFirst) => {
    if (isFirst) {
      channel = new MemoryChannel();
      ({ finished } = new SftpSession({
        channel,
        files,
        slots: new StreamSlots(),
        username: 'a',
        clock: { now: () => now, monotonic: () => 0 },
        log: buildLog('silent', {}),
        onMalformed: (what) => void breaches.push(what),
      }));
    }
    channel.sendRaw(bytes);
    await finished;
    expect(breaches).toHaveLength(1);
    expect(channel.hasEnded).toBe(true);
  });
});
