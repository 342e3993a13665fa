import type { RandomBytes } from '#shared/random-id.ts';
import { argon2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { parsePhc, type Phc } from '#main-agent/users/phc.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { findGuess } from './common-passwords.ts';
import { DecoyHashes, type NamePlace } from './decoy-hashes.ts';
import { HashQueue, type HashQueueOptions, type Turn } from './hash-queue.ts';
import { hashesAtOnceMax, passwordBytesMax } from './limits.ts';

/**
 * Passwords: argon2id (RFC 9106) in PHC strings. Every try costs the same work, whether the user exists, has a
 * password or not (S-07).
 */

export interface PasswordHasher {
  /** PHC string. Rejects, with a reason for the user, when the password is too weak for this name. */
  hash(password: Secret, username: string): Promise<Secret>;
}

/** OWASP's second choice of equal strength: little memory, so that two at once never hurt the file service. */
const cost = { memory: 19_456, passes: 2, parallelism: 1 } as const;
const tagBytes = 32;
const saltBytes = 16;

const hash = promisify(argon2);

export class Passwords {
  readonly queue: HashQueue;
  readonly #random: RandomBytes;
  readonly #minimumLength: number;
  readonly #decoys: DecoyHashes;

  constructor(
    dependencies: Omit<HashQueueOptions, 'atOnceMax' | 'random'> & {
      readonly random: RandomBytes;
      readonly minimumLength: number;
      readonly placeOf: NamePlace;
    },
  ) {
    const { clock, minimumLength, onNoTurn, placeOf, random } = dependencies;
    this.queue = new HashQueue({ atOnceMax: hashesAtOnceMax, clock, ...(onNoTurn && { onNoTurn }) });
    this.#random = random;
    this.#minimumLength = minimumLength;
    this.#decoys = new DecoyHashes({ random, placeOf, ownCost: formatCost() });
  }

  /** The hashes of all users, whenever they change: tries at names without one take as long as theirs. */
  imitate(hashes: Iterable<Secret>): void {
    this.#decoys.imitate(hashes);
  }

  /**
   * A turn for all comparisons of one try, so that a try never waits twice and none that was begun is lost between
   * them. Rejects `busy` when too many wait.
   */
  inTurn<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    return this.queue.run(turn, work);
  }

  /** `compare` in a turn of its own. */
  verify(password: Secret, username: string, stored: Secret | undefined, turn: Turn): Promise<boolean> {
    return this.inTurn(turn, () => this.compare(password, username, stored));
  }

  /**
   * Is it this hash's password? Only in a turn. With `stored` undefined the work of another user's hash ends in false.
   * Rejects `internal` for a hash nobody could have made.
   */
  async compare(password: Secret, username: string, stored: Secret | undefined): Promise<boolean> {
    // Looked up for every name, so that the looking tells nothing.
    const decoy = this.#decoys.forName(username);
    const phc = requirePhc((stored ?? decoy).expose());
    const message = Buffer.from(password.expose(), 'utf8');
    // Too long is wrong, but costs what any wrong one costs.
    const tooLong = message.length > passwordBytesMax;
    const tag = await hash('argon2id', {
      ...phc.cost,
      message: tooLong ? message.subarray(0, passwordBytesMax) : message,
      nonce: phc.salt,
      tagLength: phc.tag.length,
    });
    return timingSafeEqual(tag, phc.tag) && stored !== undefined && !tooLong;
  }

  /**
   * A new password as a PHC string; whoever asks through a node takes turns with the logins. Rejects `too-weak` when
   * it is too short, too long or a common one, `busy` when too many wait.
   */
  async hash(password: Secret, username: string, turn?: Turn): Promise<Secret> {
    this.requireGood(password, username);
    const nonce = this.#random(saltBytes);
    const work = (): Promise<Buffer> =>
      hash('argon2id', {
        ...cost,
        message: Buffer.from(password.expose(), 'utf8'),
        nonce,
        tagLength: tagBytes,
      });
    const tag = await (turn === undefined ? work() : this.inTurn(turn, work));
    return new Secret(formatPhc(nonce, tag));
  }

  /** Length and a list of common ones; no rules of composition (NIST SP 800-63B §5.1.1.2). */
  requireGood(password: Secret, username: string): void {
    const text = password.expose();
    const bytes = Buffer.byteLength(text, 'utf8');
    if (text.length < this.#minimumLength) {
      throw new SallyportError('too-weak', `A password needs at least ${this.#minimumLength} characters`, {
        data: { weakness: 'too-short', minimum: this.#minimumLength },
      });
    }
    if (bytes > passwordBytesMax) {
      throw new SallyportError('too-weak', `A password has at most ${passwordBytesMax} bytes`, {
        data: { weakness: 'too-long' },
      });
    }
    const weakness = findGuess(text, username);
    if (weakness !== undefined) {
      throw new SallyportError('too-weak', 'This password is one of the first that attackers try', {
        data: { weakness },
      });
    }
  }
}

/** The schema lets no other pass; a hash that is given without it is our mistake. */
function requirePhc(text: string): Phc {
  const phc = parsePhc(text);
  if (phc !== undefined) return phc;
  throw new SallyportError('internal', 'Something went wrong on our side', {
    detail: 'a password hash is not an argon2id PHC string',
    hint: 'Set the password again with `sallyport users passwd`.',
  });
}

/** https://github.com/P-H-C/phc-string-format: base64 without padding. */
function formatPhc(salt: Buffer, tag: Buffer): string {
  const text = (octets: Buffer): string => octets.toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$${formatCost()}$${text(salt)}$${text(tag)}`;
}

function formatCost(): string {
  return `m=${cost.memory},t=${cost.passes},p=${cost.parallelism}`;
}
