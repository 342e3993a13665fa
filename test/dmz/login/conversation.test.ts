import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { attachesPerSourceMax, passwordCharactersMax, userNameCharactersMax } from '#dmz/login/limits.ts';
import * as selfService from '#dmz/login/self-service.ts';
import * as sessionEnrolment from '#dmz/login/session-enrolment.ts';
import { SallyportError } from '#shared/error.ts';
import type { ClientAddress } from '#shared/link/messages.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { buildFakeInside, recoveryCode, rightCode, rightPassword } from '#test/dmz/https/fake-inside.ts';

// So that they can be watched: exports of a module can't be otherwise.
vi.mock('#dmz/login/self-service.ts', { spy: true });
vi.mock('#dmz/login/session-enrolment.ts', { spy: true });

const client: ClientAddress = { ip: '192.0.2.7', port: 4711, agent: 'SSH-2.0-test' };
const password = (text = rightPassword) => ({ type: 'password' as const, password: text });
const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: { code?: string }) => error.code ?? 'not ours',
  );

function begin(
  inside: Awaited<ReturnType<typeof buildFakeInside>>,
  user: string,
  options: { protocol?: 'https' | 'sftp'; password?: string } = {},
) {
  const protocol = options.protocol ?? 'sftp';
  return inside.login.begin({
    user,
    protocol,
    listener: protocol,
    client,
    factor: password(options.password),
  });
}

