import { nameOfNoHash, schemeUnder } from '#main-agent/users/hash-book.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import type { AskVault } from '#main-agent/vault/calls.ts';
import { comparedNameMax, passwordBytesMax } from '#main-agent/vault/limits.ts';
import { countCosts } from '#main-agent/vault/process/decoy-hashes.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { findGuess } from './common-passwords.ts';
import { HashQueue, type HashQueueOptions, type Turn } from './hash-queue.ts';
import { hashesAtOnceMax } from './limits.ts';

/**
 * Passwords: whose turn it is, and what makes a good one. They are hashed and compared in the vault's process, where
 * every try costs the same work, whether the user exists, has a password or not (S-07).
 */

export interface PasswordHasher {
  /** The name of its hash. Rejects, with a reason for the user, when the password is too weak for this name. */
  hash(password: Secret, username: string): Promise<Secret>;
  /** What to store of another system's hash. Rejects `config` with what is wrong with it, never its text. */
  takeOver(foreign: Secret): Promise<Secret>;
  /** Why it would not be taken over. */
  findProblem(foreign: Secret): Promise<string | undefined>;
  /** Under which hashes may be sealed that are given to be taken over (`hash-box.ts`). */
  boxKey(): Promise<string>;
}

export class Passwords {
  readonly queue: HashQueue;
  readonly #ask: AskVault;
  readonly #minimumLength: number;

  constructor(
    dependencies: Omit<HashQueueOptions, 'atOnceMax' | 'random'> & {
      readonly ask: AskVault;
      readonly minimumLength: number;
    },
  ) {
    const { ask, clock, minimumLength, onNoTurn } = dependencies;
    this.queue = new HashQueue({ atOnceMax: hashesAtOnceMax, clock, ...(onNoTurn && { onNoTurn }) });
    this.#ask = ask;
    this.#minimumLength = minimumLength;
  }

  /**
   * The hashes of all users, whenever they change, and whenever the vault begins anew: tries at names without one take
   * as long as theirs.
   */
  async imitate(hashes: Iterable<Secret>): Promise<void> {
    await this.#ask('imitate-costs', { costs: countCosts(hashes) });
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
    const { isRight } = await this.#ask('compare-password', {
      // Too long is wrong, and stays too long.
      password: password.expose().slice(0, passwordBytesMax + 1),
      // What NFKC makes long is nobody's name, and one more try at a name that nobody has.
      name: foldUsername(username).slice(0, comparedNameMax),
      stored: stored?.expose() ?? nameOfNoHash,
    });
    return isRight;
  }

  /**
   * A new password's hash, by its name; whoever asks through a node takes turns with the logins. Rejects `too-weak` when
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
    return schemeUnder(stored.expose()) === undefined ? undefined : this.#hash(password);
  }

  /** argon2id that costs at least what ours does stays as it is; all else is wrapped. */
  async takeOver(foreign: Secret): Promise<Secret> {
    const { stored } = await this.#ask('take-over-hash', { foreign: foreign.expose() });
    return new Secret(stored);
  }

  async findProblem(foreign: Secret): Promise<string | undefined> {
    const { problem } = await this.#ask('examine-hash', { foreign: foreign.expose() });
    return problem ?? undefined;
  }

  async boxKey(): Promise<string> {
    return (await this.#ask('box-key', {})).key;
  }

  async #hash(password: Secret): Promise<Secret> {
    const { stored } = await this.#ask('hash-password', { password: password.expose() });
    return new Secret(stored);
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
