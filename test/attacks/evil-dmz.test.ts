import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { isSallyportError } from '#shared/error.ts';
import type { Params } from '#shared/link/messages.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { type EvilDmz, startEvilDmz } from '#test/harness/evil-dmz.ts';

describe('a DMZ node that was broken into, with its real keys', () => {
  let evil: EvilDmz;
  beforeAll(async () => {
    evil = await startEvilDmz();
  });
  afterAll(() => evil.close());

  /** `admitted`, `again`, or the code of the error. */
  async function send(params: Params<'login.assert'>): Promise<string> {
    try {
      return (await evil.link.request('login.assert', params)).outcome;
    } catch (error) {
      return isSallyportError(error) ? error.code : String(error);
    }
  }

  it('S-01: gets no session without a code, with a wrong one, or by saying that none was due', async () => {
    const challenge = await evil.begin('alice');
    expect(challenge).toMatchObject({ next: 'code', asked: { method: 'totp' } });
    expect(await send(await evil.assert(challenge, {}))).not.toBe('admitted');
    for (const method of ['lease', 'device', 'trusted-network', 'none'] as const) {
      const params = await evil.assert(await evil.begin('alice'), { changes: { method } });
      expect(await send(params), method).not.toBe('admitted');
    }
    expect(await send(await evil.assert(await evil.begin('alice'), { code: '000000' }))).toBe('again');
  });

  it('S-01: gets nothing with any one claim changed and signed again', async () => {
    const other = randomId();
    const changes: readonly Partial<Record<keyof AssertionClaims, unknown>>[] = [
      { iss: 'dmz2' },
      { aud: 'main2' },
      { sub: 'frank' },
      { challenge: other },
      { nonce: other },
      { purpose: 'enrol' },
      { amr: ['key', 'otp'] },
      { amr: ['pwd'] },
      { method: 'recovery' },
      { method: 'email' },
      { method: 'none' },
      { code_commit: randomBytes(32).toString('base64url') },
      { protocol: 'sftp' },
      { client_ip: '127.0.0.2' },
      { client_port: 4712 },
      { listener: 'sftp' },
      { agent: 'evil/2' },
      { link: other },
    ];
    for (const change of changes) {
      const challenge = await evil.begin('alice');
      const code = evil.authenticator('alice').now();
      const params = await evil.assert(challenge, { code, changes: change as Partial<AssertionClaims> });
      expect(await send(params), JSON.stringify(change)).not.toBe('admitted');
    }
    for (const signedAtMs of [Date.now() - 120_000, Date.now() + 120_000]) {
      const code = evil.authenticator('alice').now();
      const params = await evil.assert(await evil.begin('alice'), { code, signedAtMs });
      expect(await send(params), `signed at ${signedAtMs - Date.now()} ms from now`).not.toBe('admitted');
    }
  });

  it("S-01: can't finish as one user what it began as another, nor over another protocol", async () => {
    const asFrank = await evil.begin('frank');
    const asAlice = await evil.begin('alice');
    const code = evil.authenticator('alice').now();
    const crossed = await evil.assert(asAlice, { code });
    expect(await send({ ...crossed, challenge: asFrank.challenge })).not.toBe('admitted');
    const sftp = await evil.begin('alice', { protocol: 'sftp', listener: 'sftp' });
    expect(await send(await evil.assert(sftp, { code: evil.authenticator('alice').now() }))).not.toBe(
      'admitted',
    );
  });

  it('S-03: one code opens one session, however often and in parallel it is shown', async () => {
    const challenges = await Promise.all([1, 2, 3, 4].map(() => evil.begin('alice')));
    const code = await evil.authenticator('alice').next();
    const params = await Promise.all(challenges.map((challenge) => evil.assert(challenge, { code })));
    // The last one twice at once, too.
    const outcomes = await Promise.all([...params, ...params.slice(-1)].map(send));
    expect(outcomes.filter((outcome) => outcome === 'admitted')).toHaveLength(1);
    const replayed = await Promise.all(params.map(send));
    expect(replayed).not.toContain('admitted');
    expect(await send(await evil.assert(await evil.begin('alice'), { code }))).toBe('again');
  });

  it('S-04: reaches files only through a session it was granted, and only while it lives', async () => {
    const admitted = await evil.link.request(
      'login.assert',
      await evil.assert(await evil.begin('frank'), {}),
    );
    if (admitted.outcome !== 'admitted')
      throw new Error('the honest login must work, or nothing here proves anything');
    const { session } = admitted.view;
    const list = (id: string): Promise<unknown> =>
      evil.link.request('fs.list', { session: id, path: [], limit: 10, sort: 'name' });
    await expect(list(session)).resolves.toMatchObject({ entries: [] });
    for (const path of [['..'], ['..', 'alice'], ['.'], ['a/b'], [''], ['a\0']])
      await expect(
        evil.link.request('fs.stat', { session, path, followLinks: true }),
        JSON.stringify(path),
      ).rejects.toMatchObject({ code: 'bad-path' });
    await expect(list(sessionKey(session))).rejects.toMatchObject({ code: 'no-session' });
    await expect(list(randomId())).rejects.toMatchObject({ code: 'no-session' });
    await evil.link.request('session.end', { session });
    await expect(list(session)).rejects.toMatchObject({ code: 'no-session' });
  });

  it('S-01: a confined session reaches no file', async () => {
    const challenge = await evil.begin('dave');
    expect(challenge.next).toBe('setup');
    const admitted = await evil.link.request('login.assert', await evil.assert(challenge, {}));
    if (admitted.outcome !== 'admitted') throw new Error('dave must be let in to set up');
    expect(admitted.view.state).toBe('setup-required');
    await expect(
      evil.link.request('fs.list', { session: admitted.view.session, path: [], limit: 10, sort: 'name' }),
    ).rejects.toMatchObject({ code: 'setup-required' });
  });

  it('the honest login of the same node works, so what was refused was refused for its reason', async () => {
    const params = await evil.assert(await evil.begin('alice'), {
      code: await evil.authenticator('alice').next(),
    });
    expect(await send(params)).toBe('admitted');
  });
});
