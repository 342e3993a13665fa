import { describe, expect, it } from 'vitest';
import type { Admitted, Again, FirstFactorPassed, LoginService } from '#dmz/login/login-service.ts';
import { LoginSteps } from '#dmz/sftp/authentication/login-steps.ts';
import type { AuthenticationRequest } from '#dmz/sftp/authentication/messages.ts';
import { deliveryFailedInstruction, tooManyWaitingText } from '#dmz/sftp/authentication/prompts.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SallyportError } from '#shared/error.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { newUserKey } from '../fakes/user-key.ts';

const code = new Secret('123456');
const byPassword: AuthenticationRequest = {
  method: 'password',
  user: 'ivan',
  password: new Secret('correct horse'),
};
const asked: ChallengeView['asked'] = {
  method: 'totp',
  hint: '',
  recovery: false,
  attemptsLeft: 5,
  shapes: ['digits6'],
};
const failure = (of: ErrorCode): SallyportError => new SallyportError(of, 'test');

/** A forced user after the password: a code is asked, a confined session follows, and the key is proven. */
function play(answers: {
  readonly begin?: () => Promise<never>;
  readonly view?: Partial<{ [Key in keyof ChallengeView]: ChallengeView[Key] | undefined }>;
  /** For one more login that waits for a code. */
  readonly hasRoom?: boolean;
  readonly answer?: () => Promise<Again>;
  readonly start?: () => Promise<never>;
  readonly prove?: () => Promise<Awaited<ReturnType<Admitted['enrolment']['prove']>>>;
}) {
  const calls: string[] = [];
  const logged: string[] = [];
  const session = (state: 'setup-required' | 'signed-in'): Admitted =>
    ({
      view: { state },
      enrolment: {
        start: answers.start ?? (async () => ({ secret: 'ABCDEFGH'.repeat(4) })),
        confirm: async () => ({ proveWithinMs: 120_000 }),
        prove:
          answers.prove ??
          (async () => ({
            outcome: 'enrolled',
            recoveryCodes: ['AAAA-BBBB-CCCC-DDDD'],
            requiredOn: [],
            admitted: session('signed-in'),
          })),
      },
      end: async () => void calls.push(`end ${state}`),
    }) as unknown as Admitted;
  const passed = {
    view: { next: 'code', username: 'ivan', expiresInMs: 300_000, asked, ...answers.view },
    answer: answers.answer ?? (async () => ({ ...session('setup-required'), outcome: 'admitted' })),
    cancel: async () => void calls.push('cancel'),
  } as unknown as FirstFactorPassed;
  const steps = new LoginSteps({
    login: { begin: answers.begin ?? (async () => passed) } as unknown as LoginService,
    admission: { awaitCode: () => answers.hasRoom ?? true, authenticated: () => undefined },
    client: () => ({ ip: '203.0.113.9', port: 50_000, agent: 'test client' }),
    listener: 'sftp',
    publicUrl: 'https://files.example.com',
    log: { error: (_fields: unknown, text: string) => void logged.push(text) } as unknown as Log,
    onForged: () => undefined,
  });
  return { steps, calls, logged };
}

describe('a login whose main was away between the factors', () => {
  for (const lost of ['link-down', 'challenge-gone'] as const)
    it(`starts over after ${lost}`, async () => {
      const { steps } = play({ answer: () => Promise.reject(failure(lost)) });
      await steps.begin(byPassword, undefined);
      expect(await steps.answer(code)).toEqual({ type: 'lost' });
    });

  it('does not after a refusal', async () => {
    const { steps } = play({ answer: () => Promise.reject(failure('refused')) });
    await steps.begin(byPassword, undefined);
    expect(await steps.answer(code)).toEqual({ type: 'refused' });
  });
});

