import { describe, expect, it } from 'vitest';
import { buildSelfService } from '#dmz/login/self-service.ts';
import type { Proof } from '#dmz/login/assertion-writer.ts';
import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import type { SessionView } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';

type Answer = (params: object) => unknown;
const toNext = { kind: 'password', value: 'a wholly different phrase' } as const;
const current = new Secret('correct horse battery');
const renewed = { session: 'the new id' } as SessionView;

/** Main as these answers, and what it was sent. */
function play(shapes: readonly string[], change: Answer = () => ({ outcome: 'changed', view: renewed })) {
  const asked: [string, object][] = [];
  const proofs: Proof[] = [];
  const request = async (verb: string, given: object | ((binding: LinkBinding) => Promise<object>)) => {
    const params = typeof given === 'function' ? await given({} as LinkBinding) : given;
    asked.push([verb, params]);
    if (verb === 'account.step-up') return { challenge: 'c', nonce: 'n', shapes };
    return verb === 'account.change' ? change(params) : {};
  };
  const service = buildSelfService({
    session: 'the id',
    request: request as unknown as MainLink['request'],
    write: async (proof) => {
      proofs.push(proof);
      return { assertion: 'signed' };
    },
    turn: { isChanging: false },
    renew: (view) => ({ view }) as Admitted,
  });
  return {
    service,
    proofs,
    verbs: () => asked.map(([verb]) => verb),
    last: () => asked.at(-1),
    change: (code?: string) =>
      service.change(toNext, { current, code: code === undefined ? undefined : new Secret(code) }),
  };
}

describe('a change of one’s own account', () => {
  it('that needs a code asks for it before anything is signed or counted', async () => {
    const { change, proofs, verbs } = play(['digits6']);
    expect(await change()).toEqual({ outcome: 'again', reason: 'code-required' });
    expect([verbs(), proofs]).toEqual([['account.step-up'], []]);
  });

  it('goes no further with a code of no offered shape', async () => {
    const { change, proofs, verbs } = play(['digits6']);
    expect(await change('12345')).toEqual({ outcome: 'again', reason: 'wrong-code' });
    expect([verbs(), proofs]).toEqual([['account.step-up'], []]);
  });

  it.each([
    [['digits6', 'recovery'], '123456', 'totp', '123456'],
    [['digits6', 'recovery'], 'abcd-efgh-ijkl-2345', 'recovery', 'ABCDEFGHIJKL2345'],
    [[], '123456', 'none', undefined],
    [[], undefined, 'none', undefined],
  ] as const)('where %j may be typed, %s is signed as %s', async (shapes, typed, method, code) => {
    const { change, proofs, last } = play(shapes);
    expect(await change(typed)).toMatchObject({ outcome: 'changed', admitted: { view: renewed } });
    expect(proofs).toHaveLength(1);
    expect(proofs[0]).toMatchObject({ purpose: 'password', challenge: 'c', nonce: 'n', method });
    expect(proofs[0]?.code?.expose()).toBe(code);
    expect(last()).toEqual([
      'account.change',
      expect.objectContaining({
        session: 'the id',
        change: toNext,
        current: current.expose(),
        assertion: 'signed',
      }),
    ]);
  });

  it('that main wants again says why, and how far the clock is off where main says so', async () => {
    const again = { outcome: 'again', reason: 'wrong-code', attemptsLeft: 3 };
    expect(await play([], () => again).change()).toEqual(again);
    const drifted = { ...again, reason: 'clock-drift', driftSeconds: 0 };
    expect(await play([], () => drifted).change()).toEqual(drifted);
  });

  it('is one at a time for a session, and the next may come when it is done or failed', async () => {
    const held = Promise.withResolvers<object>();
    const { change, verbs } = play([], () => held.promise);
    const first = change();
    await expect(change()).rejects.toMatchObject({ code: 'conflict' });
    expect(verbs().filter((verb) => verb === 'account.step-up')).toHaveLength(1);
    held.reject(new Error('main is gone'));
    await expect(first).rejects.toThrow('main is gone');
    await expect(change()).rejects.toThrow('main is gone');
  });

  it('ends what is named', async () => {
    const { service, last } = play([]);
    await service.end('lease', 'l1');
    expect(last()).toEqual(['account.end', { session: 'the id', what: 'lease', id: 'l1' }]);
  });
});
