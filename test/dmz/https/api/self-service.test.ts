import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionKey } from '#shared/random-id.ts';
import { Door, type Client } from '../door.ts';
import { recoveryCode, rightCode, rightPassword, usedCode } from '../fake-inside.ts';

let door: Door;
beforeAll(async () => {
  door = await Door.open();
});
afterAll(() => door.close());

const signIn = async (user: 'alice' | 'bob' | 'frank'): Promise<Client> => {
  if (user === 'frank') return door.signedIn('frank');
  const client = door.client();
  await client.post('/api/login', { username: user, password: rightPassword });
  await client.post('/api/login/code', { code: rightCode });
  return client;
};
const next = 'a wholly different phrase';
const code = { 'Sallyport-Code': rightCode };

describe('changing credentials', () => {
  it('takes password and code, signs them for that change, and gives a new cookie', async () => {
    const client = await signIn('alice');
    const before = client.cookie;
    const answer = await client.post('/api/me/password', { current: rightPassword, new: next }, code);
    expect([answer.status, answer.body.length]).toEqual([204, 0]);
    expect(client.cookie).not.toBe(before);
    expect(client.cookie).toMatch(/^__Host-sallyport=s\./);
    expect(door.inside.claims.at(-1)).toMatchObject({
      purpose: 'password',
      sub: 'alice',
      method: 'totp',
      amr: ['pwd', 'otp'],
      change: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    });
    expect((await client.get('/api/me')).status).toBe(200);
    expect((await door.client().get('/api/me', { Cookie: before ?? '' })).status).toBe(401);
  });

  it('asks for a code only from who has an authenticator, and without one counts nothing', async () => {
    const alice = await signIn('alice');
    const asked = await alice.post('/api/me/password', { current: rightPassword, new: next });
    expect([asked.status, asked.json['reason'], asked.json['attempts_left']]).toEqual([
      401,
      'code-required',
      undefined,
    ]);
    const signed = door.inside.claims.length;
    const shapeless = await alice.post(
      '/api/me/password',
      { current: rightPassword, new: next },
      { 'Sallyport-Code': 'no code' },
    );
    expect([shapeless.status, shapeless.json['reason']]).toEqual([401, 'wrong-code']);
    expect(door.inside.claims).toHaveLength(signed);
    const frank = await signIn('frank');
    expect((await frank.post('/api/me/password', { current: rightPassword, new: next })).status).toBe(204);
    expect(door.inside.claims.at(-1)).toMatchObject({ method: 'none', amr: ['pwd'] });
  });

  it('is one at a time in a session: the other is told so, and main is not shown a proof for another', async () => {
    const client = await signIn('alice');
    const body = { current: rightPassword, new: next };
    const before = door.inside.claims.length;
    const answers = await Promise.all([1, 2, 3].map(() => client.post('/api/me/password', body, code)));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    // Who comes when the first is done has the cookie of a session that is over.
    const others = answers.filter(({ status }) => status !== 204).map(({ json }) => json['reason']);
    expect(['conflict', 'no-session']).toEqual(expect.arrayContaining([...new Set(others)]));
    expect(door.inside.claims).toHaveLength(before + 1);
    expect((await client.post('/api/me/password', body, code)).status).toBe(204);
  });

  it('says what was wrong: password, code, weakness', async () => {
    const client = await signIn('alice');
    const ask = async (body: object, headers: Record<string, string> = code) => {
      const { status, json } = await client.post('/api/me/password', body, headers);
      return [status, json['reason'], json['attempts_left']];
    };
    expect(await ask({ current: 'wrong', new: next })).toEqual([401, 'wrong-password', 4]);
    expect(await ask({ current: rightPassword, new: next }, { 'Sallyport-Code': usedCode })).toEqual([
      401,
      'used-code',
      3,
    ]);
    expect(await ask({ current: rightPassword, new: 'short' })).toEqual([422, 'weak-password', undefined]);
    const weak = await client.post('/api/me/password', { current: rightPassword, new: 'short' }, code);
    expect(weak.json).toMatchObject({ weakness: 'too-short', minimum: 12 });
    expect(await ask({ current: rightPassword })).toEqual([400, 'bad-request', undefined]);
    expect(await ask({ current: rightPassword, new: 'x'.repeat(1025) })).toEqual([
      400,
      'bad-request',
      undefined,
    ]);
    expect((await client.get('/api/me')).status).toBe(200);
  });

  it('makes new recovery codes', async () => {
    const client = await signIn('alice');
    const answer = await client.post('/api/two-factor/recovery-codes', { current: rightPassword }, code);
    expect([answer.status, answer.json]).toEqual([200, { recovery_codes: [recoveryCode] }]);
    expect(door.inside.claims.at(-1)?.purpose).toBe('recovery-codes');
    expect((await client.get('/api/me')).status).toBe(200);
  });

  it('adds, lists and removes SSH keys', async () => {
    const client = await signIn('alice');
    const add = (key: string) => client.post('/api/me/ssh-keys', { key, current: rightPassword }, code);
    const added = await add('ssh-ed25519 AAAA me');
    expect([added.status, added.json]).toEqual([
      201,
      {
        id: sessionKey('key'),
        type: 'ssh-ed25519',
        fingerprint: 'SHA256:x',
        comment: 'me',
        removable: true,
        added_at: '1970-01-01T00:00:00.000Z',
        added_through: 'dmz1',
      },
    ]);
    expect((await client.get('/api/me/ssh-keys')).json).toEqual({ ssh_keys: [added.json] });
    expect((await add('known')).status).toBe(409);
    const path = `/api/me/ssh-keys/${sessionKey('key')}`;
    const remove = (headers: Record<string, string>) => client.send('DELETE', path, undefined, headers);
    expect((await remove(code)).json['reason']).toBe('wrong-password');
    expect((await remove({ ...code, 'Sallyport-Password': '%ff' })).status).toBe(400);
    const proof = { ...code, 'Sallyport-Password': encodeURIComponent(rightPassword) };
    expect((await remove(proof)).status).toBe(204);
  });

  it('is 403 where main does not allow it', async () => {
    const client = await signIn('bob');
    const answer = await client.post('/api/me/ssh-keys', { key: 'x', current: rightPassword }, code);
    expect([answer.status, answer.json['reason']]).toEqual([403, 'not-allowed']);
  });
});