describe('set-up inside the login', () => {
  it('shows the key in groups, has prove_ttl for its answer, and tells the recovery codes once it is proven', async () => {
    const { steps, calls } = play({});
    await steps.begin(byPassword, undefined);
    expect(await steps.answer(code)).toEqual({ type: 'setup' });
    expect(steps.lifeMs).toBe(120_000);
    expect(steps.proofInstruction(false)).toContain(`\n${'ABCD EFGH '.repeat(4).trimEnd()}\n`);
    expect(steps.admitted, 'nothing is open before the proof').toBeUndefined();
    expect(await steps.prove(code)).toEqual({ type: 'enrolled' });
    expect(steps.notice).toContain('\nAAAA-BBBB-CCCC-DDDD');
    expect(steps.admitted?.view.state).toBe('signed-in');
    await steps.abandon();
    expect(calls).toEqual(['end signed-in']);
  });

  it('a wrong code of the app may be tried again while tries are left; then the confined session ends', async () => {
    let attemptsLeft = 2;
    const { steps, calls } = play({
      prove: async () => ({ outcome: 'again', reason: 'wrong-code', attemptsLeft: (attemptsLeft -= 1) }),
    });
    await steps.begin(byPassword, undefined);
    await steps.answer(code);
    expect(await steps.prove(code)).toEqual({ type: 'again' });
    expect(steps.proofInstruction(true)).toContain('1 try left.');
    expect(calls).toEqual([]);
    expect(await steps.prove(code)).toEqual({ type: 'refused' });
    expect(calls).toEqual(['end setup-required']);
  });

  for (const [name, answers, type] of [
    ['may not be started', { start: () => Promise.reject(failure('not-allowed')) }, 'refused'],
    ['loses main as it starts', { start: () => Promise.reject(failure('link-down')) }, 'unreachable'],
  ] as const)
    it(`S-01: one that ${name} leaves no session behind`, async () => {
      const { steps, calls } = play(answers);
      await steps.begin(byPassword, undefined);
      expect(await steps.answer(code)).toEqual({ type });
      expect(calls).toEqual(['end setup-required']);
      expect(await steps.prove(code)).toEqual({ type: 'refused' });
    });

  it('S-01: a client that answers with something else is refused, and no session stays', async () => {
    const { steps, calls } = play({ prove: () => Promise.reject(failure('bad-request')) });
    await steps.begin(byPassword, undefined);
    await steps.answer(code);
    expect(await steps.prove(new Secret('the saved one'))).toEqual({ type: 'refused' });
    expect(calls).toEqual(['end setup-required']);
    expect(steps.admitted).toBeUndefined();
  });
});

describe('what a login says of its questions', () => {
  it('nothing of a code before a first factor was right, and no reason before a code was wrong', async () => {
    const { steps } = play({});
    expect(steps.codeInstruction(true)).toBe('');
    await steps.begin(byPassword, undefined);
    const question = steps.codeInstruction(false);
    expect(question).toMatch(/^Enter the code/);
    expect(steps.codeInstruction(true)).toBe(question);
  });

  it('why a code was wrong where it is asked for again, and not where the round only begins anew', async () => {
    const { steps } = play({
      answer: async () => ({ outcome: 'again', reason: 'wrong-code', attemptsLeft: 2 }),
    });
    await steps.begin(byPassword, undefined);
    const question = steps.codeInstruction(false);
    expect(await steps.answer(code)).toEqual({ type: 'again' });
    expect(steps.codeInstruction(true)).toBe(`That code is wrong. 2 tries left.\n${question}`);
    expect(steps.codeInstruction(false)).toBe(question);
    await steps.begin(byPassword, undefined);
    expect(steps.codeInstruction(true), 'of the login before').toBe(question);
  });

  it('the key once more where its proof only begins anew, or was not judged', async () => {
    const { steps } = play({
      prove: async () => ({ outcome: 'again', reason: 'wrong-code', attemptsLeft: 2 }),
    });
    await steps.begin(byPassword, undefined);
    await steps.answer(code);
    const question = steps.proofInstruction(false);
    expect(steps.proofInstruction(true)).toBe(question);
    await steps.prove(code);
    expect(steps.proofInstruction(true)).not.toBe(question);
    expect(steps.proofInstruction(false)).toBe(question);
  });
});

