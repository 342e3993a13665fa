import { describe, expect, it } from 'vitest';
import { asRefusal } from '#dmz/login/refusal.ts';
import { SallyportError } from '#shared/error.ts';

describe('S-07: main’s refusal', () => {
  const refused = (more: object) => asRefusal(new SallyportError('refused', 'No such user', more));

  it('has our words, main’s reference and detail, and nothing that is for this node alone', () => {
    const data = { bait: true };
    expect(refused({ reference: 'REF1', detail: 'no such user', data })).toMatchObject({
      code: 'refused',
      publicMessage: 'Sign-in refused',
      reference: 'REF1',
      detail: 'no such user',
      data: undefined,
    });
    expect(refused({ data: { ...data, retryAfterMs: 5 } })).toMatchObject({ data: { retryAfterMs: 5 } });
  });

  it('has a reference and a detail even where main sent none', () => {
    expect(refused({})).toMatchObject({
      reference: expect.stringMatching(/^[0-9A-Z]{6,}$/) as string,
      detail: 'refused by main',
      data: undefined,
    });
  });

  it('is the only error that is changed', () => {
    const busy = new SallyportError('busy', 'Too many sign-ins', { data: { retryAfterMs: 5 } });
    expect(asRefusal(busy)).toBe(busy);
    const other = new Error('main is gone');
    expect(asRefusal(other)).toBe(other);
  });
});