describe('the conversation', () => {
  it('signs what this node saw, bound to the link it is sent on', async () => {
    const inside = await buildFakeInside();
    const passed = await begin(inside, 'alice');
    const result = await passed.answer(new Secret(rightCode));
    expect(result.outcome).toBe('admitted');
    expect(inside.claims.at(-1)).toMatchObject({
      protocol: 'sftp',
      listener: 'sftp',
      client_ip: client.ip,
      client_port: client.port,
      agent: client.agent,
      challenge: passed.id,
    });
    inside.close();
  });

  it('S-01: takes no step main did not offer', async () => {
    const inside = await buildFakeInside();
    const asked = await begin(inside, 'alice');
    expect(await codeOf(asked.admit())).toBe('refused');
    const admits = await begin(inside, 'frank');
    expect(await codeOf(admits.answer(new Secret(rightCode)))).toBe('refused');
    expect(await codeOf(admits.resend())).toBe('refused');
    expect(inside.claims).toEqual([]);
    inside.close();
  });

  it('ends an SSH attempt whose answer can not be a code, and tells main nothing of it', async () => {
    const inside = await buildFakeInside();
    const passed = await begin(inside, 'alice');
    expect(await codeOf(passed.answer(new Secret(rightPassword)))).toBe('refused');
    expect(inside.asked).toEqual(['login.begin', 'login.cancel']);
    expect(await codeOf(passed.answer(new Secret(rightCode)))).toBe('challenge-gone');
    inside.close();
  });

  it('gives confined sessions no files', async () => {
    const inside = await buildFakeInside();
    const admitted = await (await begin(inside, 'dave', { protocol: 'https' })).admit();
    expect(admitted.view.state).toBe('setup-required');
    expect(() => admitted.files).toThrow(expect.objectContaining({ code: 'setup-required' }));
    inside.close();
  });

  it('tells who holds a session that main ended it', async () => {
    const inside = await buildFakeInside();
    const admitted = await (await begin(inside, 'frank')).admit();
    expect(admitted.ended.aborted).toBe(false);
    await inside.kick(admitted.view.session);
    await Promise.resolve();
    expect(admitted.ended.aborted).toBe(true);
    inside.close();
  });

  it('asks main about a web session once in a while, at once from another address and after a lost link', async () => {
    let nowMs = 1_000_000;
    const clock = { now: () => Date.now(), monotonic: () => nowMs };
    const inside = await buildFakeInside({ clock });
    const { view } = await (await begin(inside, 'frank', { protocol: 'https' })).admit();
    const attaches = () => inside.asked.filter((verb) => verb === 'session.attach').length;
    await inside.login.attach(view.session, client);
    expect(attaches()).toBe(0);
    await inside.login.attach(view.session, { ...client, ip: '192.0.2.8' });
    expect(attaches()).toBe(1);
    nowMs += 30_001;
    await inside.login.attach(view.session, { ...client, ip: '192.0.2.8' });
    expect(attaches()).toBe(2);
    inside.memory.cut();
    await inside.memory.join();
    await inside.login.attach(view.session, { ...client, ip: '192.0.2.8' });
    expect(attaches()).toBe(3);
    inside.close();
  });

  it('S-09: one source has so many questions about sessions in the air, and takes nobody else their place', async () => {
    const inside = await buildFakeInside();
    // Without a link each waits for the next one.
    inside.memory.cut();
    const ask = (from = client) => codeOf(inside.login.attach(randomId(), from));
    const waiting = Array.from({ length: attachesPerSourceMax }, () => ask());
    expect(await ask()).toBe('busy');
    const other = ask({ ...client, ip: '192.0.2.8' });
    await inside.memory.join();
    const standing = inside.memory.connection().askDoors({ ip: client.ip });
    expect(await standing).toContainEqual({
      what: 'session-questions',
      count: attachesPerSourceMax,
      max: attachesPerSourceMax,
      acts: true,
    });
    expect(new Set(await Promise.all([...waiting, other]))).toEqual(new Set(['no-session']));
    expect(await ask()).toBe('no-session');
    inside.close();
  });

  it('S-14: without a link nobody logs in', async () => {
    const inside = await buildFakeInside();
    const passed = await begin(inside, 'alice');
    inside.memory.cut();
    expect(await codeOf(begin(inside, 'frank'))).toBe('link-down');
    expect(await codeOf(passed.answer(new Secret(rightCode)))).toBe('link-down');
    inside.close();
  });

  it('refuses every login while main has validated logins off and this node on', async () => {
    const policy = { validatedLogins: false };
    const disagreeing = await buildFakeInside({ policy });
    expect(await codeOf(begin(disagreeing, 'frank'))).toBe('refused');
    expect(disagreeing.asked).toEqual([]);
    disagreeing.close();
    const agreeing = await buildFakeInside({ policy, validatedLogins: false });
    expect(await codeOf(begin(agreeing, 'frank'))).toBe('no error');
    agreeing.close();
  });

  it('refuses to go on with a login, too, while main has validated logins off and this node on', async () => {
    let validatedLogins = true;
    const inside = await buildFakeInside({ policy: () => ({ validatedLogins }) });
    const passed = await begin(inside, 'alice', { protocol: 'https' });
    const resume = () => inside.login.resume(passed.id, client, 'https', 'https');
    expect(await codeOf(resume())).toBe('no error');
    validatedLogins = false;
    inside.memory.connection().sendPolicy();
    await turn();
    expect(await codeOf(resume())).toBe('refused');
    expect(inside.asked.filter((verb) => verb === 'login.resume')).toHaveLength(1);
    inside.close();
  });

  it('lets nobody go on with a login from an address that was banned meanwhile', async () => {
    const inside = await buildFakeInside();
    const passed = await begin(inside, 'alice', { protocol: 'https' });
    for (let time = 0; time < 15; time += 1) await codeOf(begin(inside, 'alice', { password: 'wrong' }));
    expect(await codeOf(inside.login.resume(passed.id, client, 'https', 'https'))).toBe('rate-limited');
    expect(inside.asked).not.toContain('login.resume');
    inside.close();
  });

  it('counts refusals against their source, and bans it in front of main', async () => {
    const inside = await buildFakeInside();
    for (let time = 0; time < 15; time += 1)
      expect(await codeOf(begin(inside, 'alice', { password: 'wrong' }))).toBe('refused');
    const before = inside.asked.length;
    expect(await codeOf(begin(inside, 'alice'))).toBe('rate-limited');
    expect(inside.asked.length).toBe(before);
    expect(inside.events.map(({ kind }) => kind)).toContain('banned');
    inside.close();
  });

  it('a client that goes away is not waited for; a wrong password counts all the same', async () => {
    const inside = await buildFakeInside();
    const gone = new AbortController();
    const attempt = {
      user: 'alice',
      protocol: 'https',
      listener: 'https',
      client,
      gone: gone.signal,
    } as const;
    inside.onBegin = () => gone.abort();
    expect(await codeOf(inside.login.begin({ ...attempt, factor: password() }))).toBe('deadline');
    expect(inside.asked).toEqual(['login.begin', 'login.cancel']);
    for (let time = 0; time < 15; time += 1) {
      const leaving = new AbortController();
      inside.onBegin = () => leaving.abort();
      const wrong = { ...attempt, factor: password('wrong'), gone: leaving.signal };
      expect(await codeOf(inside.login.begin(wrong))).toBe('refused');
    }
    inside.onBegin = undefined;
    expect(await codeOf(begin(inside, 'alice', { protocol: 'https' }))).toBe('rate-limited');
    inside.close();
  });

  it('main’s want of capacity is passed on as such, and counts for nothing', async () => {
    const inside = await buildFakeInside();
    inside.onBegin = () => {
      throw new SallyportError('busy', 'Too many people are signing in', { data: { retryAfterMs: 2_100 } });
    };
    for (let time = 0; time < 30; time += 1) expect(await codeOf(begin(inside, 'alice'))).toBe('busy');
    inside.onBegin = undefined;
    expect(await codeOf(begin(inside, 'alice'))).toBe('no error');
    expect(inside.events).toEqual([]);
    inside.close();
  });

  it('asks main for less where main turned tries away: of that name, or of all of that source', async () => {
    const inside = await buildFakeInside();
    const turnAway = (throttled: 'name' | 'source') => () => {
      throw new SallyportError('rate-limited', 'Too many tries', {
        data: { retryAfterMs: 60_000, throttled },
      });
    };
    const asked = async (user: string): Promise<boolean> => {
      const before = inside.asked.length;
      await codeOf(begin(inside, user));
      return inside.asked.length > before;
    };
    inside.onBegin = turnAway('name');
    expect(await codeOf(begin(inside, 'alice'))).toBe('rate-limited');
    inside.onBegin = undefined;
    expect(await codeOf(begin(inside, 'alice'))).toBe('rate-limited');
    expect([await asked('alice'), await asked('frank')]).toEqual([false, true]);
    inside.onBegin = turnAway('source');
    await codeOf(begin(inside, 'frank'));
    inside.onBegin = undefined;
    expect([await asked('alice'), await asked('frank'), await asked('carol')]).toEqual([false, false, false]);
    expect(inside.events.map(({ detail }) => detail)).toEqual(['passwords-throttled']);
    inside.close();
  });

  it('bothers main with no name or password that can not exist', async () => {
    const inside = await buildFakeInside();
    expect(await codeOf(begin(inside, 'x'.repeat(256)))).toBe('refused');
    expect(await codeOf(begin(inside, ''))).toBe('refused');
    expect(await codeOf(begin(inside, 'alice', { password: 'x'.repeat(1025) }))).toBe('refused');
    expect(inside.asked).toEqual([]);
    inside.close();
  });

  it('names and passwords of the greatest length are asked about, one character more never', async () => {
    const inside = await buildFakeInside();
    const asks = () => inside.asked.filter((verb) => verb === 'login.begin').length;
    await codeOf(begin(inside, 'x'.repeat(userNameCharactersMax)));
    await codeOf(begin(inside, 'alice', { password: 'x'.repeat(passwordCharactersMax) }));
    expect(asks()).toBe(2);
    await codeOf(begin(inside, 'x'.repeat(userNameCharactersMax + 1)));
    await codeOf(begin(inside, 'alice', { password: 'x'.repeat(passwordCharactersMax + 1) }));
    expect(asks()).toBe(2);
    inside.close();
  });

  it('counts a name or password that can not exist against its source', async () => {
    const inside = await buildFakeInside();
    for (let time = 0; time < 15; time += 1) await codeOf(begin(inside, ''));
    expect(inside.guard.isBanned(client.ip, 'https')).toBeGreaterThan(0);
    inside.close();
  });

  it('asks main about a key, unless the name can not exist or the address is banned from SFTP', async () => {
    const key = Buffer.from('a key');
    const inside = await buildFakeInside();
    expect(await inside.login.probe('x'.repeat(userNameCharactersMax), key, client)).toBe(true);
    expect(await inside.login.probe('x'.repeat(userNameCharactersMax + 1), key, client)).toBe(false);
    for (let time = 0; time < 20; time += 1) inside.guard.malformed(client.ip, 'https', 'x');
    expect(await inside.login.probe('alice', key, client)).toBe(true);
    for (let time = 0; time < 20; time += 1) inside.guard.malformed(client.ip, 'sftp', 'x');
    expect(await inside.login.probe('alice', key, client)).toBe(false);
    inside.close();
  });

  it('says to who is banned when to come back, in whole milliseconds', async () => {
    const inside = await buildFakeInside();
    for (let time = 0; time < 15; time += 1) await codeOf(begin(inside, ''));
    const error: unknown = await begin(inside, 'alice').catch((thrown: unknown) => thrown);
    const { retryAfterMs = 0 } = (error as { data: { retryAfterMs?: number } }).data;
    expect(Number.isInteger(retryAfterMs)).toBe(true);
    expect(retryAfterMs).toBeGreaterThan(14 * 60_000);
    inside.close();
  });

  it('a web login whose answer can not be a code stays, tells main nothing and counts against its source', async () => {
    const inside = await buildFakeInside();
    const passed = await begin(inside, 'alice', { protocol: 'https' });
    const again = { outcome: 'again', reason: 'wrong-code' };
    expect(await passed.answer(new Secret(rightPassword))).toMatchObject({ ...again, attemptsLeft: 5 });
    expect(await passed.answer(new Secret('654321'))).toMatchObject({ ...again, attemptsLeft: 4 });
    expect(await passed.answer(new Secret(rightPassword))).toMatchObject({ ...again, attemptsLeft: 4 });
    expect(inside.asked.filter((verb) => verb === 'login.assert')).toHaveLength(1);
    for (let time = 0; time < 13; time += 1) await passed.answer(new Secret(rightPassword));
    expect(inside.guard.isBanned(client.ip, 'https')).toBeGreaterThan(0);
    inside.close();
  });

  it('signing out ends the session here and on main', async () => {
    const inside = await buildFakeInside();
    const admitted = await (await begin(inside, 'frank')).admit();
    await admitted.end();
    expect(admitted.ended.aborted).toBe(true);
    expect(inside.asked).toContain('session.end');
    expect(await codeOf(admitted.account())).toBe('no-session');
    inside.close();
  });

  it('S-01: what is signed names the code, the change and the first factor only where there was one', async () => {
    const inside = await buildFakeInside();
    await (await begin(inside, 'frank')).admit();
    expect(inside.claims.at(-1)).toMatchObject({ amr: ['pwd'], method: 'none' });
    expect(Object.keys(inside.claims.at(-1) ?? {})).not.toContain('code_commit');
    expect(Object.keys(inside.claims.at(-1) ?? {})).not.toContain('change');
    await (await begin(inside, 'alice')).answer(new Secret(rightCode));
    expect(inside.claims.at(-1)).toMatchObject({
      amr: ['pwd', 'otp'],
      code_commit: expect.any(String) as string,
    });
    inside.close();
  });

  it('S-01: a set-up that main offers is taken without a factor, and nothing that main did not offer is', async () => {
    const inside = await buildFakeInside();
    const setup = await begin(inside, 'dave', { protocol: 'https' });
    expect(await codeOf(setup.answer(new Secret(rightCode)))).toBe('refused');
    expect(await codeOf(setup.resend())).toBe('refused');
    expect(await setup.admit()).toMatchObject({ view: { method: 'none', state: 'setup-required' } });
    const mailed = await begin(inside, 'bob');
    expect(await codeOf(mailed.resend())).toBe('rate-limited');
    inside.close();
  });

  it('remembers a device where its user said so, and not otherwise', async () => {
    const inside = await buildFakeInside();
    for (const [options, expected] of [
      [{ rememberDevice: true }, true],
      [{ rememberDevice: false }, undefined],
      [{}, undefined],
    ] as const) {
      const passed = await begin(inside, 'alice', { protocol: 'https' });
      await passed.answer(new Secret(rightCode), options);
      expect(inside.asserted.at(-1)).toMatchObject({ challenge: passed.id });
      expect((inside.asserted.at(-1) as { rememberDevice?: true }).rememberDevice).toBe(expected);
    }
    inside.close();
  });

  it('an address somebody signed in from, or went on from, is known to the guard', async () => {
    const inside = await buildFakeInside({ limits: { connectionsMax: { https: 1, sftp: 1 } } });
    const connect = (ip: string) => inside.guard.admitConnection(ip, 'sftp', () => undefined).admitted;
    const { view } = await (await begin(inside, 'frank', { protocol: 'https' })).admit();
    // The door is full of one that is known: strangers get no room there.
    expect(connect(client.ip)).toBe(true);
    expect(connect('198.51.100.1')).toBe(false);
    const elsewhere = { ...client, ip: '203.0.113.1' };
    expect(connect(elsewhere.ip)).toBe(false);
    await inside.login.attach(view.session, elsewhere);
    expect(connect(elsewhere.ip)).toBe(true);
    inside.close();
  });

  it('a session has one set of files, whoever asks', async () => {
    const inside = await buildFakeInside();
    const { view, files } = await (await begin(inside, 'frank', { protocol: 'https' })).admit();
    expect((await inside.login.attach(view.session, client)).files).toBe(files);
    inside.close();
  });

  it('a request for files makes nothing of what a user changes about the account', async () => {
    const inside = await buildFakeInside();
    const { view } = await (await begin(inside, 'frank', { protocol: 'https' })).admit();
    const made = [vi.mocked(selfService.buildSelfService), vi.mocked(sessionEnrolment.buildSessionEnrolment)];
    for (const build of made) build.mockClear();
    const admitted = await inside.login.attach(view.session, client);
    expect(admitted.files).toBeDefined();
    for (const build of made)
      expect(build, 'a page makes hundreds of requests, and one of them is a change').not.toHaveBeenCalled();
    expect([admitted.selfService, admitted.enrolment]).toHaveLength(2);
    for (const build of made) expect(build).toHaveBeenCalledOnce();
    inside.close();
  });

  it('S-11: shows no code and no password in what it says or keeps', async () => {
    const inside = await buildFakeInside();
    const passed = await begin(inside, 'alice');
    await passed.answer(new Secret(recoveryCode));
    expect(JSON.stringify(inside.claims)).not.toContain(recoveryCode);
    expect(JSON.stringify(passed)).not.toContain(rightPassword);
    inside.close();
  });
});
