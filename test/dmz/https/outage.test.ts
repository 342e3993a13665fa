import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { SallyportError } from '#shared/error.ts';
import { Door, readAll } from './door.ts';
import { rightCode, rightPassword } from './fake-inside.ts';

describe('while main is out of reach', () => {
  it('says 503 and when to come back, and everything goes on afterwards', async () => {
    const door = await Door.open();
    const frank = await door.signedIn('frank');
    const half = door.client();
    await half.post('/api/login', { username: 'alice', password: rightPassword });
    door.inside.memory.cut();
    const answers = [
      await door.client().post('/api/login', { username: 'frank', password: rightPassword }),
      await door.client().get('/api/me'),
      await door.client().get('/api/files/'),
      await frank.get('/api/me'),
      await frank.get('/api/files/'),
      await frank.get('/api/files/hello.txt'),
      await frank.send('PUT', '/api/files/outage', 'x'),
      await frank.post('/api/logout'),
      await half.post('/api/login/code', { code: rightCode }),
    ];
    for (const { status, headers, json } of answers)
      expect([status, headers['retry-after'], json['reason']]).toEqual([503, '5', 'link-down']);
    expect((await door.client().get('/')).status).toBe(200);
    await door.inside.memory.join();
    expect((await frank.get('/api/me')).status).toBe(200);
    expect((await half.post('/api/login/code', { code: rightCode })).status).toBe(200);
    expect(door.inside.files.has('/outage')).toBe(false);
    await door.close();
  });
});

describe('a link that is lost in the middle of a transfer', () => {
  const bytes = randomBytes(24 * 1024 * 1024);
  const patient = { parkForMs: 10_000 };

  it('is a pause for who downloads', async () => {
    const door = await Door.open({ inside: patient });
    const frank = await door.signedIn('frank');
    door.inside.files.set('/big', { type: 'file', content: bytes, mtimeMs: 0 });
    const socket = await door.raw();
    socket.write(`GET /api/files/big HTTP/1.0\r\nHost: x\r\nCookie: ${frank.cookie ?? ''}\r\n\r\n`);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) {
      chunks.push(chunk as Buffer);
      if (chunks.length !== 50) continue;
      door.inside.memory.cut();
      setImmediate(() => void door.inside.memory.join());
    }
    const all = Buffer.concat(chunks);
    expect(all.subarray(all.indexOf('\r\n\r\n') + 4).equals(bytes)).toBe(true);
    await door.close();
  });

  it('ends the download when the file is another one afterwards', async () => {
    const door = await Door.open({ inside: patient });
    const frank = await door.signedIn('frank');
    door.inside.files.set('/big', { type: 'file', content: bytes, mtimeMs: 0 });
    const socket = await door.raw();
    socket.write(`GET /api/files/big HTTP/1.0\r\nHost: x\r\nCookie: ${frank.cookie ?? ''}\r\n\r\n`);
    let received = 0;
    let isCut = false;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (isCut) return;
      isCut = true;
      door.inside.memory.cut();
      door.inside.files.set('/big', { type: 'file', content: randomBytes(bytes.length), mtimeMs: 1 });
      setImmediate(() => void door.inside.memory.join());
    });
    await once(socket, 'close');
    expect(received).toBeLessThan(bytes.length);
    await door.close();
  });

  it('is a pause for an archive, and its end if main does not come back', async () => {
    for (const comesBack of [true, false]) {
      const door = await Door.open(comesBack ? { inside: patient } : {});
      const frank = await door.signedIn('frank');
      door.inside.files.set('/big', { type: 'file', content: bytes, mtimeMs: 0 });
      const socket = await door.raw();
      socket.write(
        `GET /api/files?zip=1&name=big HTTP/1.1\r\nHost: x\r\nCookie: ${frank.cookie ?? ''}\r\n\r\n`,
      );
      socket.setTimeout(15_000, () => socket.destroy());
      let received = Buffer.alloc(0);
      let isCut = false;
      for await (const chunk of socket) {
        received = Buffer.concat([received.subarray(-100), chunk as Buffer]);
        // The last chunk of the transfer: whole, as far as a client can tell.
        if (received.includes('\r\n0\r\n\r\n')) break;
        if (isCut) continue;
        isCut = true;
        door.inside.memory.cut();
        if (comesBack) setImmediate(() => void door.inside.memory.join());
      }
      expect([comesBack, received.includes('PK\u0005\u0006'), received.includes('\r\n0\r\n\r\n')]).toEqual([
        comesBack,
        comesBack,
        comesBack,
      ]);
      await door.close();
    }
  });

  it('is a pause for who uploads, and every byte arrives once', async () => {
    const door = await Door.open({ inside: patient });
    const frank = await door.signedIn('frank');
    const socket = await door.raw();
    socket.write(
      `PUT /api/files/up HTTP/1.0\r\nHost: x\r\nCookie: ${frank.cookie ?? ''}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    );
    for (let sent = 0; sent < bytes.length; sent += 1024 * 1024) {
      if (sent === 8 * 1024 * 1024) {
        door.inside.memory.cut();
        setImmediate(() => void door.inside.memory.join());
      }
      const piece = bytes.subarray(sent, sent + 1024 * 1024);
      await new Promise((resolve) => {
        socket.write(piece, resolve);
      });
    }
    expect(await readAll(socket, 5_000)).toMatch(/^HTTP\/1\.1 201 /);
    expect(door.inside.files.get('/up')?.content.equals(bytes)).toBe(true);
    await door.close();
  });

  it('is an outage when main does not come back in time', async () => {
    const door = await Door.open();
    const frank = await door.signedIn('frank');
    const put = frank.send('PUT', '/api/files/up', bytes);
    await expect.poll(() => door.inside.openUploads()).toBe(1);
    door.inside.memory.cut();
    const { status, json } = await put;
    expect([status, json['reason']]).toEqual([503, 'link-down']);
    await door.close();
  });
});

describe('more sign-ins than main can look at', () => {
  it('are told so, and when to come back: no word of a wrong password', async () => {
    const door = await Door.open();
    door.inside.onBegin = () => {
      throw new SallyportError('busy', 'Too many people are signing in', { data: { retryAfterMs: 2_100 } });
    };
    const answer = await door.client().post('/api/login', { username: 'frank', password: rightPassword });
    expect([answer.status, answer.json['reason']]).toEqual([503, 'busy']);
    expect(answer.headers['retry-after']).toBe('3');
    expect(answer.json['detail']).toBe('Too many people are signing in');
    await door.close();
  });
});

describe('a source that failed too often', () => {
  it('is told to wait, with the right password too, while its open sessions go on', async () => {
    const door = await Door.open();
    const frank = await door.signedIn('frank');
    for (let time = 0; time < 15; time += 1)
      await door.client().post('/api/login', { username: 'alice', password: 'wrong' });
    const banned = await door.client().post('/api/login', { username: 'frank', password: rightPassword });
    expect([banned.status, banned.json['reason']]).toEqual([429, 'rate-limited']);
    expect(Number(banned.headers['retry-after'])).toBeGreaterThan(890);
    expect((await frank.get('/api/files/')).status).toBe(200);
    await door.close();
  });

  it('loses even the connection after twenty breaches of the protocol', async () => {
    const door = await Door.open();
    for (let time = 0; time < 20; time += 1) await door.exchangeRaw('nonsense\r\n\r\n');
    await expect(door.client().get('/')).rejects.toThrow(/socket|ECONNRESET/);
    await door.close();
  });
});
