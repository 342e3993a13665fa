import { argon2, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { SaltedScheme } from '#main-agent/users/foreign-hash.ts';
import { SallyportError } from '#shared/error.ts';
import type { CryptReply, CryptRequest } from './crypt-thread.ts';

/**
 * What another system would have stored of a password. PBKDF2 and argon2 are Node's own; bcrypt and SHA-crypt are
 * JavaScript and take a tenth of a second to two, so a thread computes them. There are as many threads as tags are
 * asked for at once, which whoever asks bounds.
 */

const computeArgon2 = promisify(argon2);
const computePbkdf2 = promisify(pbkdf2);

export class ForeignTags {
  readonly #idle: CryptThread[] = [];

  /** As `ForeignHash.tag` has it. Rejects `internal` when it could not be computed. */
  async compute({ scheme, salt }: SaltedScheme, password: Buffer): Promise<Buffer> {
    switch (scheme.kind) {
      case 'argon2i':
      case 'argon2d':
      case 'argon2id':
        return computeArgon2(scheme.kind, {
          ...scheme.cost,
          message: password,
          nonce: salt,
          tagLength: scheme.tagBytes,
        });
      case 'pbkdf2-sha1':
      case 'pbkdf2-sha256':
      case 'pbkdf2-sha512':
        return computePbkdf2(password, salt, scheme.rounds, scheme.tagBytes, scheme.kind.slice(7));
      case 'bcrypt':
      case 'sha256-crypt':
      case 'sha512-crypt':
        return Buffer.from(
          await this.#ask({ kind: scheme.kind, rounds: scheme.rounds, salt, password }),
          'latin1',
        );
    }
  }

  async #ask(request: CryptRequest): Promise<CryptReply> {
    const thread = this.#idle.pop() ?? new CryptThread();
    const reply = await thread.ask(request);
    this.#idle.push(thread);
    return reply;
  }
}

/** One question at a time. */
class CryptThread {
  readonly #worker = new Worker(new URL('./crypt-thread.ts', import.meta.url), { name: 'crypt', env: {} });
  #answer: { resolve(reply: CryptReply): void; reject(cause: unknown): void } | undefined;

  constructor() {
    this.#worker.on('message', (reply: CryptReply) => this.#answer?.resolve(reply));
    this.#worker.on('error', (cause) => this.#answer?.reject(failed(cause)));
    this.#worker.on('exit', () => this.#answer?.reject(failed(new Error('the thread ended'))));
  }

  /** Rejects once, and then for good. */
  async ask(request: CryptRequest): Promise<CryptReply> {
    // An idle thread must not keep the process.
    this.#worker.ref();
    try {
      return await new Promise((resolve, reject) => {
        this.#answer = { resolve, reject };
        this.#worker.postMessage(request);
      });
    } finally {
      this.#answer = undefined;
      this.#worker.unref();
    }
  }
}

function failed(cause: unknown): SallyportError {
  return new SallyportError('internal', 'Something went wrong on our side', {
    detail: 'a password hash of another system could not be computed',
    cause,
  });
}
