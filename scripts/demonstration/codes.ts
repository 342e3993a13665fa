import { decodeBase32 } from '#main-agent/two-factor/base32.ts';
import { defaultTotpSettings, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import { Secret } from '#shared/secret.ts';

/** Between giving a code out and its arrival at main, on a busy machine. */
const marginMs = 10_000;

/** An authenticator app, for one secret. */
export class Authenticator {
  readonly #secret: Secret<Buffer>;
  #lastStep = 0;

  constructor(base32: string) {
    const secret = decodeBase32(base32);
    if (secret === undefined) throw new Error('not a base32 secret');
    this.#secret = new Secret(secret);
  }

  /** What the app shows now. */
  now(): string {
    return this.at(stepAt(Date.now(), defaultTotpSettings));
  }

  at(step: number): string {
    return totpCodeAt(this.#secret, step, defaultTotpSettings);
  }

  /**
   * A code that this object has not given out yet, good for at least ten seconds: of the step before, this one or the
   * next, as main accepts them; waits for time to pass when all are spent.
   */
  async next(): Promise<string> {
    for (;;) {
      const current = stepAt(Date.now(), defaultTotpSettings);
      // The step before dies with this one.
      const first = stepAt(Date.now() + marginMs, defaultTotpSettings) === current ? current - 1 : current;
      const step = Math.max(this.#lastStep + 1, first);
      if (step <= current + 1) {
        this.#lastStep = step;
        return this.at(step);
      }
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}
