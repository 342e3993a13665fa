import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Door } from '../door.ts';
import { driftCode, goodLink, recoveryCode, rightCode, rightPassword, usedCode } from '../fake-inside.ts';

let door: Door;
beforeAll(async () => {
  door = await Door.open();
});
afterAll(() => door.close());

const login = (username: string, password = rightPassword) => ({ username, password });

describe('signing in', () => {
  it('asks for a code, takes it, and leaves a session', async () => {
    const client = door.client();
    const first = await client.post('/api/login', login('alice'));
    expect(first.status).toBe(200);
    expect(first.json).toEqual({
      state: 'code-required',
      challenge: { method: 'totp', hint: '', recovery: true, attempts_left: 5, expires_in: 119 },
    });
    const second = await client.post('/api/login/code', { code: '123 456' });
    expect(second.status).toBe(200);
    expect(second.json).toEqual({
      state: 'signed-in',
      user: { username: 'alice', display_name: 'Person alice' },
    });
    const me = await client.get('/api/me');
    expect(me.status).toBe(200);
    expect(me.json).toMatchObject({
      username: 'alice',
      state: 'signed-in',
      may: { password: true, ssh_keys: false },
    });
    expect(door.inside.claims.at(-1)).toMatchObject({
      iss: 'dmz1',
      aud: 'main1',
      sub: 'alice',
      purpose: 'login',
      amr: ['pwd', 'otp'],
      method: 'totp',
      protocol: 'https',
      listener: 'https',
      client_ip: '127.0.0.1',
    });
  });

  it('says of a delivered code where it went and when another may be sent', async () => {
    const client = door.client();
    const answer = await client.post('/api/login', login('bob'));
    expect(answer.json['challenge']).toMatchObject({
      method: 'email',
      hint: 'b…@example.com',
      sent_ago: 0,
      resend_in: 30,
    });
    const resend = await client.post('/api/login/resend', {});
    expect(resend.status).toBe(429);
    expect(resend.headers['retry-after']).toBe('17');
  });

  it('S-04: the id of an SFTP session is no cookie', async () => {
    const passed = await door.inside.login.begin({
      user: 'frank',
      protocol: 'sftp',
      listener: 'sftp',
      client: { ip: '127.0.0.1', port: 4711, agent: '' },
      factor: { type: 'password', password: rightPassword },
    });
    const { view } = await passed.admit();
    const client = door.client();
    client.cookie = `__Host-sallyport=s.${view.session}`;
    expect((await client.get('/api/me')).status).toBe(401);
    expect((await client.get('/api/files/')).status).toBe(401);
  });

  it('S-01: a session without a second factor still ends in a signed assertion', async () => {
    const client = door.client();
    const answer = await client.post('/api/login', login('frank'));
    expect(answer.json['state']).toBe('signed-in');
    expect(door.inside.claims.at(-1)).toMatchObject({ sub: 'frank', amr: ['pwd'], method: 'none' });
  });

  it('S-07: answers a wrong password and an unknown name with the same words', async () => {
    const wrong = await door.client().post('/api/login', login('alice', 'wrong'));
    const unknown = await door.client().post('/api/login', login('nobody', 'wrong'));
    expect(wrong.status).toBe(401);
    expect(wrong.json['reason']).toBe('refused');
    expect(wrong.json['reference']).toBe('REFMAIN1');
    expect({ ...unknown.json }).toEqual({ ...wrong.json });
    const names = (raw: readonly string[]) => raw.filter((_, index) => index % 2 === 0);
    expect(names(unknown.rawHeaders)).toEqual(names(wrong.rawHeaders));
  });

  it('S-07: answers every link that does not work with the same words, and opens nothing for one that does', async () => {
    const client = door.client();
    const set = (token: string, password = 'a new long one') =>
      client.post('/api/password/set', { token, password });
    const dead = await set('D'.repeat(43));
    expect([dead.status, dead.json['reason'], dead.json['reference']]).toEqual([
      401,
      'dead-link',
      'REFMAIN3',
    ]);
    const misspelt = await set('no link');
    expect({ ...misspelt.json, reference: '' }).toEqual({ ...dead.json, reference: '' });
    const weak = await set(goodLink, 'short');
    expect([weak.status, weak.json['reason'], weak.json['weakness']]).toEqual([
      422,
      'weak-password',
      'too-short',
    ]);
    const done = await set(goodLink);
    expect([done.status, done.json]).toEqual([200, { username: 'frank' }]);
    expect(client.cookie).toBeUndefined();
    expect((await client.get('/api/me')).status).toBe(401);
  });

  it('keeps the half session over wrong codes and says why each was wrong', async () => {
    const client = door.client();
    await client.post('/api/login', login('alice'));
    const cookie = client.cookie;
    const wrong = await client.post('/api/login/code', { code: '000000' });
    expect([wrong.status, wrong.json['reason'], wrong.json['attempts_left']]).toEqual([401, 'wrong-code', 4]);
    const used = await client.post('/api/login/code', { code: usedCode });
    expect([used.status, used.json['reason'], used.json['attempts_left']]).toEqual([401, 'used-code', 3]);
    const drift = await client.post('/api/login/code', { code: driftCode });
    expect([drift.json['reason'], drift.json['drift_seconds']]).toEqual(['clock-drift', -95]);
    expect(client.cookie).toBe(cookie);
    expect((await client.post('/api/login/code', { code: rightCode })).status).toBe(200);
  });

  it('tells a half session again what it waits for, and nothing else', async () => {
    const client = door.client();
    const { json } = await client.post('/api/login', login('alice'));
    const { cookie } = client;
    const again = await client.get('/api/login/code');
    expect([again.status, again.json]).toEqual([200, { ...json, username: 'alice' }]);
    await client.post('/api/login/code', { code: '000000' });
    expect((await client.get('/api/login/code')).json['challenge']).toMatchObject({ attempts_left: 4 });
    expect(client.cookie).toBe(cookie);
    expect((await client.post('/api/login/code', { code: rightCode })).status).toBe(200);
    // Neither a session nor a half session that is over has anything to tell.
    expect((await client.get('/api/login/code')).status).toBe(401);
    client.cookie = cookie;
    const over = await client.get('/api/login/code');
    expect([over.status, over.json['reason'], client.cookie]).toEqual([401, 'refused', undefined]);
  });

  it('ends the half session when its tries are used up', async () => {
    const client = door.client();
    await client.post('/api/login', login('alice'));
    for (let attempt = 0; attempt < 4; attempt += 1) await client.post('/api/login/code', { code: '000000' });
    const cookie = client.cookie;
    const last = await client.post('/api/login/code', { code: '000000' });
    expect([last.status, last.json['reason'], last.json['attempts_left']]).toEqual([
      401,
      'refused',
      undefined,
    ]);
    expect(client.cookie).toBeUndefined();
    client.cookie = cookie;
    const after = await client.post('/api/login/code', { code: rightCode });
    expect([after.status, after.json['reason']]).toEqual([401, 'refused']);
  });

  it('never forwards an answer that has no shape of a code', async () => {
    const client = door.client();
    await client.post('/api/login', login('alice'));
    const before = door.inside.asked.filter((verb) => verb === 'login.assert').length;
    for (const code of ['', '12345', '1234567', 'hunter2!', '١٢٣٤٥٦', 'x'.repeat(5000)]) {
      const answer = await client.post('/api/login/code', { code });
      expect([answer.status, answer.json['reason'], answer.json['attempts_left']]).toEqual([
        401,
        'wrong-code',
        5,
      ]);
    }
    expect(door.inside.asked.filter((verb) => verb === 'login.assert').length).toBe(before);
  });

  it('takes a recovery code in any spelling people type', async () => {
    const client = door.client();
    await client.post('/api/login', login('alice'));
    const typed = recoveryCode.toLowerCase().replace(/.{4}(?=.)/g, '$&-');
    expect((await client.post('/api/login/code', { code: typed })).status).toBe(200);
    expect(door.inside.claims.at(-1)?.method).toBe('recovery');
  });

  it('replaces the cookie at each step, and the value before it is dead', async () => {
    const client = door.client();
    await client.post('/api/login', login('alice'));
    const half = client.cookie;
    await client.post('/api/login/code', { code: rightCode });
    const full = client.cookie;
    expect(full).not.toBe(half);
    const old = door.client();
    old.cookie = half;
    expect((await old.get('/api/me')).status).toBe(401);
    expect((await old.post('/api/login/code', { code: rightCode })).status).toBe(401);
    await client.post('/api/logout', {});
    expect(client.cookie).toBeUndefined();
    old.cookie = full;
    expect((await old.get('/api/me')).status).toBe(401);
    expect((await old.get('/api/files/')).status).toBe(401);
  });

  it('gives a new cookie also to a browser that came with one, and ends what that one was', async () => {
    const client = await door.signedIn('frank');
    const before = client.cookie;
    await client.post('/api/login', login('frank'));
    expect(client.cookie).not.toBe(before);
    const old = door.client();
    old.cookie = before;
    expect((await old.get('/api/me')).status).toBe(401);
    const planted = door.client();
    planted.cookie = `__Host-sallyport=s.${'A'.repeat(43)}`;
    await planted.post('/api/login', login('alice'));
    expect(planted.cookie).toMatch(/^__Host-sallyport=h\.[A-Za-z0-9_-]{43}$/);
  });

  it('a half session that is logged out takes no code any more', async () => {
    const client = door.client();
    await client.post('/api/login', login('alice'));
    const half = client.cookie;
    expect((await client.post('/api/logout', {})).status).toBe(204);
    client.cookie = half;
    expect((await client.post('/api/login/code', { code: rightCode })).status).toBe(401);
  });

  it('notices at once that main ended a session', async () => {
    const client = await door.signedIn('frank');
    expect((await client.get('/api/files/')).status).toBe(200);
    await door.inside.kick(client.cookie?.slice('__Host-sallyport=s.'.length) ?? '');
    expect((await client.get('/api/files/')).status).toBe(401);
  });

  it('wants both fields, as strings, and nothing else', async () => {
    const client = door.client();
    for (const body of [
      {},
      { username: 'alice' },
      { username: 1, password: 'x' },
      { ...login('alice'), admin: true },
      [],
    ])
      expect((await client.post('/api/login', body)).status).toBe(400);
  });
});