describe('S-01: nothing is asked of main', () => {
  it('without what it takes: no request, no answer to the prompt, no first factor, no code', async () => {
    const { steps, calls, logged } = play({});
    const refused = { type: 'refused' };
    const byPrompt: AuthenticationRequest = { method: 'keyboard-interactive', user: 'ivan' };
    for (const request of [undefined, byPrompt, { method: 'none', user: 'ivan' }] as const)
      expect(await steps.begin(request, undefined)).toEqual(refused);
    for (const request of [undefined, byPassword] as const)
      expect(await steps.probe(request)).toEqual(refused);
    expect(await steps.admit()).toEqual(refused);
    expect(await steps.answer(code)).toEqual(refused);
    expect(await steps.prove(code)).toEqual(refused);
    await steps.begin(byPassword, undefined);
    expect(await steps.answer(undefined)).toEqual(refused);
    await steps.answer(code);
    expect(await steps.prove(undefined)).toEqual(refused);
    expect([calls, logged]).toEqual([[], []]);
  });
});

describe('a first factor that was right', () => {
  it('is told how long its code may take', async () => {
    const { steps } = play({});
    await steps.begin(byPassword, undefined);
    expect(steps.lifeMs).toBe(300_000);
  });

  it.each([
    ['admit', {}, 'admit', []],
    ['code', { asked }, 'code', []],
    ['code', {}, 'notice', ['cancel']],
    ['setup', {}, 'notice', ['cancel']],
    ['setup', { asked }, 'notice', ['cancel']],
    ['instruct', {}, 'notice', ['cancel']],
  ] as const)('of a user for whom main says %s, asking %j, leads to %s', async (next, more, then, seen) => {
    const { steps, calls } = play({ view: { next, asked: undefined, ...more } });
    expect(await steps.begin(byPassword, undefined)).toEqual({ type: 'first-factor-right', next: then });
    expect(calls).toEqual(seen);
    expect(steps.notice.includes('https://files.example.com')).toBe(then === 'notice');
  });

  it('is void if too many wait for a code already', async () => {
    const { steps, calls } = play({ hasRoom: false });
    expect(await steps.begin(byPassword, undefined)).toEqual({ type: 'first-factor-right', next: 'notice' });
    expect([steps.notice, calls]).toEqual([tooManyWaitingText, ['cancel']]);
  });
});

describe('what main says to a login', () => {
  it.each([
    ['link-down', 'unreachable', ''],
    ['deadline', 'unreachable', ''],
    ['busy', 'turned-away', 'test'],
    ['rate-limited', 'turned-away', 'test'],
    ['too-many-sessions', 'turned-away', 'test'],
    ['refused', 'refused', ''],
  ] as const)('%s is %s', async (of, type, notice) => {
    const { steps, logged } = play({ begin: () => Promise.reject(failure(of)) });
    expect(await steps.begin(byPassword, undefined)).toEqual({ type });
    expect([steps.notice, logged]).toEqual([notice, []]);
  });

  it('that a code could not be sent is told, and asks for none', async () => {
    const { steps } = play({ begin: () => Promise.reject(failure('delivery-failed')) });
    expect(await steps.begin(byPassword, undefined)).toEqual({ type: 'first-factor-right', next: 'notice' });
    expect(steps.notice).toBe(deliveryFailedInstruction);
  });

  it('something unforeseen: the client is refused, and the fault is in our log', async () => {
    for (const error of [new Error('unforeseen'), failure('internal')]) {
      const { steps, logged } = play({ begin: () => Promise.reject(error) });
      expect(await steps.begin(byPassword, undefined)).toEqual({ type: 'refused' });
      expect(logged).toEqual(['login failed on our side']);
    }
  });

  it('of a code that is refused: the challenge is main’s to end', async () => {
    const { steps, calls } = play({ answer: () => Promise.reject(failure('refused')) });
    await steps.begin(byPassword, undefined);
    await steps.answer(code);
    expect(calls).toEqual([]);
  });

  it('a login by key that was lost cannot start over in the same exchange', async () => {
    const { steps } = play({ answer: () => Promise.reject(failure('challenge-gone')) });
    const key = newUserKey();
    const proof = key.login('ivan', Buffer.alloc(32, 7));
    const algorithm = 'ssh-ed25519';
    await steps.begin({ method: 'publickey', user: 'ivan', algorithm, key: key.blob, ...proof }, undefined);
    expect(await steps.answer(code)).toEqual({ type: 'unreachable' });
  });
});
