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
type Shape = Asked['shapes'][number];

/** Longer input is no code with spaces in it; refused before it is looked at. */
const inputCharactersMax = 64;

/** The code in its one spelling and what it would be, or undefined if it can't be any that is asked for. */
export function recogniseCode(
  untrusted: Secret,
  asked: Asked,
): { readonly code: Secret; readonly method: CodeMethod } | undefined {
  const found = recogniseShape(untrusted, asked.shapes, asked.deliveredLength);
  if (found === undefined) return undefined;
  const { code, shape } = found;
  return { code, method: shape === 'recovery' || shape === 'bypass' ? shape : asked.method };
}

/** The code in its one spelling, and the first of these shapes that it has. */
export function recogniseShape(
  untrusted: Secret,
  shapes: readonly Shape[],
  deliveredLength?: number,
): { readonly code: Secret; readonly shape: Shape } | undefined {
  const input = untrusted.expose();
  if (input.length > inputCharactersMax) return undefined;
  // Full-width digits of an East Asian keyboard, and what a copied code brings along unseen (zero-width space, BOM,
  // direction marks), make no other code.
  const code = input
    .normalize('NFKC')
    .replaceAll(/[\s\p{Cf}\p{Pd}]/gu, '')
    .toUpperCase();
  const shape = shapes.find((one) => matches(one, code, deliveredLength));
  return shape === undefined ? undefined : { code: new Secret(code), shape };
}

function matches(shape: Shape, code: string, deliveredLength: number | undefined): boolean {
  switch (shape) {
    case 'digits6':
      return /^[0-9]{6}$/.test(code);
    case 'digits8':
      return /^[0-9]{8}$/.test(code);
    case 'alphanumeric':
      return /^[0-9A-Z]+$/.test(code) && code.length === deliveredLength;
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
