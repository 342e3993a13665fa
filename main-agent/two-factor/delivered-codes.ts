import { timingSafeEqual } from 'node:crypto';
import type { StoredDeliveredCode } from '#main-agent/state/factor-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { randomId, type RandomBytes } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { deliverWithin, type CodeDelivery, type Transport } from './code-delivery.ts';
import {
  deliveredCodesMax,
  rememberedUsedMax,
  transportFallbackMs,
  transportLastMs,
  usedKnownMs,
} from './limits.ts';
import { SendLimits } from './send-limits.ts';
import { canonicalCode, makeDeliveredCode, type DeliveredCharset } from './typed-codes.ts';

/**
 * One-time codes by mail or text message (D-20). A code is bound to user, node, protocol and client address; a further
 * login with the same four joins the living code instead of sending another, also after a restart of main: what was
 * sent is durable before anybody is asked for it, as an HMAC under the vault key. So is its use (`use-code`).
 */

interface DeliveredSettings {
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
interface DeliveryView {
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
  readonly fingerprint: string;
  readonly ttlMs: number;
  /** On the steady clock. */
  readonly sentAtMs: number;
  transport: Transport;
  /** Masked address. */
  hint: string;
  sending: Promise<void>;
}

type DeliveredMatch =
  /** `evidence` spends it. */
  | { readonly kind: 'right'; readonly id: string; readonly method: Transport; readonly evidence: Change }
  | { readonly kind: 'used' | 'wrong' };

export class DeliveredCodes {
  readonly #settings: DeliveredSettings;
  readonly #delivery: CodeDelivery;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: RandomBytes;
  readonly #fallbackMs: number;
  readonly #state: Pick<StateStore, 'commit' | 'read'>;
  readonly #fingerprint: (code: Secret, username: string, id: string) => string;
  readonly #living = new BoundedMap<LivingCode>(deliveredCodesMax);
  /** By binding, of the ones used up last. */
  readonly #used = new BoundedMap<Pick<LivingCode, 'id' | 'fingerprint'>>(rememberedUsedMax);
  readonly #limits: SendLimits;

  constructor(dependencies: {
    readonly settings: DeliveredSettings;
    readonly delivery: CodeDelivery;
    readonly state: Pick<StateStore, 'commit' | 'read'>;
    /** HMAC of a canonical code under a key that the vault derived. */
    readonly fingerprint: (code: Secret, username: string, id: string) => string;
    readonly clock: Clock;
    readonly log: Log;
    readonly random: RandomBytes;
    readonly fallbackMs?: number;
  }) {
    this.#settings = dependencies.settings;
    this.#delivery = dependencies.delivery;
    this.#state = dependencies.state;
    this.#fingerprint = dependencies.fingerprint;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#random = dependencies.random;
    this.#limits = new SendLimits(dependencies.clock);
    this.#fallbackMs = dependencies.fallbackMs ?? transportFallbackMs;
  }

