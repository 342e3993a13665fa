import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WireReader } from '#dmz/sftp/wire.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Protocol } from '#shared/login.ts';
import { RawClient } from '#test/dmz/sftp/fakes/raw-client.ts';
import { freshAddress, openDoors, postJson, type DoorsBeforeMain } from '#test/harness/doors-before-main.ts';
import { password, playSshKey, withFactor } from '#test/main-agent/login/rig.ts';

/** Held back as ever, for a shorter while: how long is shown where nobody waits for it. */
vi.mock('#main-agent/login/limits.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  sealedAnswerStepMs: 5,
}));

/**
 * `validated_logins: sealed` at both doors, before main's real login: everybody takes the same way to the end, in every
 * byte that a stranger hears, and in every byte that the node hears from main.
 */

const onBoth = ['https', 'sftp'] as Protocol[];
const own = playSshKey();
const foreign = playSshKey();
const people: Readonly<Record<string, Partial<EffectiveUser>>> = {
  free: {},
  totp: withFactor({ requiredOn: onBoth }, { sshKeys: [own.publicKey] }),
  mail: withFactor({ requiredOn: onBoth }, { email: 'mail@example.com' }),
  setu: withFactor({ requiredOn: onBoth, forceSetup: true }),
  nofa: withFactor({ requiredOn: onBoth }),
  shut: { status: 'disabled' },
  past: { expires: '2020-01-01' },
  away: { allowFrom: ['198.51.100.0/24'] },
  keys: { passwordHash: undefined, sshKeys: [own.publicKey] },
};
/** Names of one length: what a client typed comes back to it in length. */
const names = ['none', ...Object.keys(people)] as const;
const wrong = 'a wrong password that is no one’s'.slice(0, password.length);

/** Who is refused in the end, with which password and which answer: everything but what lets somebody in. */
const refused = [
  ...names.flatMap((name) => [password, wrong].map((typed) => ({ name, typed, code: '000000' }))),
  ...['none', 'totp', 'mail'].map((name) => ({ name, typed: password, code: '' })),
  { name: 'totp', typed: wrong, code: '' },
];
const letsIn = ({ name, typed }: { name: string; typed: string }, protocol: Protocol): boolean =>
  typed === password && (name === 'free' || (name === 'setu' && protocol === 'https'));

let doors: DoorsBeforeMain;
beforeAll(async () => {
  doors = await openDoors(
    {
      twoFactor: { validated_logins: 'sealed', lease: 'off', attempts: { per_user: '1000 in 15m' } },
    },
    people,
  );
  await doors.rig.enrol('totp');
});
afterAll(() => doors.close());

/** Once the node has heard that what it cancelled is over: the last word of a connection. */
async function heardToTheEnd(): Promise<readonly string[]> {
  const texts: string[] = [];
  await vi.waitFor(() => {
    texts.push(...heard());
    expect(texts.at(-1)).toContain('challenge-gone');
  });
  return texts;
}

/** What main said to the node, without what is random. */
function heard(): readonly string[] {
  return doors.takeSent().texts.map((text) =>
    text
      .replaceAll(/[A-Za-z0-9_-]{43}/g, '(43)')
      .replaceAll(/"reference":"\w{8}"/g, '"reference":"…"')
      .replaceAll(/"username":"\w+"/g, '"username":"…"'),
  );
}

/** Tells each try, and holds it against the first. Time goes by meanwhile, so that no throttle has a word in it. */
async function expectAlike<T>(
  tries: readonly (() => Promise<readonly [what: string, told: T]>)[],
): Promise<T> {
  let first: T | undefined;
  for (const tryOne of tries) {
    const [what, told] = await tryOne();
    first ??= told;
    expect({ what, told }).toEqual({ what, told: first });
    doors.rig.advance(60_000);
  }
  if (first === undefined) throw new Error('nothing was tried');
  return first;
}

/** What the door wrote in a message of authentication. */
function read(payload: Buffer | undefined): string | undefined {
  return payload?.toString('latin1');
}

