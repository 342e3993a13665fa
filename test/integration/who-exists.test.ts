import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { HashQueue } from '#main-agent/passwords/hash-queue.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { RawClient } from '#test/dmz/sftp/fakes/raw-client.ts';
import { freshAddress, openDoors, postJson, type DoorsBeforeMain } from '#test/harness/doors-before-main.ts';
import { refusal, withFactor } from '#test/main-agent/login/rig.ts';
import { hashesAtOnceMax, hashesWaitingMax } from '#main-agent/passwords/limits.ts';
import { codeScope } from '#main-agent/state/factor-records.ts';

/**
 * Both doors before main's real login, and names of every kind tried with a wrong password: from the first try to the
 * throttle and beyond it, after a restart of main, and while there are more tries than places. Nobody may learn from
 * any answer, nor from the work it costs, who exists.
 */

/** What is typed, and what stands behind it. */
const typed = {
  'a user without a factor': 'anna',
  'a user with an authenticator': 'totp',
  'a user whose set-up is forced': 'forced',
  'a user without a password': 'keyonly',
  'a disabled user': 'disabled',
  'an expired user': 'expired',
  'a user of another network': 'elsewhere',
  'a user whose codes are locked': 'locked',
  'a user who is banned': 'banned',
  'a user of whom no factor can be asked': 'nofactor',
  'a user, in another spelling': ' CaRo\u00adL ',
  nobody: 'nobody',
  'nobody, in an odd spelling': ' ＮＯＢＯＤＹ\u200b2 ',
  'a long name of nobody': 'x'.repeat(64),
  'somebody who left': 'departed',
} as const;
const baits = { 'a bait that is a user': 'oracle', 'a bait that is nobody': 'root' } as const;

const users: Readonly<Record<string, Partial<EffectiveUser>>> = {
  anna: {},
  totp: withFactor({ requiredOn: ['https', 'sftp'] }),
  forced: withFactor({ requiredOn: ['https', 'sftp'], forceSetup: true }),
  keyonly: { passwordHash: undefined },
  disabled: { status: 'disabled' },
  expired: { expires: '2020-01-01' },
  elsewhere: { allowFrom: ['198.51.100.0/24'] },
  locked: withFactor({ requiredOn: ['https', 'sftp'] }, { email: 'locked@example.com' }),
  banned: {},
  nofactor: withFactor({ requiredOn: ['https', 'sftp'] }),
  carol: {},
  departed: {},
  oracle: {},
};

const thenOnePerMs = 120_000;

async function openHouse(): Promise<DoorsBeforeMain> {
  const doors = await openDoors(
    {
      // Longer than a door waits: who is throttled is told so, and nobody waits in a line.
      thenOnePerMs,
      findBan: (username) => (username === 'banned' ? 'banned by an admin' : undefined),
    },
    users,
  );
  const { rig } = doors;
  await rig.enrol('totp');
  await rig.enrol('locked');
  const { perUser, lockMs } = { perUser: 10, lockMs: 24 * 3_600_000 };
  for (let tries = 0; tries < perUser; tries += 1)
    await rig.state.commit([
      {
        kind: 'count-failure',
        scope: codeScope('locked'),
        atMs: rig.now(),
        windowMs: lockMs,
        limit: perUser,
        lockMs,
        lockMaxMs: lockMs,
      },
    ]);
  await rig.remove('departed');
  return doors;
}

let house: DoorsBeforeMain;
/** Every turn at the hash, whoever takes it. */
let turns: MockInstance<HashQueue['run']>;

beforeEach(async () => {
  house = await openHouse();
  turns = vi.spyOn(HashQueue.prototype, 'run');
});
afterEach(async () => {
  vi.restoreAllMocks();
  await house.close();
});

/** What a stranger is told, and what it costs. */
interface Told {
  readonly status?: number;
  readonly told: unknown;
  readonly hashes: number;
  readonly sent?: object;
}

async function tryHttps(username: string, from: string): Promise<Told> {
  house.takeSent();
  turns.mockClear();
  const { status, told } = await postJson(house, from, '/api/login', {
    username,
    password: 'not the password',
  });
  return { status, told, hashes: turns.mock.calls.length, sent: countsSent() };
}

function countsSent(): object {
  const { bytes, messages } = house.takeSent();
  return { bytes, messages };
}

/** A whole connection: each method in turn, until the door hangs up. Every message, byte for byte. */
async function trySftp(user: string, from: string): Promise<Told[]> {
  house.takeSent();
  turns.mockClear();
  const client = await RawClient.connect({ port: house.sftp.port, from });
  const seen: Told[] = [];
  const tellOf = (answer: { readonly payload: Buffer } | undefined) => ({
    told: answer?.payload.toString('latin1').replace(/\(in \d+ s\)/, '(in … s)'),
    hashes: turns.mock.calls.length,
    sent: countsSent(),
  });
  if (!client.isClosed) await client.startAuthentication();
  const attempts = [
    () => client.request(user, 'none'),
    () => client.interactive(user),
    () => client.password(user, 'not the password'),
  ];
  for (let round = 0; round < 12 && !client.isClosed; round += 1) {
    attempts[round % attempts.length]?.();
    let answer = await client.next();
    if (answer?.type === 60) {
      seen.push(tellOf(answer));
      client.answer('not the password');
      answer = await client.next();
    }
    seen.push(tellOf(answer));
  }
  client.socket.destroy();
  await client.closed();
  return seen;
}

