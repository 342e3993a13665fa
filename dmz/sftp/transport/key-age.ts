import { idleRekeyRate, rekeyBytes, rekeyMs, rekeyTrafficBytes } from '#dmz/sftp/limits.ts';
import { Rate } from '#shared/rate.ts';

/**
 * How long and for how much the present keys have been used (RFC 4253 §9: one gigabyte, one hour), and whether the
 * client exchanges keys without need: each exchange costs us three public-key operations.
 */
export class KeyAge {
  #since: number;
  #bytes = 0;
  readonly #idleExchanges: Rate;

  constructor(now: number) {
    this.#since = now;
    this.#idleExchanges = new Rate(idleRekeyRate, now);
  }

  count(bytes: number): void {
    this.#bytes += bytes;
  }

  isDue(now: number): boolean {
    return this.#bytes >= rekeyBytes || now - this.#since >= rekeyMs;
  }

  renew(now: number): void {
    this.#since = now;
    this.#bytes = 0;
  }

  /** The client asks for new keys. False: it does so too often. */
  mayRenew(now: number): boolean {
    return this.#bytes >= rekeyTrafficBytes || this.#idleExchanges.take(now);
  }
}
