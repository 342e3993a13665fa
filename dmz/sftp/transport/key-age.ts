import { idleRekeysMax, rekeyBytes, rekeyMs, rekeyTrafficBytes } from '#dmz/sftp/limits.ts';

/**
 * How long and for how much the present keys have been used (RFC 4253 §9: one gigabyte, one hour), and whether the
 * client exchanges keys without need: each exchange costs us three public-key operations.
 */
export class KeyAge {
  #since: number;
  #bytes = 0;
  #idleExchanges = 0;

  constructor(now: number) {
    this.#since = now;
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
  mayRenew(): boolean {
    if (this.#bytes < rekeyTrafficBytes) this.#idleExchanges += 1;
    return this.#idleExchanges <= idleRekeysMax;
  }
}
