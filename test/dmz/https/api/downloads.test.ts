import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Admitted } from '#dmz/login/login-service.ts';
import { DownloadTickets } from '#dmz/https/files/download-tickets.ts';
import { archivesOfUserMax, downloadNamesMax, downloadTicketMs } from '#dmz/https/limits.ts';
import { type Answer, type Client, Door } from '../door.ts';

let door: Door;
let client: Client;
beforeAll(async () => {
  door = await Door.open();
  client = await door.signedIn('frank');
});
afterAll(() => door.close());

function put(path: string, content?: Buffer): void {
  const type = content === undefined ? 'folder' : 'file';
  door.inside.files.set(path, { type, content: content ?? Buffer.alloc(0), mtimeMs: 0 });
}
const ask = (folder: string, names: readonly string[], as = client): Promise<Answer> =>
  as.post('/api/downloads', { folder, names });
const addressOf = ({ json }: Answer): string => String(json['address']);
const isZip = ({ body }: Answer): boolean => body.subarray(0, 2).toString() === 'PK';

describe('a download that is asked for', () => {
  it('has an address that gives the archive once, to its own session', async () => {
    put('/two');
    put('/two/a.txt', Buffer.from('a'));
    put('/two/b.txt', Buffer.from('b'));
    const asked = await ask('/two', ['a.txt', 'b.txt']);
    expect([asked.status, asked.json['expires_in']]).toEqual([201, downloadTicketMs / 1000]);
    const address = addressOf(asked);
    expect((await door.client().get(address)).status).toBe(401);
    expect((await (await door.signedIn('frank')).get(address)).status).toBe(404);
    const head = await client.send('HEAD', address);
    expect(head.headers['content-disposition']).toContain('two.zip');
    const fetched = await client.get(address);
    expect([fetched.status, isZip(fetched)]).toEqual([200, true]);
    expect((await client.get(address)).status).toBe(404);
  });

  it('may be of thousands of long names, which no address would hold', async () => {
    put('/wide');
    const names = Array.from({ length: 3000 }, (_, index) => `${'請求書の写し'.repeat(12)} ${index}.txt`);
    for (const name of names) put(`/wide/${name}`, Buffer.from('x'));
    const fetched = await client.get(addressOf(await ask('/wide', names)));
    expect(fetched.status).toBe(200);
    expect(fetched.body.toString()).toContain(names[2999]);
  }, 60_000);

  it(`may be of ${downloadNamesMax} names at their longest, and says so of one more`, async () => {
    const names = Array.from({ length: downloadNamesMax + 1 }, (_, index) =>
      String(index).padStart(255, 'n'),
    );
    expect((await ask('/docs', names.slice(1))).json['reason']).toBe('not-found');
    const { status, json } = await ask('/docs', names);
    expect([status, json['reason'], json['bound'], json['maximum']]).toEqual([
      429,
      'too-many',
      'names',
      downloadNamesMax,
    ]);
  }, 60_000);

  it('of one file is the file at its own address, so that it can be taken up again', async () => {
    put('/one');
    put('/one/50 % #1.bin', Buffer.from('0123456789'));
    const asked = await ask('/one', ['50 % #1.bin']);
    expect(asked.json).toEqual({ address: '/api/files/one/50%20%25%20%231.bin' });
    const rest = await client.get(addressOf(asked), { Range: 'bytes=4-' });
    expect([rest.status, rest.body.toString()]).toEqual([206, '456789']);
  });

  it('is refused in words where there is nothing, no file, or a name that is none', async () => {
    put('/hollow');
    put('/hollow/inner');
    expect((await ask('/nowhere', [])).json['reason']).toBe('not-found');
    expect((await ask('/hollow', ['gone.txt'])).json['reason']).toBe('not-found');
    expect((await ask('/hollow', ['inner', 'gone.txt'])).json['reason']).toBe('not-found');
    for (const names of [[], ['inner']]) {
      const { status, json } = await ask('/hollow', names);
      expect([status, json['reason']]).toEqual([404, 'no-files']);
    }
    expect((await ask('/hollow', ['../docs'])).status).toBe(400);
    expect((await client.post('/api/downloads', { folder: '/hollow' })).status).toBe(400);
  });

  it('of a folder that holds what is not served is what can be read of it, with a note of the rest', async () => {
    put('/partly');
    put('/partly/a.txt', Buffer.from('a'));
    put('/hidden');
    for (const folder of ['/partly', '/hidden'])
      door.inside.unserved.set(folder, { count: 1, names: ['aux.h'] });
    const fetched = await client.get(addressOf(await ask('/partly', [])));
    expect([fetched.status, fetched.body.includes('a.txt'), fetched.body.includes('aux.h')]).toEqual([
      200,
      true,
      true,
    ]);
    expect((await ask('/hidden', [])).json['reason']).toBe('no-files');
  });

  it('is refused where one of its files may not be read, before any of it is sent', async () => {
    put('/in');
    put('/in/free.txt', Buffer.from('x'));
    put('/in/box');
    put('/in/box/closed.txt', Buffer.from('x'));
    door.inside.closed = '/in/box';
    for (const names of [[], ['box'], ['box', 'free.txt']]) {
      const { status, json } = await ask('/in', names);
      expect([names, status, json['reason']]).toEqual([names, 403, 'permission-denied']);
    }
    expect((await ask('/in/box', ['closed.txt'])).status).toBe(403);
    expect((await ask('/in', ['free.txt'])).status).toBe(201);
    door.inside.closed = undefined;
    expect(door.inside.openHandles()).toBe(0);
  });

  it(`takes a place among its user's ${archivesOfUserMax} archives until it is fetched or its session ends`, async () => {
    put('/few');
    put('/few/a', randomBytes(10));
    const alice = await door.signedIn('alice');
    const addresses = [];
    for (let index = 0; index < archivesOfUserMax; index += 1)
      addresses.push(addressOf(await ask('/few', [], alice)));
    const refused = await ask('/few', [], alice);
    expect([refused.status, refused.json['bound'], refused.json['maximum']]).toEqual([
      429,
      'archives',
      archivesOfUserMax,
    ]);
    expect((await ask('/few', ['a'], alice)).status).toBe(201);
    expect((await alice.get(addresses[0] ?? '')).status).toBe(200);
    expect((await ask('/few', [], alice)).status).toBe(201);
    await alice.post('/api/logout');
    expect((await ask('/few', [], await door.signedIn('alice'))).status).toBe(201);
  });
});

describe('the ticket of a download', () => {
  afterEach(() => void vi.useRealTimers());

  it('is gone when nobody came for it in time, and its archive with it', () => {
    vi.useFakeTimers();
    const tickets = new DownloadTickets();
    const leave = vi.fn<() => void>();
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else of it is looked at
    const session = { view: { session: 'one' }, ended: new AbortController().signal } as Admitted;
    const archive = { name: 'a.zip', entries: [], leave };
    const late = tickets.issue(session, archive);
    vi.advanceTimersByTime(downloadTicketMs - 1);
    expect(tickets.find(session, late)).toBe(archive);
    vi.advanceTimersByTime(1);
    expect([tickets.take(session, late), leave.mock.calls.length]).toEqual([undefined, 1]);
    const inTime = tickets.issue(session, archive);
    expect(tickets.take(session, inTime)).toBe(archive);
    vi.advanceTimersByTime(downloadTicketMs);
    expect(leave.mock.calls.length).toBe(1);
  });
});