describe('own sessions, leases and devices', () => {
  it('are listed with times', async () => {
    const client = await signIn('frank');
    const { sessions } = (await client.get('/api/me/sessions')).json as { sessions: object[] };
    expect(sessions).toMatchObject([{ current: true, started_at: '1970-01-01T00:00:00.000Z' }]);
    expect((await client.get('/api/me/leases')).json).toMatchObject({
      leases: [{ id: sessionKey('lease'), used_at: '1970-01-01T00:00:00.001Z' }],
    });
    expect((await client.get('/api/me/devices')).json).toMatchObject({
      devices: [{ id: sessionKey('device'), expires_at: '1970-01-01T00:00:00.002Z' }],
    });
  });

  it('are ended by name; what is no name of ours is 404 and never reaches main', async () => {
    const client = await signIn('frank');
    expect((await client.send('DELETE', `/api/me/leases/${sessionKey('lease')}`)).status).toBe(204);
    expect((await client.send('DELETE', `/api/me/devices/${sessionKey('device')}`)).status).toBe(204);
    expect((await client.send('DELETE', `/api/me/devices/${sessionKey('other')}`)).status).toBe(404);
    for (const name of ['', '..', 'x', `${sessionKey('lease')}/`, '%00'])
      expect([name, (await client.send('DELETE', `/api/me/leases/${name}`)).status]).toEqual([name, 404]);
  });

  it('ending the current one clears its cookie', async () => {
    const client = await signIn('frank');
    const { sessions } = (await client.get('/api/me/sessions')).json as { sessions: { id: string }[] };
    const answer = await client.send('DELETE', `/api/me/sessions/${sessions[0]?.id}`);
    expect(answer.status).toBe(204);
    expect(answer.headers['set-cookie']?.[0]).toContain('Max-Age=0');
    expect((await client.get('/api/me')).status).toBe(401);
  });
});
