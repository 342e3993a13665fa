import type { RandomBytes } from '#shared/random-id.ts';
import { argon2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { formatCost } from '#main-agent/users/argon2-text.ts';
import { readForeignHash } from '#main-agent/users/foreign-hash.ts';
import { isHashName } from '#main-agent/users/hash-book.ts';
import { formatPhc, parsePhc, type Phc } from '#main-agent/users/phc.ts';
import type { VaultHandlers } from '#main-agent/vault/calls.ts';
import { passwordBytesMax } from '#main-agent/vault/limits.ts';
import { SallyportError } from '#shared/error.ts';
import { DecoyHashes, type NamePlace } from './decoy-hashes.ts';
import { ForeignTags } from './foreign-tags.ts';

/**
 * Passwords: argon2id (RFC 9106) in PHC strings. Every try costs the same work, whether the user exists, has a
 * password or not (S-07). What came from another system is argon2id over that system's hash, until the password is
 * given for the first time. Main says and is told names of hashes (`hash-book.ts`).
 */

/** OWASP's second choice of equal strength: little memory, so that two at once never hurt the file service. */
const cost = { memory: 19_456, passes: 2, parallelism: 1 } as const;
const tagBytes = 32;
const saltBytes = 16;

const hash = promisify(argon2);

type PasswordHandlers = Pick<
  VaultHandlers,
  'compare-password' | 'hash-password' | 'take-over-hash' | 'examine-hash' | 'imitate-costs'
>;

export function buildPasswordHashes({
  random,
  placeOf,
  note,
  find,
  openBox,
}: {
  readonly random: RandomBytes;
  readonly placeOf: NamePlace;
  /** Gives a hash its name. */
  readonly note: (phc: string) => string;
  /** The hash of a name; undefined: nowhere to be found. */
  readonly find: (name: string) => Promise<string | undefined>;
  readonly openBox: (text: string) => string;
}): PasswordHandlers {
  const decoys = new DecoyHashes({ random, placeOf, ownCost: formatCost(cost) });
  const foreign = new ForeignTags();

  async function wrap(message: Buffer, over: Phc['over']): Promise<string> {
    const salt = random(saltBytes);
    const tag = await hash('argon2id', { ...cost, message, nonce: salt, tagLength: tagBytes });
    return note(formatPhc({ over, cost, salt, tag }));
  }
  /** Undefined: its file is another one by now, and main will know; until then nobody has that password. */
  async function findHash(name: string): Promise<string | undefined> {
    return isHashName(name) ? find(name) : '';
  }
  const make = (password: string): Promise<string> => wrap(Buffer.from(password, 'utf8'), undefined);

  return {
    'compare-password': async ({ password, name, stored }) => {
      // Looked up for every name, so that the looking tells nothing.
      const decoy = decoys.forName(name);
      const found = await findHash(stored);
      const phc = requirePhc(found ?? decoy.expose());
      const message = Buffer.from(password, 'utf8');
      // Too long is wrong, but costs what any wrong one costs.
      const tooLong = message.length > passwordBytesMax;
      const looked = tooLong ? message.subarray(0, passwordBytesMax) : message;
      const tag = await hash('argon2id', {
        ...phc.cost,
        message: phc.over === undefined ? looked : await foreign.compute(phc.over, looked),
        nonce: phc.salt,
        tagLength: phc.tag.length,
      });
      return { isRight: timingSafeEqual(tag, phc.tag) && found !== undefined && !tooLong };
    },

    'hash-password': async ({ password }) => ({ stored: await make(password) }),

    'take-over-hash': async ({ foreign: text }) => {
      const read = readForeignHash(openBox(text));
      if ('problem' in read)
        throw new SallyportError('config', `The password is not taken over: ${read.problem}`);
      const { scheme, salt, tag } = read.hash;
      if (scheme.kind === 'argon2id' && isGoodEnough(scheme.cost))
        return { stored: note(formatPhc({ over: undefined, cost: scheme.cost, salt, tag })) };
      return { stored: await wrap(tag, { scheme, salt }) };
    },

    'examine-hash': async ({ foreign: text }) => {
      const read = readForeignHash(openBox(text));
      return { problem: 'problem' in read ? read.problem : null };
    },

    'imitate-costs': async ({ costs }) => {
      decoys.imitate(costs);
      return {};
    },
  };
}

/** The schema of user files lets no other pass; what is given without it is our mistake. */
function requirePhc(text: string): Phc {
  const phc = parsePhc(text);
  if (phc !== undefined) return phc;
  throw new SallyportError('internal', 'Something went wrong on our side', {
    detail: 'a password hash is not an argon2id PHC string',
    hint: 'Set the password again with `sallyport users passwd`.',
  });
}

function isGoodEnough({ memory, passes }: Phc['cost']): boolean {
  return memory >= cost.memory && memory * passes >= cost.memory * cost.passes;
}
