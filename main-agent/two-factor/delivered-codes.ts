import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import type { CodeDelivery, Transport } from './code-delivery.ts';
import { deliveredCodesMax, rememberedUsedMax, transportFallbackMs, transportLastMs } from './limits.ts';
import type { RandomBytes } from './random.ts';
import { dropOldest, SendLimits } from './send-limits.ts';
import { canonicalCode, makeDeliveredCode, type DeliveredCharset } from './typed-codes.ts';
import { within } from './within.ts';

/**
 * One-time codes by mail or text message. A code is bound to user, node, protocol and client address; a further login
 * with the same four joins the living code instead of sending another. Codes live in memory only: after a restart
 * they are dead, which is the safe side. Using one up is durable (`use-code`), so no copy of main revives it.
 */

export interface DeliveredSettings {
  /** In order of preference. */
  readonly transports: readonly Transport[];
  readonly length: number;
  readonly charset: DeliveredCharset;
  readonly ttlMs: number;
}

export interface Recipient {
  readonly username: string;
  readonly email: string | undefined;
  readonly phone: string | undefined;
  /** The user's own life of a code, if set. */
  readonly ttlMs: number | undefined;
  readonly node: string;
  readonly protocol: string;
  readonly clientIp: string;
}

/** What the prompt may say. */
export interface DeliveryView {
  readonly method: Transport;
  /** Masked address. */
  readonly hint: string;
  readonly resendInMs: number;
  /** Absent: none is alive, nothing was sent now. */
  readonly sentAgoMs: number | undefined;
  /** How long the code, or a login that waits to have one sent, lives. */
  readonly expiresInMs: number;
}

interface LivingCode {
  /** Names it in `use-code`. */
  readonly id: string;
  readonly code: Secret;
  readonly ttlMs: number;
  readonly sentAtMs: number;
  transport: Transport;
  address: string;
  sending: Promise<void>;
}

export type DeliveredMatch =
  | { readonly kind: 'right'; readonly id: string; readonly method: Transport }
  | { readonly kind: 'used' | 'wrong' };

export class DeliveredCodes {
  readonly #settings: DeliveredSettings;
  readonly #delivery: CodeDelivery;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: RandomBytes;
  readonly #fallbackMs: number;
  readonly #living = new Map<string, LivingCode>();
  /** Canonical code by binding, of the ones used up last. */
  readonly #used = new Map<string, Secret>();
  readonly #limits: SendLimits;

  constructor(dependencies: {
    readonly settings: DeliveredSettings;
    readonly delivery: CodeDelivery;
    readonly clock: Clock;
    readonly log: Log;
    readonly random: RandomBytes;
    readonly fallbackMs?: number;
  }) {
    this.#settings = dependencies.settings;
    this.#delivery = dependencies.delivery;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#random = dependencies.random;
    this.#limits = new SendLimits(dependencies.clock);
    this.#fallbackMs = dependencies.fallbackMs ?? transportFallbackMs;
  }

