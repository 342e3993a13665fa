import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { challengesPerUserMax, sealedAnswerStepMs, sealedPerNodeMax } from '#main-agent/login/limits.ts';
import { Challenges } from '#main-agent/login/challenges.ts';
import { codeScope } from '#main-agent/state/factor-records.ts';
import { Passwords } from '#main-agent/passwords/password.ts';
import { sendIntervalMs } from '#main-agent/two-factor/limits.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import { SallyportError } from '#shared/error.ts';
import type { Protocol } from '#shared/login.ts';
import {
  buildRig,
  buildUser,
  password,
  playSshKey,
  refusal,
  settle,
  type Attempt,
  type Rig,
  withFactor,
} from './rig.ts';

/** How long answers were held back; nobody waits here. */
const { hooks, waits } = vi.hoisted(() => ({
  hooks: { onWait: undefined as ((ms: number) => Promise<void>) | undefined },
  waits: [] as number[],
}));
vi.mock('node:timers/promises', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  setTimeout: async (ms: number) => {
    waits.push(ms);
    await hooks.onWait?.(ms);
  },
}));

/** `validated_logins: sealed`: both factors are asked of everybody, and one answer is given at the end. */

const onBoth = ['https', 'sftp'] as Protocol[];
const kinds: Readonly<Record<string, Partial<EffectiveUser> | undefined>> = {
  nobody: undefined,
  free: {},
  totp: withFactor({ requiredOn: onBoth }),
  mailed: withFactor({ requiredOn: onBoth }, { email: 'mailed@example.com' }),
  forced: withFactor({ requiredOn: onBoth, forceSetup: true }),
  'forced-mailed': withFactor({ requiredOn: onBoth, forceSetup: true }, { email: 'f@example.com' }),
  unreachable: withFactor({ requiredOn: onBoth }),
  locked: withFactor({ requiredOn: onBoth }),
  disabled: { status: 'disabled' },
  expired: { expires: '2020-01-01' },
  elsewhere: { allowFrom: ['198.51.100.0/24'] },
  'key-only': { passwordHash: undefined },
  'with-code': withFactor({ requiredOn: ['sftp'], sftpPasswordWithCode: true }),
  oracle: {},
};
const wrong = 'not the password';
/** One of each kind, none of which a wrong code lets in. */
const refusedTries = [
  ['nobody', wrong],
  ['totp', wrong],
  ['totp', password],
  ['mailed', password],
  ['disabled', password],
] as const;

let rig: Rig;
beforeEach(async () => {
  rig = await buildRig({
    twoFactor: { validated_logins: 'sealed', lease: { protocols: ['https', 'sftp'] } },
  });
  for (const [name, change] of Object.entries(kinds))
    if (change !== undefined) await rig.change(name, { ...buildUser(name), ...change });
  for (const name of ['totp', 'locked', 'with-code']) await rig.enrol(name);
  for (let tries = 0; tries < 10; tries += 1)
    await rig.state.commit([
      {
        kind: 'count-failure',
        scope: codeScope('locked'),
        atMs: rig.now(),
        windowMs: 900_000,
        limit: 10,
        lockMs: 900_000,
        lockMaxMs: 900_000,
      },
    ]);
});
afterEach(() => {
  vi.restoreAllMocks();
  hooks.onWait = undefined;
  rig.close();
});

/** Without what is drawn anew each time, and the name that was typed. */
function shape({ challenge, nonce, username, ...view }: ChallengeView): object {
  return { ...view, challenge: challenge.length, nonce: nonce.length, username: username.replace(/./g, 'x') };
}

const names = Object.keys(kinds);

