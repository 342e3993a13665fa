import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { binRestoresMax } from '#dmz/http-api/limits.ts';
import { type Client, Door } from '../door.ts';

let door: Door;
let client: Client;
beforeAll(async () => {
  door = await Door.open();
  client = await door.signedIn('frank');
});
afterAll(() => door.close());
beforeEach(async () => {
  await client.post('/api/bin/empty');
});

async function deleted(path: string, query = ''): Promise<string | undefined> {
  door.inside.files.set(path, { type: 'file', content: Buffer.from('x'), mtimeMs: 0 });
  const { status, headers } = await client.send('DELETE', `/api/files${path}${query}`);
  expect(status).toBe(204);
  return headers['sallyport-bin'] as string | undefined;
}

describe('the bin over HTTPS', () => {
  it('is told of where something is deleted, in the header of the answer, unless it was for good', async () => {
    expect(await deleted('/a.txt')).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(await deleted('/b.txt', '?bin=0')).toBeUndefined();
    const { json } = await client.get('/api/bin');
    expect(json).toMatchObject({ kept_entries: 1, entries: [{ name: 'a.txt' }] });
  });

  it('is told of with the mounts of the account, in seconds', async () => {
    const { json } = await client.get('/api/me');
    expect(json['files']).toContainEqual({ path: '/kept', allow: ['list'], bin_seconds: 86_400 });
    expect(json['files']).toContainEqual({ path: '/in/box', allow: ['list', 'write'] });
  });

  it('comes in pages, newest first', async () => {
    const [first, second] = [await deleted('/first.txt'), await deleted('/second.txt')];
    const page = await client.get('/api/bin?limit=1');
    expect(page.json).toEqual({
      entries: [
        {
          id: second,
          name: 'second.txt',
          path: '/second.txt',
          type: 'file',
          size: 3,
          deleted_at: '2026-01-01T00:00:00.000Z',
          by: 'frank',
          reason: 'deleted',
          expires_at: '2026-01-08T00:00:00.000Z',
        },
      ],
      next: second,
      kept_bytes: 0,
      kept_entries: 2,
    });
    const last = await client.get(`/api/bin?limit=1&cursor=${String(page.json['next'])}`);
    expect(last.json['entries']).toMatchObject([{ id: first }]);
    expect(last.json['next']).toBeUndefined();
    for (const query of ['limit=0', 'limit=1001', `cursor=${'x'.repeat(65)}`])
      expect((await client.get(`/api/bin?${query}`)).status).toBe(400);
  });

  it('gives back one by one; of several each says how it went, of one its problem is the answer', async () => {
    const [taken, free] = [(await deleted('/taken.txt')) ?? '', (await deleted('/free.txt')) ?? ''];
    door.inside.files.set('/taken.txt', { type: 'file', content: Buffer.alloc(0), mtimeMs: 0 });
    const gone = 'A'.repeat(22);
    const some = await client.post('/api/bin/restore', { ids: [taken, gone, free] });
    expect([some.status, some.json['results']]).toMatchObject([
      200,
      [
        { id: taken, problem: { status: 409, reason: 'exists' } },
        { id: gone, problem: { status: 404, reason: 'not-found' } },
        { id: free, path: '/free.txt' },
      ],
    ]);
    const one = await client.post('/api/bin/restore', { ids: [taken] });
    expect([one.status, one.json['reason']]).toEqual([409, 'exists']);
    const beside = await client.post('/api/bin/restore', { ids: [taken], conflict: 'keep-both' });
    expect(beside.json['results']).toEqual([{ id: taken, path: '/beside' }]);
  });

  it('takes so many ids at once, and nothing that is none', async () => {
    const ids = (count: number): string[] =>
      Array.from({ length: count }, (_, at) => String(at).padStart(22, 'A'));
    expect((await client.post('/api/bin/restore', { ids: ids(binRestoresMax) })).status).toBe(200);
    for (const wrong of [ids(binRestoresMax + 1), [], ['../../etc/passwd'], ['A'.repeat(23)]])
      expect((await client.post('/api/bin/restore', { ids: wrong })).status).toBe(400);
    expect((await client.post('/api/bin/empty', { ids: ['x'] })).status).toBe(400);
  });

  it('is emptied of what is named, or of everything', async () => {
    const [first] = [(await deleted('/1.txt')) ?? '', await deleted('/2.txt'), await deleted('/3.txt')];
    expect((await client.post('/api/bin/empty', { ids: [first] })).json).toEqual({ dropped: 1 });
    expect((await client.post('/api/bin/empty')).json).toEqual({ dropped: 2 });
  });
});
