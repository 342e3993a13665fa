// ssh2-sftp-client, widely. Arguments: host port host-key user key-file local-folder. Prints `ok …` or `not ok …` a step.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import Client from 'ssh2-sftp-client';

const [host, port, hostKey, username, keyFile, local] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${line}\n`);
const sftp = new Client();
const content = randomBytes(700_003);
const source = join(local, 'source.bin');
writeFileSync(source, content);

async function step(title, action) {
  try {
    await action();
    say(`ok ${title}`);
  } catch (error) {
    say(`not ok ${title}: ${String(error.message).replaceAll(/\s+/g, ' ').slice(0, 300)}`);
  }
}

await sftp.connect({
  host,
  port: Number(port),
  username,
  privateKey: readFileSync(keyFile),
  hostVerifier: (key) => key.toString('base64') === hostKey.split(' ')[1],
});
// Without it each request waits 40 ms for an acknowledgement, against any server: TCP's, and not what is looked at here.
sftp.client.setNoDelay(true);
await step('put from a file, a buffer, a stream', async () => {
  await sftp.put(source, 'file.bin');
  await sftp.put(content, 'buffer.bin');
  await sftp.put(createReadStream(source), 'stream.bin');
  for (const name of ['file.bin', 'buffer.bin', 'stream.bin'])
    assert.ok((await sftp.get(name)).equals(content));
});
await step('get to a buffer, a file, a stream', async () => {
  await sftp.get('file.bin', join(local, 'got1'));
  await sftp.get('file.bin', createWriteStream(join(local, 'got2')));
  for (const name of ['got1', 'got2']) assert.ok(readFileSync(join(local, name)).equals(content));
});
await step('fastPut and fastGet, with many requests under way', async () => {
  await sftp.fastPut(source, 'fast.bin', { concurrency: 64, chunkSize: 32_768 });
  await sftp.fastGet('fast.bin', join(local, 'fast'), { concurrency: 64, chunkSize: 20_000 });
  assert.ok(readFileSync(join(local, 'fast')).equals(content));
});
await step('an empty file', async () => {
  await sftp.put(Buffer.alloc(0), 'empty');
  assert.equal((await sftp.stat('empty')).size, 0);
  assert.equal((await sftp.get('empty')).length, 0);
});
await step('append', async () => {
  await sftp.put(Buffer.from('one\n'), 'log');
  await sftp.append(Buffer.from('two\n'), 'log');
  await sftp.append(Readable.from([Buffer.from('three\n')]), 'log');
  assert.equal(String(await sftp.get('log')), 'one\ntwo\nthree\n');
});
await step('exists, stat, lstat, realPath, cwd', async () => {
  assert.deepEqual([await sftp.exists('log'), await sftp.exists('none')], ['-', false]);
  const stats = await sftp.stat('log');
  assert.deepEqual([stats.size, stats.isFile, (await sftp.lstat('log')).isDirectory], [14, true, false]);
  assert.match(await sftp.realPath('log'), /\/log$/);
  assert.match(await sftp.cwd(), /^\//);
  await assert.rejects(sftp.stat('none'), { code: 'ENOENT' });
});
await step('mkdir of a whole path, list with a filter, rmdir of a whole tree', async () => {
  await sftp.mkdir('p/q/r', true);
  await sftp.put(Buffer.from('x'), 'p/q/r/x.txt');
  await sftp.put(Buffer.from('y'), 'p/q/r/y.log');
  const listed = await sftp.list('p/q/r', (item) => item.name.endsWith('.txt'));
  assert.deepEqual(
    listed.map(({ name, type, size }) => [name, type, size]),
    [['x.txt', '-', 1]],
  );
  await sftp.rmdir('p', true);
  assert.equal(await sftp.exists('p'), false);
});
await step('rename, posixRename over a file, delete', async () => {
  await sftp.put(Buffer.from('a'), 'a');
  await sftp.put(Buffer.from('b'), 'b');
  await assert.rejects(sftp.rename('a', 'b'));
  await sftp.posixRename('a', 'b');
  assert.equal(String(await sftp.get('b')), 'a');
  await sftp.rename('b', 'c');
  await sftp.delete('c');
  await assert.rejects(sftp.delete('c'));
  await sftp.delete('c', true);
});
await step('chmod', async () => {
  await sftp.chmod('log', 0o640);
  assert.equal((await sftp.stat('log')).mode & 0o777, 0o640);
});
await step('rcopy', async () => {
  await sftp.rcopy('file.bin', 'copied.bin');
  assert.ok((await sftp.get('copied.bin')).equals(content));
});
await step('uploadDir and downloadDir, with and without fastPut', async () => {
  for (const place of ['', 'a', 'a/b']) {
    mkdirSync(join(local, 'tree', place), { recursive: true });
    for (let n = 0; n < 8; n += 1)
      writeFileSync(join(local, 'tree', place, `f${n}`), content.subarray(0, n * 10_007));
  }
  for (const useFastput of [true, false]) {
    await sftp.uploadDir(join(local, 'tree'), `tree-${useFastput}`, { useFastput });
    await sftp.downloadDir(`tree-${useFastput}`, join(local, `back-${useFastput}`), {
      useFastget: useFastput,
    });
    const names = (folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    assert.equal(names(join(local, `back-${useFastput}`)).length, 24);
    assert.ok(readFileSync(join(local, `back-${useFastput}`, 'a/b/f7')).equals(content.subarray(0, 70_049)));
  }
});
await step('streams with a start and an end', async () => {
  assert.equal(await text(sftp.createReadStream('log', { start: 4, end: 6 })), 'two');
  await pipeline(
    Readable.from([Buffer.from('TWO')]),
    sftp.createWriteStream('log', { flags: 'r+', start: 4 }),
  );
  assert.equal(String(await sftp.get('log')), 'one\nTWO\nthree\n');
});
await step('forty files at once', async () => {
  await Promise.all(
    Array.from({ length: 40 }, (_, n) => sftp.put(content.subarray(0, 1_000 * n), `at-once-${n}`)),
  );
  const sizes = await Promise.all(
    Array.from({ length: 40 }, async (_, n) => (await sftp.stat(`at-once-${n}`)).size),
  );
  assert.deepEqual(
    sizes,
    Array.from({ length: 40 }, (_, n) => 1_000 * n),
  );
});
await sftp.end();
say('end');