describe('a sealed login', () => {
  it('S-07: is asked of everybody in the same words, whoever it is and whether or not the password is right', async () => {
    for (const protocol of onBoth) {
      const views: object[] = [];
      for (const name of names)
        for (const typed of [password, wrong]) {
          const compared = vi.spyOn(Passwords.prototype, 'compare');
          const view = await rig.begin(name, { protocol, password: typed });
          views.push({ ...shape({ ...view, username: '' }), hashes: compared.mock.calls.length });
          expect(view.username).toBe(name);
          vi.restoreAllMocks();
        }
      expect(views[0]).toMatchObject({ next: 'code', asked: { sealed: true, hint: '', attemptsLeft: 1 } });
      for (const view of views) expect(view).toEqual(views[0]);
    }
  });

  it('S-07: costs as many hashes with a right password as with a wrong one, also where a code may stand at its end', async () => {
    const compared = vi.spyOn(Passwords.prototype, 'compare');
    await rig.change('free', { passwordHash: buildUser('x').passwordHash });
    const counts: number[] = [];
    for (const name of ['with-code', 'totp', 'nobody'])
      for (const typed of [`${password}000000`, `${wrong} 000000`]) {
        compared.mockClear();
        await rig.begin(name, { protocol: 'sftp', password: typed });
        counts.push(compared.mock.calls.length);
      }
    expect(new Set(counts)).toEqual(new Set([2]));
  });

  it('S-07: ends in the one refusal with whatever was wrong, and is over then', async () => {
    const told: object[] = [];
    for (const name of names.filter((one) => one !== 'oracle'))
      for (const typed of [password, wrong])
        for (const code of ['000000', '']) {
          const takesAny = ['free', 'forced', 'with-code'].includes(name) && typed === password;
          if (takesAny) continue;
          const view = await rig.begin(name, { password: typed });
          const error = await refusal(rig.answer(view, { code }));
          told.push({ code: error.code, words: error.publicMessage, data: error.data });
          expect(error.reference).toMatch(/^\w{8}$/);
          expect((await refusal(rig.answer(view, { code }))).code).toBe('challenge-gone');
          rig.advance(60_000);
        }
    expect(told.length).toBeGreaterThan(40);
    for (const one of told)
      expect(one).toEqual({ code: 'refused', words: 'Sign-in refused', data: undefined });
  });

  it('S-07: is asked, and ends, alike under a name that folding makes longer than any', async () => {
    const view = await rig.begin('\uFDFA'.repeat(255), { password: wrong });
    expect(shape({ ...view, username: '' })).toEqual(shape({ ...(await rig.begin('nobody')), username: '' }));
    expect((await refusal(rig.answer(view, { code: '000000' }))).code).toBe('refused');
  });

  it('S-07: ends at a whole step of time, whatever there was to do before', async () => {
    for (const [name, typed] of refusedTries) {
      const view = await rig.begin(name, { password: typed });
      await settle();
      await settle();
      waits.length = 0;
      // In the state, while main looks; another time for each.
      rig.state.beforeCommit = () => rig.advance(37);
      const before = rig.now();
      await refusal(rig.answer(view, { code: '000000' }));
      rig.state.beforeCommit = undefined;
      expect(waits).toHaveLength(1);
      expect((rig.now() - before + (waits[0] ?? 0)) % sealedAnswerStepMs).toBe(0);
    }
  });

  it('S-07: answers to many logins of a name at once, one after the other at whole steps, however many had the right password', async () => {
    const many = 18;
    for (const [name, right] of [
      ['nobody', 0],
      ['totp', 0],
      ['totp', 1],
      ['totp', many],
      ['mailed', many],
      ['free', 0],
    ] as const) {
      const views: ChallengeView[] = [];
      for (let one = 0; one < many; one += 1)
        views.push(await rig.begin(name, { password: one < right ? password : wrong }));
      await settle();
      await settle();
      let work = 0;
      waits.length = 0;
      // What the commit of a wrong code takes, by nobody's clock but ours.
      rig.state.beforeCommit = (changes) => {
        if (!changes.some(({ kind }) => kind === 'count-failure')) return;
        work += 1;
        rig.advance(7);
      };
      const before = rig.now();
      const due: { readonly atMs: number; readonly go: () => void }[] = [];
      hooks.onWait = (ms) => new Promise((resolve) => due.push({ atMs: rig.now() + ms, go: resolve }));
      const endedAtMs: number[] = [];
      const answers = views.map((view) => refusal(rig.answer(view, { code: '000000' })));
      while (endedAtMs.length < many) {
        await vi.waitFor(() => expect(due).not.toHaveLength(0), { interval: 1, timeout: 10_000 });
        const [next] = due.sort((one, other) => one.atMs - other.atMs).splice(0, 1);
        if (next === undefined) break;
        endedAtMs.push(next.atMs - before);
        rig.advance(Math.max(0, next.atMs - rig.now()));
        next.go();
      }
      await Promise.all(answers);
      hooks.onWait = undefined;
      rig.state.beforeCommit = undefined;
      expect(work > 0).toBe(right > 0);
      const steps = Array.from({ length: many }, (_, index) => (index + 1) * sealedAnswerStepMs);
      expect({ name, right, endedAtMs }).toEqual({ name, right, endedAtMs: steps });
      rig.advance(20 * 60_000);
      await rig.login.admin.confirmClock({ actor: 'test', reason: 'played' });
    }
  }, 20_000);

  /** What each kind of try is told at its end, and what it does to the count that its begin made. */
  async function endings(code: string, between: (view: ChallengeView) => void): Promise<object[]> {
    const told: object[] = [];
    for (const [name, typed] of refusedTries) {
      const view = await rig.begin(name, { password: typed });
      await settle();
      await settle();
      between(view);
      const taken: string[] = [];
      rig.state.beforeCommit = (changes) =>
        void taken.push(...changes.map(({ kind }) => kind).filter((kind) => kind === 'take-back-failure'));
      const { code: kind, publicMessage, data } = await refusal(rig.answer(view, { code }));
      rig.state.beforeCommit = undefined;
      rig.beforeAsk = undefined;
      vi.restoreAllMocks();
      told.push({ kind, publicMessage, data, taken });
      expect((await refusal(rig.answer(view, { code }))).code).toBe('challenge-gone');
    }
    return told;
  }

  it('S-07: while main’s clock is suspect takes codes of an authenticator’s shape from nobody, and counts for nobody', async () => {
    rig.jump(3_600_000);
    const told = await endings(' 000 000', () => undefined);
    expect(told[0]).toMatchObject({ kind: 'busy', taken: ['take-back-failure', 'take-back-failure'] });
    for (const one of told) expect(one).toEqual(told[0]);
    const others = await endings('', () => undefined);
    expect(others[0]).toMatchObject({ kind: 'refused', taken: [] });
    for (const one of others) expect(one).toEqual(others[0]);
    expect((await rig.answer(await rig.begin('free'), { code: '' })).outcome).toBe('admitted');
  });

  it('S-07: while the vault is away says so to everybody, and counts for nobody', async () => {
    const away = new SallyportError('busy', 'Nobody can be signed in at the moment; try again in a moment');
    const told = await endings('000000', () => {
      rig.beforeAsk = async () => {
        rig.beforeAsk = undefined;
        throw away;
      };
    });
    expect(told[0]).toMatchObject({ kind: 'busy', taken: ['take-back-failure', 'take-back-failure'] });
    for (const one of told) expect(one).toEqual(told[0]);

    // With a key, which may be the end, before it is looked at.
    const own = playSshKey();
    await rig.change('free', { sshKeys: [own.publicKey] });
    for (const key of [own, playSshKey()]) {
      rig.beforeAsk = async () => Promise.reject(away);
      const begun = rig.begin('free', { protocol: 'sftp', factor: key.signRequest('free') });
      expect((await refusal(begun)).code).toBe('busy');
    }
  });

  it('S-07: a fault of ours that only a right password meets is the one refusal, and S-13: is taken back when its user signs in', async () => {
    const faults: [string, () => void][] = [
      ['vault', () => (rig.beforeAsk = async (verb) => (verb === 'verify' ? fail() : undefined))],
      ['state', () => vi.spyOn(rig.state, 'commit').mockRejectedValueOnce(new Error('disk'))],
      ['status', () => vi.spyOn(rig.login.vault, 'status').mockRejectedValueOnce(new Error('no'))],
    ];
    const fail = (): never => {
      throw new SallyportError('internal', 'Something went wrong on our side', { detail: 'verify failed' });
    };
    for (const [fault, begin] of faults) {
      waits.length = 0;
      const told = await endings('000000', begin);
      expect({ fault, ...told[0] }).toMatchObject({ fault, kind: 'refused', taken: [] });
      for (const one of told) expect(one).toEqual(told[0]);
      expect(waits).toHaveLength(told.length);
    }
    expect(rig.state.audit.map(({ rule }) => rule)).toContain('a fault of ours: verify failed');

    const taken: string[] = [];
    rig.state.beforeCommit = (changes) => void taken.push(...changes.map(({ kind }) => kind));
    await rig.answer(await rig.begin('totp'), { code: rig.code('totp') });
    const backOf = (all: readonly string[]) => all.filter((kind) => kind === 'take-back-failure').length;
    // Two counts of each: of the two that failed before its code was looked at, and its own.
    expect(backOf(taken)).toBeGreaterThan(2 * 2);
    taken.length = 0;
    rig.advance(60_000);
    await rig.answer(await rig.begin('totp'), { code: rig.code('totp') });
    expect(backOf(taken)).toBeLessThan(2 * 3);
  });

  it('S-07: a login that could not be judged ends like any, and is nobody’s fault', async () => {
    vi.spyOn(rig.login.vault, 'status').mockRejectedValueOnce(new Error('no'));
    const view = await rig.begin('totp');
    await settle();
    await settle();
    vi.restoreAllMocks();
    const { code, publicMessage, reference } = await refusal(rig.answer(view, { code: rig.code('totp') }));
    expect([code, publicMessage]).toEqual(['refused', 'Sign-in refused']);
    expect(rig.state.audit.find((one) => one.reference === reference)?.rule).toBe('a fault of ours: no');
  });

  it('S-07: says of a name that attackers try first that it is a bait, also where only the code was wrong', async () => {
    await rig.change('oracle', withFactor({ requiredOn: onBoth }));
    await rig.enrol('oracle');
    for (const [name, typed] of [
      ['oracle', password],
      ['oracle', wrong],
      ['root', wrong],
    ] as const) {
      const view = await rig.begin(name, { password: typed });
      expect((await refusal(rig.answer(view, { code: '000000' }))).data).toEqual({ bait: true });
    }
  });

  it('lets in who needs no code, whatever was typed for one', async () => {
    for (const code of ['', '000000', 'ABCDEFGHIJKLMNOP']) {
      const view = await rig.begin('free');
      expect(await rig.answer(view, { code })).toMatchObject({
        outcome: 'admitted',
        view: { username: 'free', method: 'none', state: 'signed-in' },
      });
    }
  });

  it('S-01: lets in with the authenticator’s code once, and with no other', async () => {
    const code = rig.code('totp');
    const view = await rig.begin('totp');
    expect(await rig.answer(view, { code })).toMatchObject({
      outcome: 'admitted',
      view: { method: 'totp' },
    });
    // Another place, where no lease stands for the code.
    const client = { ip: '203.0.113.77' };
    const again = await rig.begin('totp', { client });
    expect((await refusal(rig.answer(again, { code, client }))).code).toBe('refused');
  });

  it('S-01: takes no claim but `sealed`, so that no node can name its way past the code', async () => {
    for (const method of ['none', 'totp', 'lease', 'device'] as const) {
      const view = await rig.begin('totp');
      expect((await refusal(rig.answer(view, { code: '000000', method }))).code).toBe('refused');
    }
    const view = await rig.begin('totp');
    expect((await refusal(rig.answer(view, { method: 'sealed', claims: { amr: ['pwd'] } }))).code).toBe(
      'refused',
    );
  });

  it('sends a code after a right password alone, and asks for it like for any', async () => {
    await rig.begin('mailed', { password: wrong });
    await rig.begin('nobody');
    await vi.waitFor(() => expect(rig.login.passwords.queue.waiting).toBe(0));
    expect(rig.sent).toEqual([]);
    const view = await rig.begin('mailed');
    await vi.waitFor(() => expect(rig.sent).toHaveLength(1));
    const code = rig.sent[0]?.code.expose() ?? '';
    expect(await rig.answer(view, { code })).toMatchObject({
      outcome: 'admitted',
      view: { method: 'email' },
    });
  });

  it('S-07: does not wait for the relay, and does not tell that it is away', async () => {
    let isAsked = false;
    rig.deliver = () => {
      isAsked = true;
      return new Promise(() => undefined);
    };
    const view = await rig.begin('mailed');
    expect(view.asked?.sealed).toBe(true);
    await vi.waitFor(() => expect(isAsked).toBe(true));
  });

  it('S-07: sends again when asked to, with the same answer where there is nobody to send to', async () => {
    for (const [name, typed, sentBefore] of [
      ['mailed', password, 1],
      ['mailed', wrong, 2],
      ['nobody', wrong, 2],
      ['totp', password, 2],
    ] as const) {
      const client = { ip: `203.0.113.${names.indexOf(name) + typed.length}` };
      const view = await rig.begin(name, { password: typed, client });
      const resend = () =>
        rig.login.loginHandlers['login.resend']({ challenge: view.challenge }, rig.node.link);
      expect(await refusal(resend())).toMatchObject({
        code: 'rate-limited',
        data: { retryAfterMs: sendIntervalMs },
      });
      await vi.waitFor(() => expect(rig.sent).toHaveLength(sentBefore));
      rig.advance(sendIntervalMs);
      expect(await resend()).toEqual({ resendInMs: sendIntervalMs });
      expect((await refusal(resend())).code).toBe('rate-limited');
      await vi.waitFor(() => expect(rig.sent).toHaveLength(2));
    }
    await vi.waitFor(() => expect(rig.sent).toHaveLength(2));
  });

  it('leads to set-up who is forced to, on the web, and refuses them over SFTP like anybody', async () => {
    const view = await rig.begin('forced');
    expect(await rig.answer(view, { code: '' })).toMatchObject({
      outcome: 'admitted',
      view: { state: 'setup-required' },
    });
    const overSftp = await rig.begin('forced', { protocol: 'sftp' });
    expect((await refusal(rig.answer(overSftp, { code: '', protocol: 'sftp' }))).code).toBe('refused');
  });

  it('takes the code that stood at the end of the password, whatever is answered', async () => {
    const view = await rig.begin('with-code', {
      protocol: 'sftp',
      password: `${password}${rig.code('with-code')}`,
    });
    expect(view.asked?.sealed).toBe(true);
    expect(await rig.answer(view, { code: '', protocol: 'sftp' })).toMatchObject({
      outcome: 'admitted',
      view: { method: 'totp' },
    });
  });

  it('asks as ever where a lease stands for the code, and takes any answer then', async () => {
    await rig.answer(await rig.begin('totp'), { code: rig.code('totp') });
    const view = await rig.begin('totp');
    expect(view.asked?.sealed).toBe(true);
    expect(await rig.answer(view, { code: '000000' })).toMatchObject({
      outcome: 'admitted',
      view: { method: 'lease' },
    });
  });

  it('S-13: counts a wrong code against the factor after a right password alone, and what is no code not at all', async () => {
    const wrongCodes = async () => (await rig.login.vault.status('totp')).wrongCodes.inARow;
    await refusal(rig.answer(await rig.begin('totp', { password: wrong }), { code: '000000' }));
    expect(await wrongCodes()).toBe(0);
    await refusal(rig.answer(await rig.begin('totp'), { code: '' }));
    expect(await wrongCodes()).toBe(0);
    await refusal(rig.answer(await rig.begin('totp'), { code: '000000' }));
    expect(await wrongCodes()).toBe(1);
  });

  it('S-07: is throttled by the name after as many tries with a right password as with a wrong one, answered or not', async () => {
    const triesOf = async (name: string, typed: string, answers: boolean): Promise<number> => {
      for (let tries = 0; tries < 40; tries += 1) {
        let view: ChallengeView;
        try {
          view = await rig.begin(name, { password: typed, patienceMs: 1 });
        } catch {
          return tries;
        }
        if (answers) await refusal(rig.answer(view, { code: '000000' }));
      }
      return 40;
    };
    const seen = [
      await triesOf('nobody', wrong, false),
      await triesOf('totp', password, false),
      await triesOf('unreachable', password, true),
      await triesOf('mailed', password, true),
      await triesOf('disabled', password, false),
      await triesOf('free', wrong, true),
    ];
    expect(seen[0]).toBeLessThan(40);
    for (const tries of seen) expect(tries).toBe(seen[0]);
  }, 20_000);

  it('throttles nobody who signs in, however often', async () => {
    for (let logins = 0; logins < 30; logins += 1)
      expect((await rig.answer(await rig.begin('free'), { code: '' })).outcome).toBe('admitted');
  });

  it('S-07: takes every key that is offered, and asks after every signature', async () => {
    const own = playSshKey();
    await rig.change('totp', { sshKeys: [own.publicKey] });
    const foreign = playSshKey();
    const probe = (user: string, key: Buffer) =>
      rig.login.loginHandlers['login.probe'](
        { user, key: key.toString('base64url'), client: { ip: '203.0.113.9', port: 1, agent: 'x' } },
        rig.node.link,
      );
    for (const [name, key] of [
      ['totp', own],
      ['totp', foreign],
      ['nobody', foreign],
    ] as const)
      expect(await probe(name, key.publicKey.blob)).toEqual({ acceptable: true });
    expect(await probe('totp', Buffer.from('no key'))).toEqual({ acceptable: false });

    const begin = (name: string, key: typeof own): Attempt => ({
      protocol: 'sftp',
      factor: key.signRequest(name),
    });
    const right = await rig.begin('totp', begin('totp', own));
    const views = [
      right,
      await rig.begin('totp', begin('totp', foreign)),
      await rig.begin('none', begin('none', foreign)),
    ];
    for (const view of views) expect(shape(view)).toEqual(shape({ ...right, username: 'xxxx' }));
    const keyed = { protocol: 'sftp', claims: { amr: ['key', 'otp'] } } as const;
    for (const view of views.slice(1))
      expect(
        (await refusal(rig.answer(view, { ...keyed, code: '000000', claims: { amr: ['key', 'otp'] } }))).code,
      ).toBe('refused');
    expect(
      await rig.answer(right, { protocol: 'sftp', code: rig.code('totp'), claims: { amr: ['key', 'otp'] } }),
    ).toMatchObject({ outcome: 'admitted' });
  });

  it('lets in at once whose key needs nothing more, and whom a trusted network spares the code', async () => {
    const key = playSshKey();
    await rig.change('free', { sshKeys: [key.publicKey] });
    const view = await rig.begin('free', { protocol: 'sftp', factor: key.signRequest('free') });
    expect(view).toMatchObject({ next: 'admit', admitAs: 'none' });

    rig = await rig.restart({
      twoFactor: {
        validated_logins: 'sealed',
        trusted_networks: [{ cidr: '203.0.113.0/24', nodes: ['dmz1'] }],
      },
    });
    expect(await rig.begin('totp')).toMatchObject({ next: 'admit', admitAs: 'trusted-network' });
    expect(await rig.begin('totp', { password: wrong })).toMatchObject({ asked: { sealed: true } });
    expect(await rig.begin('totp', { client: { ip: '198.51.100.1' } })).toMatchObject({
      asked: { sealed: true },
    });
  });

  it('writes down what was wrong under the reference that was told', async () => {
    const rules: string[] = [];
    for (const [name, typed, code] of [
      ['totp', wrong, '000000'],
      ['totp', password, '000000'],
      ['totp', password, ''],
      ['nobody', wrong, '000000'],
      ['locked', password, '000000'],
    ] as const) {
      const view = await rig.begin(name, { password: typed });
      const { reference } = await refusal(rig.answer(view, { code }));
      const record = rig.state.audit.find((one) => one.reference === reference);
      rules.push(record?.rule ?? '');
    }
    expect(rules).toEqual([
      'wrong password',
      'wrong-code',
      'no code, where one is due',
      'no such user',
      'the factor is locked',
    ]);
  });

  it('S-14: pushes out no one’s login but those begun from the source that has most, and no other node’s', () => {
    const clock = { now: () => 0, monotonic: () => 0 };
    const challenges = new Challenges(clock);
    const open = (
      username: string,
      clientIp: string,
      { node = 'dmz1', factor = 'pwd' }: { readonly node?: string; readonly factor?: 'pwd' | 'key' } = {},
    ) =>
      challenges.open({
        node,
        username,
        shownName: username,
        factor,
        credential: '',
        protocol: 'https',
        listener: 'https',
        clientIp,
        clientPort: 1,
        agent: 'x',
        next: { kind: 'sealed', verdict: new Promise(() => undefined), resendAtMs: 0 },
        enclosedCode: undefined,
        takeBack: [],
        beganAtMs: 0,
        attemptsLeft: 1,
        lifeMs: 1_000,
      }).id;
    const own = open('alice', '203.0.113.9');
    for (let tries = 0; tries < 2 * challengesPerUserMax; tries += 1) open('alice', '192.0.2.1');
    expect(challenges.require(own, 'dmz1').id).toBe(own);
    expect(challenges.size).toBe(1 + challengesPerUserMax);
    const elsewhere = open('bob', '203.0.113.9', { node: 'dmz2' });
    const keyed = open('carol', '203.0.113.9', { factor: 'key' });
    // Any key opens one: from one household under many addresses, and from more sources than there is room for.
    for (let tries = 0; tries < sealedPerNodeMax; tries += 1)
      open(`name${tries}`, `2001:db8:0:${(tries % 256).toString(16)}::1`, { factor: 'key' });
    expect(challenges.size).toBe(1 + sealedPerNodeMax);
    expect(challenges.require(keyed, 'dmz1').id).toBe(keyed);
    for (let tries = 0; tries < sealedPerNodeMax; tries += 1)
      open(`name${tries}`, `10.0.${tries >> 8}.${tries % 256}`, { factor: 'key' });
    // Passwords, two from each source.
    for (let tries = 0; tries < sealedPerNodeMax; tries += 1)
      open(`name${tries}`, `10.1.${tries >> 9}.${(tries >> 1) % 256}`);
    expect(challenges.size).toBe(1 + sealedPerNodeMax);
    expect(challenges.require(elsewhere, 'dmz2').id).toBe(elsewhere);
    expect(challenges.require(own, 'dmz1').id).toBe(own);
    expect(() => challenges.require(keyed, 'dmz1')).toThrow('over');
  });
});