  /** The transports this user could be reached by, in order. Empty: no code can be delivered. */
  transportsFor(recipient: { readonly email: string | undefined; readonly phone: string | undefined }): {
    readonly transport: Transport;
    readonly address: string;
  }[] {
    return this.#settings.transports.flatMap((transport) => {
      const address = transport === 'email' ? recipient.email : recipient.phone;
      return address === undefined ? [] : [{ transport, address }];
    });
  }

  /** Joins the living code, or sends one if the send interval allows. Rejects `delivery-failed`. */
  async request(recipient: Recipient): Promise<DeliveryView> {
    const living = this.#alive(recipient);
    if (living !== undefined) {
      await living.sending;
      return this.view(recipient);
    }
    if (this.#limits.waitMs(recipient.username) > 0) return this.view(recipient);
    await this.#send(recipient);
    return this.view(recipient);
  }

  /** A new code; the older one is void. Rejects `rate-limited` inside the send interval, `delivery-failed`. */
  async resend(recipient: Recipient): Promise<DeliveryView> {
    const waitMs = this.#limits.waitMs(recipient.username);
    if (waitMs > 0) {
      throw new SallyportError('rate-limited', 'A code was sent just now', {
        data: { retryAfterMs: waitMs },
      });
    }
    await this.#send(recipient);
    return this.view(recipient);
  }

  view(recipient: Recipient): DeliveryView {
    const living = this.#alive(recipient);
    const [first] = this.transportsFor(recipient);
    const shown = living ?? first;
    if (shown === undefined) throw failed('no address');
    const agoMs = living === undefined ? undefined : this.#clock.monotonic() - living.sentAtMs;
    const ttlMs = living?.ttlMs ?? recipient.ttlMs ?? this.#settings.ttlMs;
    return {
      method: shown.transport,
      hint: maskAddress(shown.transport, shown.address),
      resendInMs: this.#limits.waitMs(recipient.username),
      sentAgoMs: agoMs,
      expiresInMs: ttlMs - (agoMs ?? 0),
    };
  }

  /** Compares; changes nothing. Right: the caller writes `use-code` with the id, then calls `forget`. */
  match(recipient: Recipient, code: Secret): DeliveredMatch {
    const binding = bindingOf(recipient);
    const typed = new Secret(canonicalCode(code.expose()));
    const living = this.#alive(recipient);
    if (living !== undefined && isSame(living.code, typed)) {
      return { kind: 'right', id: living.id, method: living.transport };
    }
    const used = this.#used.get(binding);
    return { kind: used !== undefined && isSame(used, typed) ? 'used' : 'wrong' };
  }

  /** It was used up: everybody who joined it hears `used-code` from now on. */
  forget(recipient: Recipient, id: string): void {
    const binding = bindingOf(recipient);
    const living = this.#living.get(binding);
    if (living?.id !== id) return;
    this.#living.delete(binding);
    this.#used.delete(binding);
    this.#used.set(binding, living.code);
    dropOldest(this.#used, rememberedUsedMax);
  }

  #alive(recipient: Recipient): LivingCode | undefined {
    const binding = bindingOf(recipient);
    const living = this.#living.get(binding);
    if (living === undefined) return undefined;
    if (this.#clock.monotonic() < living.sentAtMs + living.ttlMs) return living;
    this.#living.delete(binding);
    return undefined;
  }

  async #send(recipient: Recipient): Promise<void> {
    const ways = this.transportsFor(recipient);
    const [first] = ways;
    if (first === undefined) throw failed('no address');
    const binding = bindingOf(recipient);
    const sentAtMs = this.#clock.monotonic();
    const living: LivingCode = {
      id: `delivered:${randomId()}`,
      code: new Secret(makeDeliveredCode(this.#settings.length, this.#settings.charset, this.#random)),
      ttlMs: recipient.ttlMs ?? this.#settings.ttlMs,
      sentAtMs,
      ...first,
      sending: Promise.resolve(),
    };
    this.#living.delete(binding);
    this.#living.set(binding, living);
    dropOldest(this.#living, deliveredCodesMax);
    // Noted before it is sent: ten logins at once must not become ten mails.
    this.#limits.note(recipient.username, sentAtMs);
    living.sending = this.#trySend(recipient, living, ways);
    try {
      await living.sending;
    } catch (error) {
      if (this.#living.get(binding) === living) this.#living.delete(binding);
      this.#limits.forget(recipient.username, sentAtMs);
      throw error;
    }
  }

  async #trySend(
    recipient: Recipient,
    living: LivingCode,
    ways: readonly { transport: Transport; address: string }[],
  ): Promise<void> {
    const reasons: string[] = [];
    for (const [index, way] of ways.entries()) {
      const isLast = index === ways.length - 1;
      try {
        await within(
          this.#delivery.deliver({
            username: recipient.username,
            ...way,
            code: living.code,
            clientIp: recipient.clientIp,
            expiresInMs: living.ttlMs,
          }),
          isLast ? transportLastMs : this.#fallbackMs,
        );
        living.transport = way.transport;
        living.address = way.address;
        return;
      } catch (error) {
        reasons.push(
          `${way.transport}: ${error instanceof SallyportError ? (error.detail ?? error.publicMessage) : String(error)}`,
        );
        this.#log.error(
          { alarm: 'delivery-failed', user: recipient.username, transport: way.transport, err: error },
          'a one-time code could not be sent',
        );
      }
    }
    throw failed(reasons.join('; '));
  }
}

/** `a…@example.com`, `…4567`: enough to know where to look, not enough to learn the address. */
export function maskAddress(transport: Transport, address: string): string {
  if (transport === 'sms') return `…${address.slice(-2)}`;
  const at = address.lastIndexOf('@');
  return `${address.slice(0, 1)}…${address.slice(at)}`;
}

function bindingOf(recipient: Recipient): string {
  return JSON.stringify([recipient.username, recipient.node, recipient.protocol, recipient.clientIp]);
}

function isSame(one: Secret, other: Secret): boolean {
  const left = Buffer.from(one.expose());
  const right = Buffer.from(other.expose());
  return left.length === right.length && timingSafeEqual(left, right);
}

function failed(detail: string): SallyportError {
  return new SallyportError('delivery-failed', 'The code could not be sent', {
    detail,
    hint: 'Run `sallyport two-factor test-delivery`, and look at the mail relay or the SMS gateway.',
  });
}
