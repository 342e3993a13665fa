import { describe, expect, it } from 'vitest';
import type { FileClient } from '#dmz/files/file-client.ts';
import type { Guard } from '#dmz/guard/guard.ts';
import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { LoginConversation } from '#dmz/login/conversation.ts';
import { attachesPerSourceMax } from '#dmz/login/limits.ts';
import { isCommitmentToChange } from '#shared/assertion/account-change.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { SallyportError } from '#shared/error.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import type {
  ClientAddress,
  DoorFinding,
  DoorQuestion,
  FirstFactorEvidence,
  Params,
  SessionView,
  Verb,
} from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';

/** For what main and the guard say only seldom, or at one moment: both are played here. */

const client: ClientAddress = { ip: '192.0.2.7', port: 4711, agent: 'SSH-2.0-test' };
const password: FirstFactorEvidence = { type: 'password', password: 'correct horse battery' };
const key: FirstFactorEvidence = { type: 'publickey', signed: 'a', signature: 'b' };
const signingKeyPem = generateIdentityKey().privateKeyPem;
const binding: LinkBinding = { exporter: randomId(), mainName: 'main1' };

const admits = {
  challenge: randomId(),
  nonce: randomId(),
  expiresInMs: 120_000,
  username: 'frank',
  next: 'admit',
};
const openedView = (session = randomId()): SessionView => ({
  session,
  username: 'frank',
  displayName: 'Frank',
  state: 'signed-in',
  protocol: 'https',
  method: 'none',
  idleMs: 900_000,
  leftMs: 900_000,
});

type Answers = Partial<Record<Verb, (params: object) => unknown>>;

