import type { RandomBytes } from '#shared/random-id.ts';
import { argon2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { formatCost } from '#main-agent/users/argon2-text.ts';
import { readForeignHash } from '#main-agent/users/foreign-hash.ts';
import { formatPhc, parsePhc, type Phc } from '#main-agent/users/phc.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { findGuess } from './common-passwords.ts';
import { DecoyHashes, type NamePlace } from './decoy-hashes.ts';
import { ForeignTags } from './foreign-tags.ts';
import { HashQueue, type HashQueueOptions, type Turn } from './hash-queue.ts';
import { hashesAtOnceMax, passwordBytesMax } from './limits.ts';

/**
 * Passwords: argon2id (RFC 9106) in PHC strings. Every try costs the same work, whether the user exists, has a
 * password or not (S-07). What came from another system is argon2id over that system's hash, until the password is
 * given for the first time.
 */

export interface PasswordHasher {
  /** PHC string. Rejects, with a reason for the user, when the password is too weak for this name. */
  hash(password: Secret, username: string): Promise<Secret>;
  /** What to store of another system's hash. Rejects `config` with what is wrong with it, never its text. */
  takeOver(foreign: Secret): Promise<Secret>;
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
  readonly #foreign = new ForeignTags();

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
    this.#decoys = new DecoyHashes({ random, placeOf, ownCost: formatCost(cost) });
  }

  /** The hashes of all users, whenever they change: tries at names without one take as long as theirs. */
  imitate(hashes: Iterable<Secret>): void {
    this.#decoys.imitate(hashes);
  }

  async close(): Promise<void> {
    await this.#foreign.close();
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
    const looked = tooLong ? message.subarray(0, passwordBytesMax) : message;
    const tag = await hash('argon2id', {
      ...phc.cost,
      message: phc.over === undefined ? looked : await this.#foreign.compute(phc.over, looked),
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
    return turn === undefined ? this.#hash(password) : this.inTurn(turn, () => this.#hash(password));
  }

  /**
   * What a right password is to be stored as from now on; undefined: as it is. Only in a turn. Weak ones are taken, too:
   * it is the password the user has.
   */
  async renew(password: Secret, stored: Secret): Promise<Secret | undefined> {
    return requirePhc(stored.expose()).over === undefined ? undefined : this.#hash(password);
  }

  /** argon2id that costs at least what ours does stays as it is; all else is wrapped. */
  async takeOver(foreign: Secret): Promise<Secret> {
    const read = readForeignHash(foreign.expose());
    if ('problem' in read)
      throw new SallyportError('config', `The password is not taken over: ${read.problem}`);
    const { scheme, salt, tag } = read.hash;
    if (scheme.kind === 'argon2id' && isGoodEnough(scheme.cost))
      return new Secret(formatPhc({ over: undefined, cost: scheme.cost, salt, tag }));
    return new Secret(await this.#wrap(tag, { scheme, salt }));
  }

  async #hash(password: Secret): Promise<Secret> {
    return new Secret(await this.#wrap(Buffer.from(password.expose(), 'utf8'), undefined));
  }

  async #wrap(message: Buffer, over: Phc['over']): Promise<string> {
    const salt = this.#random(saltBytes);
    const tag = await hash('argon2id', { ...cost, message, nonce: salt, tagLength: tagBytes });
    return formatPhc({ over, cost, salt, tag });
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

function isGoodEnough({ memory, passes }: Phc['cost']): boolean {
  return memory >= cost.memory && memory * passes >= cost.memory * cost.passes;
}