describe('setting up the second factor', () => {
  it('confines a forced user to the set-up, and frees the same session when it is proven', async () => {
    const client = await door.signedIn('dave');
    expect((await client.get('/api/me')).json['state']).toBe('setup-required');
    expect((await client.post('/api/two-factor/setup/prove', { code: rightCode })).status).toBe(409);
    const setup = await client.post('/api/two-factor/setup');
    expect(setup.status).toBe(201);
    expect(setup.json).toEqual({
      secret: 'JBSWY3DPEHPK3PXP',
      otpauth_uri: 'otpauth://totp/x',
      qr: 'data:image/png;base64,AA==',
      expires_in: 30,
    });
    expect((await client.post('/api/two-factor/setup/prove', { code: rightCode })).status).toBe(409);
    expect((await client.get('/api/two-factor/setup')).json).toEqual({ state: 'none' });
    const confirm = await client.post('/api/two-factor/setup/confirm', {});
    expect([confirm.status, confirm.json]).toEqual([200, { prove_within: 120 }]);
    expect((await client.get('/api/two-factor/setup')).json).toEqual({
      state: 'confirmed',
      prove_within: 120,
    });
    const wrong = await client.post('/api/two-factor/setup/prove', { code: '000000' });
    expect([wrong.status, wrong.json['reason'], wrong.json['attempts_left']]).toEqual([401, 'wrong-code', 4]);
    const confined = client.cookie;
    const proven = await client.post('/api/two-factor/setup/prove', { code: rightCode });
    expect([proven.status, proven.json]).toEqual([
      200,
      { recovery_codes: [recoveryCode], required_on: ['https'] },
    ]);
    expect(door.inside.claims.at(-1)).toMatchObject({ purpose: 'enrol', method: 'totp', sub: 'dave' });
    expect((await client.get('/api/files/')).status).toBe(200);
    expect((await client.post('/api/two-factor/setup')).status).toBe(409);
    client.cookie = confined;
    expect((await client.get('/api/me')).status).toBe(401);
  });

  it('is refused to whom it is not enabled for, and without a shown code there is nothing to confirm', async () => {
    const frank = await door.signedIn('frank');
    expect((await frank.post('/api/two-factor/setup')).status).toBe(403);
    expect((await frank.post('/api/two-factor/setup/confirm')).status).toBe(410);
  });
});