  /** Takes over what was sent before a restart: living codes, used ones, and what counts against the sends. */
  async start(): Promise<void> {
    for (const code of await this.#state.read('delivered-codes', { nowMs: this.#clock.now() })) {
      const agoMs = this.#clock.now() - code.sentAtMs;
      const sentAtMs = this.#clock.monotonic() - Math.max(0, agoMs);
      this.#limits.note(code.username, sentAtMs);
      const binding = bindingOf(code);
      // Oldest first: a newer code of the same four takes the place of what the older one left.
      this.#living.delete(binding);
      this.#used.delete(binding);
      if (code.isUsed) this.#used.set(binding, code);
      // Sent in the future: the clock went back, and nobody knows how old it is.
      else if (agoMs >= 0 && code.expiresAtMs > this.#clock.now()) {
        const { id, fingerprint, transport, hint } = code;
        const ttlMs = code.expiresAtMs - code.sentAtMs;
        this.#living.set(binding, {
          id,
          fingerprint,
          ttlMs,
          sentAtMs,
          transport,
          hint,
          sending: Promise.resolve(),
        });
      }
    }
  }

  /** Whether a code could be delivered to anybody. */
  get isConfigured(): boolean {
    return this.#settings.transports.length > 0;
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

  /** Until the next send to this user is possible. */
  waitMs(username: string): number {
    return this.#limits.waitMs(username);
  }

  view(recipient: Recipient): DeliveryView {
    const living = this.#alive(recipient);
    const [first] = this.transportsFor(recipient).map(masked);
    const shown = living ?? first;
    if (shown === undefined) throw failed('no address');
    const agoMs = living === undefined ? undefined : this.#clock.monotonic() - living.sentAtMs;
    const ttlMs = living?.ttlMs ?? recipient.ttlMs ?? this.#settings.ttlMs;
    return {
      method: shown.transport,
      hint: shown.hint,
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
    if (living !== undefined && this.#isOf(living, recipient, typed)) {
      const { id, transport } = living;
      const evidence: Change = {
        kind: 'use-code',
        user: recipient.username,
        id,
        expiresAtMs: this.#clock.now() + usedKnownMs,
      };
      return { kind: 'right', id, method: transport, evidence };
    }
    const used = this.#used.get(binding);
    return { kind: used !== undefined && this.#isOf(used, recipient, typed) ? 'used' : 'wrong' };
  }

  /** It was used up: everybody who joined it hears `used-code` from now on. */
  forget(recipient: Recipient, id: string): void {
    const binding = bindingOf(recipient);
    const living = this.#living.get(binding);
    if (living?.id !== id) return;
    this.#living.delete(binding);
    this.#used.set(binding, living);
  }

  #isOf(code: Pick<LivingCode, 'id' | 'fingerprint'>, { username }: Recipient, typed: Secret): boolean {
    const fingerprint = this.#fingerprint(typed, username, code.id);
    // Both are SHA-256 as base64url.
    return timingSafeEqual(Buffer.from(fingerprint), Buffer.from(code.fingerprint));
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
    const id = `delivered:${randomId()}`;
    const code = new Secret(makeDeliveredCode(this.#settings.length, this.#settings.charset, this.#random));
    const living: LivingCode = {
      id,
      fingerprint: this.#fingerprint(code, recipient.username, id),
      ttlMs: recipient.ttlMs ?? this.#settings.ttlMs,
      sentAtMs,
      ...masked(first),
      sending: Promise.resolve(),
    };
    this.#living.set(binding, living);
    // Noted before it is sent: ten logins at once must not become ten mails.
    this.#limits.note(recipient.username, sentAtMs);
    living.sending = this.#trySend(recipient, living, code, ways).then(() => this.#keep(recipient, living));
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
    code: Secret,
    ways: readonly { transport: Transport; address: string }[],
  ): Promise<void> {
    const reasons: string[] = [];
    for (const [index, way] of ways.entries()) {
      const isLast = index === ways.length - 1;
      try {
        const { username, clientIp } = recipient;
        const message = { username, ...way, code, clientIp, expiresInMs: living.ttlMs };
        await deliverWithin(this.#delivery, message, isLast ? transportLastMs : this.#fallbackMs);
        Object.assign(living, masked(way));
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

  /** After it was accepted: a code that never left, or one that main died over, is sent anew by the next login. */
  async #keep(recipient: Recipient, living: LivingCode): Promise<void> {
    const { id, fingerprint, ttlMs, transport, hint } = living;
    const { username, node, protocol, clientIp } = recipient;
    const sentAtMs = this.#clock.now() - (this.#clock.monotonic() - living.sentAtMs);
    const code: StoredDeliveredCode = {
      id,
      username,
      node,
      protocol,
      clientIp,
      fingerprint,
      transport,
      hint,
      sentAtMs,
      expiresAtMs: sentAtMs + ttlMs,
      isUsed: false,
    };
    await this.#state.commit([{ kind: 'keep-delivered-code', code }]);
  }
}

/** `a…@example.com`, `…4567`: enough to know where to look, not enough to learn the address. */
export function maskAddress(transport: Transport, address: string): string {
  if (transport === 'sms') return `…${address.slice(-2)}`;
  const at = address.lastIndexOf('@');
  return `${address.slice(0, 1)}…${address.slice(at)}`;
}

function masked(way: { readonly transport: Transport; readonly address: string }): {
  readonly transport: Transport;
  readonly hint: string;
} {
  return { transport: way.transport, hint: maskAddress(way.transport, way.address) };
}

function bindingOf(recipient: Pick<Recipient, 'username' | 'node' | 'protocol' | 'clientIp'>): string {
  return JSON.stringify([recipient.username, recipient.node, recipient.protocol, recipient.clientIp]);
}

function failed(detail: string): SallyportError {
  return new SallyportError('delivery-failed', 'The code could not be sent', {
    detail,
    hint: 'Run `sallyport two-factor test-delivery`, and look at the mail relay or the SMS gateway.',
  });
}
