import { describe, expect, it } from 'vitest';
import type { Admitted, FirstFactorPassed, LoginService } from '#dmz/login/login-service.ts';
import { LoginSteps } from '#dmz/sftp/authentication/login-steps.ts';
import type { AuthenticationRequest } from '#dmz/sftp/authentication/messages.ts';
import { SallyportError, type ErrorCode } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';

const code = new Secret('123456');
const byPassword: AuthenticationRequest = {
  method: 'password',
  user: 'ivan',
  password: new Secret('correct horse'),
};
const failure = (of: ErrorCode): SallyportError => new SallyportError(of, 'test');

/** A forced user after the password: a code is asked, a confined session follows, and the key is proven. */
function play(answers: {
  readonly answer?: () => Promise<never>;
  readonly start?: () => Promise<never>;
  readonly prove?: () => Promise<Awaited<ReturnType<Admitted['enrolment']['prove']>>>;
}) {
  const calls: string[] = [];
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
    view: { next: 'code', username: 'ivan', expiresInMs: 300_000, asked: { method: 'email', hint: '' } },
    answer: answers.answer ?? (async () => ({ ...session('setup-required'), outcome: 'admitted' })),
    cancel: async () => void calls.push('cancel'),
  } as unknown as FirstFactorPassed;
  const steps = new LoginSteps({
    login: { begin: async () => passed } as unknown as LoginService,
    admission: { awaitCode: () => true, authenticated: () => undefined },
    client: () => ({ ip: '203.0.113.9', port: 50_000, agent: 'test client' }),
    listener: 'sftp',
    publicUrl: 'https://files.example.com',
    log: buildLog('silent', {}),
    onForged: () => undefined,
  });
  return { steps, calls };
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
