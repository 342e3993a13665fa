import type { ChallengeView } from '#shared/link/messages.ts';
import type { CodeMethod } from '#shared/login.ts';
import { Secret } from '#shared/secret.ts';

/**
 * Which codes may be the answer to a challenge, by shape alone. What has no offered shape (a saved password that a
 * client sends to every prompt) never leaves this node.
 *
 * Trust: codes are strangers' strings of any length and alphabet.
 */

type Asked = NonNullable<ChallengeView['asked']>;

/** Longer input is no code with spaces in it; refused before it is looked at. */
const inputCharactersMax = 64;

/** The code in its one spelling and what it would be, or undefined if it can't be any that is asked for. */
export function recogniseCode(
  untrusted: Secret,
  asked: Asked,
): { readonly code: Secret; readonly method: CodeMethod } | undefined {
  const input = untrusted.expose();
  if (input.length > inputCharactersMax) return undefined;
  const code = input.replace(/[\s\-\u2010-\u2015]/g, '').toUpperCase();
  for (const shape of asked.shapes) {
    if (matches(shape, code, asked))
      return {
        code: new Secret(code),
        method: shape === 'recovery' || shape === 'bypass' ? shape : asked.method,
      };
  }
  return undefined;
}

function matches(shape: Asked['shapes'][number], code: string, asked: Asked): boolean {
  switch (shape) {
    case 'digits6':
      return /^[0-9]{6}$/.test(code);
    case 'digits8':
      return /^[0-9]{8}$/.test(code);
    case 'alphanumeric':
      return /^[0-9A-Z]+$/.test(code) && code.length === asked.deliveredLength;
    case 'recovery':
      return /^[A-Z2-7]{16}$/.test(code);
    case 'bypass':
      return /^[A-Z2-7]{12}$/.test(code);
  }
}

/** Nothing is accepted but a code the administrator gave: the user has neither an authenticator nor an address. */
export function isGivenOnly({ shapes }: Pick<Asked, 'shapes'>): boolean {
  return shapes.every((shape) => shape === 'bypass');
}
