import { describe, expect, it } from 'vitest';
import { Door } from './door.ts';
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
