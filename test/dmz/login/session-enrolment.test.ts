import { describe, expect, it } from 'vitest';
import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import type { Proof } from '#dmz/login/assertion-writer.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { buildSessionEnrolment } from '#dmz/login/session-enrolment.ts';
import type { SessionView } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';

function play(proven: object) {
  const asked: [string, object][] = [];
  const proofs: Proof[] = [];
  const request = async (verb: string, given: object | ((binding: LinkBinding) => Promise<object>)) => {
    asked.push([verb, typeof given === 'function' ? await given({} as LinkBinding) : given]);
    if (verb === 'enrol.start') return { secret: 'ABCDEFGH' };
    if (verb === 'enrol.prove') return proven;
    return { challenge: 'c', nonce: 'n', proveWithinMs: 120_000 };
  };
  const enrolment = buildSessionEnrolment({
    session: 'the id',
    request: request as unknown as MainLink['request'],
    write: async (proof) => {
      proofs.push(proof);
      return { assertion: 'signed' };
    },
    renew: (view) => ({ view }) as Admitted,
  });
  return { enrolment, asked, proofs };
}
const enrolled = {
  outcome: 'enrolled',
  recoveryCodes: ['AAAA'],
  requiredOn: ['https'],
  view: { session: 'new' } as SessionView,
};

describe('setting up an authenticator', () => {
  it('sends the ticket where there is one, and nothing in its place where there is none', async () => {
    const { enrolment, asked } = play(enrolled);
    await enrolment.start(undefined);
    await enrolment.start(new Secret('the ticket'));
    expect(asked).toEqual([
      ['enrol.start', { session: 'the id' }],
      ['enrol.start', { session: 'the id', ticket: 'the ticket' }],
    ]);
  });

  it.each(['123456', ' 123 456 ', '123-456', '12345678'])(
    'takes %j for a code, and signs it for this alone',
    async (typed) => {
      const { enrolment, proofs } = play(enrolled);
      expect(await enrolment.prove(new Secret(typed))).toMatchObject({
        outcome: 'enrolled',
        recoveryCodes: ['AAAA'],
        requiredOn: ['https'],
        admitted: { view: enrolled.view },
      });
      expect(proofs).toHaveLength(1);
      expect(proofs[0]).toMatchObject({ purpose: 'enrol', method: 'totp', challenge: 'c', nonce: 'n' });
      expect(proofs[0]?.code?.expose()).toBe(typed.replaceAll(/\D/g, ''));
    },
  );

  it.each(['', '12345', '1234567', '123456789', '12345a', 'x123456'])(
    'tells main nothing of %j',
    async (typed) => {
      const { enrolment, asked } = play(enrolled);
      await expect(enrolment.prove(new Secret(typed))).rejects.toMatchObject({ code: 'bad-request' });
      expect(asked).toEqual([]);
    },
  );

  it('says what main said of a wrong code', async () => {
    const again = {
      outcome: 'again',
      reason: 'clock-drift',
      attemptsLeft: 2,
      driftSeconds: 0,
      reference: 'REF',
    };
    expect(await play(again).enrolment.prove(new Secret('123456'))).toEqual(again);
    const plain = { outcome: 'again', reason: 'wrong-code', attemptsLeft: 2 };
    expect(await play(plain).enrolment.prove(new Secret('123456'))).toEqual(plain);
  });
});