function play(answers: Answers = {}, says: Partial<Guard> = {}) {
  const asked: [Verb, object][] = [];
  const told: unknown[][] = [];
  const listeners = new Set<unknown>();
  const listen = (listener: unknown): (() => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  let askDoor: (question: DoorQuestion) => readonly DoorFinding[] = () => [];
  const mainAnswers: Answers = {
    'login.begin': () => admits,
    'login.assert': () => ({ outcome: 'admitted', view: openedView() }),
    'login.cancel': () => ({}),
    ...answers,
  };
  const request = async (verb: Verb, given: object | ((link: LinkBinding) => Promise<object>)) => {
    const params = typeof given === 'function' ? await given(binding) : given;
    asked.push([verb, params]);
    return mainAnswers[verb]?.(params);
  };
  const link = {
    policy: { validatedLogins: true },
    request,
    onSessionEnded: listen,
    onDown: listen,
    onDoorAsked: (answer: typeof askDoor) => {
      askDoor = answer;
      return listen(answer);
    },
  } as unknown as MainLink;
  const note =
    (what: string) =>
    (...words: unknown[]): undefined =>
      void told.push([what, ...words]);
  const guard = {
    isBanned: () => undefined,
    mustWait: () => undefined,
    firstFactorRight: () => undefined,
    firstFactorFailed: note('failed'),
    turnedAway: note('turned away'),
    signedIn: note('signed in'),
    ...says,
  } as unknown as Guard;
  const files: string[] = [];
  const login = new LoginConversation({
    link,
    guard,
    node: 'dmz1',
    signingKeyPem,
    validatedLogins: true,
    buildFiles: (session) => {
      files.push(session);
      return { of: session } as unknown as FileClient;
    },
    clock: { now: () => Date.now(), monotonic: () => 0 },
    log: buildLog('silent', {}),
  });
  const begin = (factor = password, more: { device?: string; gone?: AbortSignal } = {}) =>
    login.begin({ user: 'frank', protocol: 'https', listener: 'https', client, factor, ...more });
  return {
    login,
    begin,
    files,
    told,
    listeners,
    verbs: () => asked.map(([verb]) => verb),
    last: <V extends Verb>(verb: V) => asked.findLast(([one]) => one === verb)?.[1] as Params<V>,
    questions: () => askDoor({ ip: client.ip }),
  };
}

/** What main would read in it; that it is signed well is tested elsewhere. */
function claimsIn({ assertion }: { readonly assertion: string }): AssertionClaims {
  const [, payload = ''] = assertion.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as AssertionClaims;
}

const refused = (data: object) => () => {
  throw new SallyportError('refused', 'No such user', { data });
};

describe('a first factor', () => {
  it('that is a key is signed as a key, and is not held back with the passwords of its source', async () => {
    const { begin, last } = play({}, { mustWait: () => 5_000 });
    await (await begin(key)).admit();
    expect(claimsIn(last('login.assert')).amr).toEqual(['key']);
    await expect(begin(password)).rejects.toMatchObject({
      code: 'rate-limited',
      data: { retryAfterMs: 5_000 },
    });
  });

  it('comes with the device of who brought one', async () => {
    const { begin, last } = play();
    await begin(password, { device: 'remembered' });
    expect(last('login.begin')).toMatchObject({ device: 'remembered' });
  });

  it.each([
    [{ bait: true }, true],
    [{ bait: false }, false],
    [{}, false],
  ])('that main refused with %j counts against a name that only attackers try: %s', async (data, isBait) => {
    const { begin, told } = play({ 'login.begin': refused(data) });
    await expect(begin()).rejects.toMatchObject({ code: 'refused', data: undefined });
    expect(told).toEqual([['failed', client.ip, 'frank', { isBait }]]);
  });

  it.each([
    [{ throttled: 'name', retryAfterMs: 7_000 }, [['turned away', client.ip, 'frank', 'name', 7_000]]],
    [{ throttled: 'name' }, []],
    [{ retryAfterMs: 7_000 }, []],
  ] as const)('that main turned away with %j holds back what comes next: %j', async (data, expected) => {
    const turnAway = (): never => {
      throw new SallyportError('rate-limited', 'Too many tries', { data });
    };
    const { begin, told } = play({ 'login.begin': turnAway });
    await expect(begin()).rejects.toMatchObject({ code: 'rate-limited' });
    expect(told).toEqual(expected);
  });

  it('that was right too soon after the last is given back, and says when to come again', async () => {
    const { begin, verbs } = play({}, { firstFactorRight: () => 1_500.2 });
    await expect(begin()).rejects.toMatchObject({ code: 'rate-limited', data: { retryAfterMs: 1_501 } });
    expect(verbs()).toEqual(['login.begin', 'login.cancel']);
    const left = AbortSignal.abort();
    await expect(begin(password, { gone: left })).rejects.toMatchObject({ code: 'rate-limited' });
  });

  it('that can not be right is refused with the reason in the private detail', async () => {
    const { login, verbs } = play();
    const attempt = { protocol: 'https', listener: 'https', client, factor: password } as const;
    await expect(login.begin({ ...attempt, user: '' })).rejects.toMatchObject({ detail: 'empty user name' });
    await expect(login.begin({ ...attempt, user: 'x'.repeat(256) })).rejects.toMatchObject({
      detail: 'user name or password too long',
    });
    expect(verbs()).toEqual([]);
  });

  it('S-07: that is refused when it is taken up again is refused in our words', async () => {
    const { login } = play({ 'login.resume': refused({ bait: true }) });
    await expect(login.resume(randomId(), client, 'https', 'https')).rejects.toMatchObject({
      publicMessage: 'Sign-in refused',
      data: undefined,
    });
  });
});

describe('a mailed link', () => {
  const token = 'T'.repeat(43);

  it('that does not work counts as a failure of its source, also when main is not asked', async () => {
    const { login, told, verbs } = play({ 'login.set-password': refused({}) });
    const { signal } = new AbortController();
    for (const one of [token, 'misspelt'])
      await expect(login.setPassword(one, 'a new long one', client, signal)).rejects.toMatchObject({
        code: 'refused',
        publicMessage: 'Sign-in refused',
      });
    expect(told).toEqual([
      ['failed', client.ip, ''],
      ['failed', client.ip, ''],
    ]);
    expect(verbs()).toEqual(['login.set-password']);
  });

  it('that works, or whose password is too weak, counts as nothing', async () => {
    const { login, told } = play({ 'login.set-password': () => ({ username: 'frank' }) });
    const { signal } = new AbortController();
    expect(await login.setPassword(token, 'a new long one', client, signal)).toEqual({ username: 'frank' });
    expect(told).toEqual([]);
  });
});

describe('a login that needs no code', () => {
  it('is signed with how main lets in, and remembers no device', async () => {
    const { begin, last } = play({ 'login.begin': () => ({ ...admits, admitAs: 'lease' }) });
    await (await begin()).admit();
    expect(claimsIn(last('login.assert')).method).toBe('lease');
    expect(Object.keys(last('login.assert'))).not.toContain('rememberDevice');
  });

  it('S-01: is refused when main asks for one all the same', async () => {
    const again = () => ({ outcome: 'again', reason: 'wrong-code', attemptsLeft: 4 });
    const passed = await play({ 'login.assert': again }).begin();
    await expect(passed.admit()).rejects.toMatchObject({ code: 'refused' });
  });
});

describe('a session that is open', () => {
  const change = { kind: 'password', value: 'a wholly different phrase' } as const;
  const gone = (code: 'no-session' | 'busy') => () => {
    throw new SallyportError(code, 'No');
  };
  const open = async (answers: Answers = {}) => {
    const main = play({
      'session.attach': (params) => openedView((params as { session: string }).session),
      ...answers,
    });
    return { ...main, admitted: await main.login.attach('the id', client) };
  };

  it('that main does not know any more is over here too', async () => {
    const { admitted } = await open({ 'account.view': gone('no-session') });
    await expect(admitted.account()).rejects.toMatchObject({ code: 'no-session' });
    expect(admitted.ended.aborted).toBe(true);
  });

  it('goes on after whatever else main refuses', async () => {
    const { admitted } = await open({ 'account.view': gone('busy') });
    await expect(admitted.account()).rejects.toMatchObject({ code: 'busy' });
    expect(admitted.ended.aborted).toBe(false);
  });

  it('is over here when its user signed out, even where main says no more of it', async () => {
    const { admitted, verbs } = await open({ 'session.end': () => ({}) });
    await admitted.end();
    expect([admitted.ended.aborted, verbs().at(-1)]).toEqual([true, 'session.end']);
  });

  it('has files of its own, made once', async () => {
    const { admitted, files } = await open();
    expect(admitted.files).toEqual({ of: 'the id' });
    expect(admitted.files).toBe(admitted.files);
    expect(files).toEqual(['the id']);
  });

  it('may change its user’s account, and signs for that very change', async () => {
    const { admitted, last } = await open({
      'account.step-up': () => ({ challenge: randomId(), nonce: randomId(), shapes: [] }),
      'account.change': () => ({ outcome: 'changed', view: openedView() }),
    });
    const proof = { current: new Secret('correct horse battery'), code: undefined };
    expect(await admitted.selfService.change(change, proof)).toMatchObject({ outcome: 'changed' });
    const sent = last('account.change');
    expect(isCommitmentToChange(claimsIn(sent).change ?? '', sent.changeSalt, change)).toBe(true);
  });
});

describe('questions about sessions that wait for their answer', () => {
  it('are shown while there are any, each until its own answer came', async () => {
    const waiting: PromiseWithResolvers<SessionView>[] = [];
    const { login, questions } = play({
      'session.attach': () => {
        const answer = Promise.withResolvers<SessionView>();
        waiting.push(answer);
        return answer.promise;
      },
    });
    const standing = (count: number) => ({
      what: 'session-questions',
      count,
      max: attachesPerSourceMax,
      acts: false,
    });
    expect(questions()).toEqual([]);
    const both = [login.attach('a', client), login.attach('b', client)];
    expect(questions()).toEqual([standing(2)]);
    waiting[0]?.resolve(openedView('a'));
    await both[0];
    expect(questions()).toEqual([standing(1)]);
    waiting[1]?.resolve(openedView('b'));
    await both[1];
    expect(questions()).toEqual([]);
  });
});

describe('a conversation that is closed', () => {
  it('listens to the link no more', () => {
    const { login, listeners } = play();
    expect(listeners.size).toBe(3);
    login.close();
    expect(listeners.size).toBe(0);
  });
});