/** Tells one name after the other, and holds what each was told against the first. Resolves with that. */
async function expectAlike<T>(
  names: Readonly<Record<string, string>>,
  tell: (name: string) => Promise<T>,
): Promise<T> {
  const all = [];
  for (const [kind, name] of Object.entries(names)) all.push({ kind, told: await tell(name) });
  const [first] = all;
  if (first === undefined) throw new Error('no names');
  for (const { kind, told } of all) expect({ kind, told }).toEqual({ kind, told: first.told });
  return first.told;
}

const statusesOf = (told: readonly { readonly status?: number }[]): unknown[] =>
  told.map(({ status }) => status);
const times = (count: number, status: number): number[] => Array<number>(count).fill(status);

describe('a wrong password', () => {
  it('S-07: over HTTPS answers alike for every kind of name, from the first try to the ban of the address', async () => {
    const untilBanned = async (name: string): Promise<Told[]> => {
      const from = freshAddress();
      const seen: Told[] = [];
      for (let tries = 0; tries < 17; tries += 1) seen.push(await tryHttps(name, from));
      return seen;
    };
    const ordinary = await expectAlike(typed, untilBanned);
    expect(statusesOf(ordinary)).toEqual([...times(15, 401), 429, 429]);
    const bait = await expectAlike(baits, untilBanned);
    expect(statusesOf(bait)).toEqual([...times(5, 401), ...times(12, 429)]);
    expect(bait[0]?.told).toEqual(ordinary[0]?.told);
  });

  it('S-07: over HTTPS answers alike up to the throttle of the name and beyond, with its waits, and after a restart', async () => {
    const upTo = (tries: number) => async (name: string) => {
      const seen: Told[] = [];
      for (let number = 0; number < tries; number += 1) seen.push(await tryHttps(name, freshAddress()));
      return seen;
    };
    expect(statusesOf(await expectAlike(typed, upTo(23)))).toEqual([...times(21, 401), 429, 429]);
    expect(statusesOf(await expectAlike(baits, upTo(23)))).toEqual([...times(21, 401), 429, 429]);
    const everybody = { ...typed, ...baits };
    house.rig.advance(thenOnePerMs / 2);
    expect(statusesOf(await expectAlike(everybody, upTo(1)))).toEqual([429]);
    house.rig.advance(thenOnePerMs / 2);
    await house.restartMain();
    expect(statusesOf(await expectAlike(typed, upTo(3)))).toEqual([401, 429, 429]);
    expect(statusesOf(await expectAlike(baits, upTo(3)))).toEqual([401, 429, 429]);
    house.rig.advance(15 * 60_000);
    expect(statusesOf(await expectAlike(typed, upTo(2)))).toEqual([401, 401]);
  });

  it('S-07: over SFTP says the same methods, prompts and ends for every kind of name, until the door is shut', async () => {
    const untilShut = async (name: string): Promise<Told[][]> => {
      const from = freshAddress();
      const seen: Told[][] = [];
      for (let connections = 0; connections < 6; connections += 1) seen.push(await trySftp(name, from));
      return seen;
    };
    const ordinary = await expectAlike(typed, untilShut);
    expect(ordinary[0]?.length).toBeGreaterThan(5);
    expect(ordinary.at(-1)).toEqual([]);
    const bait = await expectAlike(baits, untilShut);
    expect(bait[0]?.slice(0, 3).map(({ told }) => told)).toEqual(
      ordinary[0]?.slice(0, 3).map(({ told }) => told),
    );
  });

  it('S-07: over SFTP is turned away alike beyond the throttle of the name, without a hash', async () => {
    const everybody = { ...typed, ...baits };
    for (const name of Object.values(everybody))
      for (let tries = 0; tries < 21; tries += 1)
        await refusal(house.rig.begin(name, { password: 'not the password' }));
    const told = await expectAlike(everybody, (name) => trySftp(name, freshAddress()));
    expect(told.some(({ hashes }) => hashes > 0)).toBe(false);
  });

  it('S-07: finds no place, for every kind of name, while there are more tries than places', async () => {
    await tryHttps('nobody', freshAddress());
    const [queue] = turns.mock.contexts;
    if (!(queue instanceof HashQueue)) throw new Error('nothing was hashed');
    let isHeld = true;
    const release: (() => void)[] = [];
    const hold = async (): Promise<void> => {
      if (isHeld) await new Promise<void>((resolve) => void release.push(resolve));
    };
    const fillers = Array.from({ length: hashesAtOnceMax + hashesWaitingMax / 2 }, (_, number) =>
      queue.run({ node: 'dmz1', clientIp: `192.0.2.${number}`, known: false }, hold),
    );
    const told = await expectAlike({ ...typed, ...baits }, async (name) => [
      await tryHttps(name, freshAddress()),
      ...(await trySftp(name, freshAddress())),
    ]);
    expect(told[0]?.status).toBe(503);
    isHeld = false;
    for (const go of release) go();
    await Promise.all(fillers);
  });
});