describe('a sealed login', () => {
  it('S-07: over HTTPS is told in the same bytes to everybody until it is over, and to the node as well', async () => {
    const tries = refused.filter((one) => !letsIn(one, 'https'));
    const told = await expectAlike(
      tries.map(({ name, typed, code }) => async () => {
        doors.takeSent();
        const from = freshAddress();
        const asked = await postJson(doors, from, '/api/login', { username: name, password: typed });
        const answer = await postJson(doors, from, '/api/login/code', { code }, asked.cookie);
        const after = await postJson(doors, from, '/api/login/code', { code }, asked.cookie);
        const all = [asked, answer, after].map(({ status, told: one }) => ({ status, told: one }));
        return [`${name}, ${typed}, "${code}"`, { all, heard: heard() }] as const;
      }),
    );
    expect(told.all.map(({ status }) => status)).toEqual([200, 401, 401]);
    expect(JSON.parse(told.all[0]?.told.text ?? '')).toEqual({
      state: 'code-required',
      challenge: {
        sealed: true,
        method: 'totp',
        hint: '',
        recovery: true,
        attempts_left: 1,
        expires_in: 300,
        resend_in: 30,
      },
    });
    expect(told.all[1]?.told.text).toContain('"reason":"refused"');
    expect(told.heard.join('\n')).not.toMatch(/wrong|unknown|no such/);
  }, 30_000);

  it('S-07: over HTTPS lets in whose password and code are right, and asks for no more than it asks of all', async () => {
    const from = freshAddress();
    for (const [username, code, state] of [
      ['totp', doors.rig.code('totp'), 'signed-in'],
      ['free', '', 'signed-in'],
      ['setu', '', 'setup-required'],
    ] as const) {
      const asked = await postJson(doors, from, '/api/login', { username, password });
      expect(asked.told.text).toContain('"sealed":true');
      const answer = await postJson(doors, from, '/api/login/code', { code }, asked.cookie);
      expect({ username, status: answer.status, ...(JSON.parse(answer.told.text) as object) }).toMatchObject({
        username,
        status: 200,
        state,
      });
    }
  });

  for (const way of ['keyboard-interactive', 'password'] as const)
    it(`S-07: over SFTP by ${way} goes the same rounds with the same words for everybody`, async () => {
      const tries = refused.filter((one) => !letsIn(one, 'sftp'));
      const told = await expectAlike(
        tries.map(({ name, typed, code }) => async () => {
          doors.takeSent();
          const client = await RawClient.connect({ port: doors.sftp.port, from: freshAddress() });
          await client.startAuthentication();
          const seen: (string | undefined)[] = [];
          const note = async () => void seen.push(read((await client.next())?.payload));
          client.request(name, 'none');
          await note();
          if (way === 'password') {
            client.password(name, typed);
            await note();
            client.interactive(name);
          } else {
            client.interactive(name);
            await note();
            client.answer(typed);
          }
          await note();
          client.answer(code);
          await note();
          client.socket.destroy();
          await client.closed();
          return [`${name}, ${typed}, "${code}"`, { seen, heard: await heardToTheEnd() }] as const;
        }),
      );
      expect(told.seen.join('\n')).toContain('Verification code: ');
      expect(told.seen.at(-1)).toBe(told.seen[0]);
    }, 30_000);

  it('S-07: over SFTP takes every key, goes on after every signature, and ends alike', async () => {
    const tries = names
      .flatMap((name) => [own, foreign].map((key) => ({ name, key })))
      .filter(({ name, key }) => !(name === 'keys' && key === own));
    const told = await expectAlike(
      tries.map(({ name, key }) => async () => {
        doors.takeSent();
        const client = await RawClient.connect({ port: doors.sftp.port, from: freshAddress() });
        await client.startAuthentication();
        const seen: (string | undefined)[] = [];
        const { blob } = key.publicKey;
        client.request(name, 'publickey', (writer) =>
          writer.boolean(false).string('ssh-ed25519').string(blob),
        );
        const probed = await client.next();
        expect(probed?.type).toBe(60);
        const signed = key.signRequest(name, client.sessionId);
        const signature = Buffer.from(signed.signature, 'base64url');
        client.request(name, 'publickey', (writer) =>
          writer.boolean(true).string('ssh-ed25519').string(blob).string(signature),
        );
        seen.push(read((await client.next())?.payload));
        client.interactive(name);
        seen.push(read((await client.next())?.payload));
        client.answer('000000');
        seen.push(read((await client.next())?.payload));
        client.socket.destroy();
        await client.closed();
        return [
          `${name}, ${key === own ? 'own' : 'foreign'} key`,
          { seen, heard: await heardToTheEnd() },
        ] as const;
      }),
    );
    expect(told.seen[0]).toContain('keyboard-interactive\u0001');
    expect(told.seen[1]).toContain('Verification code: ');
  }, 30_000);

  it('lets in over SFTP who needs no code with any answer, and whose key needs none at once', async () => {
    for (const answer of ['', password, randomBytes(4).toString('hex')]) {
      const client = await RawClient.connect({ port: doors.sftp.port, from: freshAddress() });
      await client.startAuthentication();
      client.interactive('free');
      await client.next();
      client.answer(password);
      await client.next();
      client.answer(answer);
      expect((await client.next())?.type).toBe(52);
      client.socket.destroy();
      await client.closed();
    }
    const client = await RawClient.connect({ port: doors.sftp.port, from: freshAddress() });
    await client.startAuthentication();
    const signature = Buffer.from(own.signRequest('keys', client.sessionId).signature, 'base64url');
    client.request('keys', 'publickey', (writer) =>
      writer.boolean(true).string('ssh-ed25519').string(own.publicKey.blob).string(signature),
    );
    expect((await client.next())?.type).toBe(52);
    client.socket.destroy();
    await client.closed();
  });

  it('S-07: counts against the address whether or not it answers, and shuts it out alike', async () => {
    /** How many connections the address has until it is shut out. `answers`: with a wrong code. */
    const until = async (name: string, typed: string, answers: boolean): Promise<number> => {
      const from = freshAddress();
      for (let tries = 0; tries < 30; tries += 1) {
        const asked = await postJson(doors, from, '/api/login', { username: name, password: typed });
        if (asked.status !== 200) return tries;
        if (answers) await postJson(doors, from, '/api/login/code', { code: '000000' }, asked.cookie);
        else await postJson(doors, from, '/api/logout', {}, asked.cookie);
      }
      return 30;
    };
    for (const answers of [true, false])
      for (const [name, typed] of [
        ['none', wrong],
        ['totp', wrong],
        ['totp', password],
      ] as const) {
        expect({ name, answers, tries: await until(name, typed, answers) }).toEqual({
          name,
          answers,
          tries: 15,
        });
        doors.rig.advance(20 * 60_000);
      }
  }, 30_000);

  it('has the words of the same instruction for everybody', async () => {
    const client = await RawClient.connect({ port: doors.sftp.port, from: freshAddress() });
    await client.startAuthentication();
    client.interactive('none');
    await client.next();
    client.answer(wrong);
    const reader = (await client.next())?.reader ?? new WireReader(Buffer.alloc(0), 0);
    expect([reader.text(1000), reader.text(1000)]).toEqual([
      '',
      'Enter the code from your authenticator app or the one that is being sent to you, or a recovery code. ' +
        'If you use none, just go on.',
    ]);
    client.socket.destroy();
    await client.closed();
  });
});
