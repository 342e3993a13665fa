import { type AuditEvent, buildRecord } from '#main-agent/state/audit-record.ts';
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { OwnSealer } from '#main-agent/vault/calls.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { z } from 'zod';
import { openAccount } from './account.ts';
import { orderCertificate, type ChallengeAnswers, type IssuedCertificate } from './order.ts';

/**
 * The certificate of the HTTPS doors, where an authority issues it: ordered, sealed into the state, renewed in time. A
 * renewal that fails leaves the one there is, and is told until one goes well.
 */
interface CertificatesOptions {
  readonly directory: URL;
  readonly email: string;
  readonly names: readonly string[];
  readonly http: OutboundClient;
  readonly challenges: ChallengeAnswers;
  /** Whether a node is there to be asked; an order without one would only be counted against us. */
  readonly isReachable: () => boolean;
  readonly state: Pick<StateStore, 'read' | 'commit'>;
  readonly sealer: OwnSealer;
  /** There is another certificate. */
  readonly onCertificate: (certificate: IssuedCertificate) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface CertificateStanding {
  readonly directory: URL;
  readonly names: readonly string[];
  /** The chain that the nodes serve; undefined: there is none yet. */
  readonly certificatePem: string | undefined;
  /** When its renewal begins. */
  readonly renewFromMs: number | undefined;
  /** Of the last order; undefined when it went well. */
  readonly failure: { readonly why: string; readonly nextTryMs: number } | undefined;
}

/** How often it is looked whether the time has come. */
const lookEveryMs = 60_000;
/** Of its life, after which a certificate is renewed: weeks are left for what goes wrong, or days of a short one. */
const renewAfter = 2 / 3;
/**
 * The vault, where it is away, is back in a tenth of a second, or within ten. An order that is thrown away for its sake
 * counts with the authority, which issues few a week for a name.
 */
const sealTriesMax = 240;
const sealRetryMs = 250;

/** Authorities bear about five failures of a name an hour; each next try waits twice as long. */
const retryMsMin = 5 * 60_000;
const retryMsMax = 12 * 60 * 60_000;
const dayMs = 24 * 60 * 60_000;

const certificateId = 'certificate';

const storedSchema = z.strictObject({
  directory: z.string(),
  names: z.array(z.string()),
  certificatePem: z.string(),
  keyPem: z.string(),
});

interface Held extends IssuedCertificate {
  readonly directory: string;
  readonly names: readonly string[];
}

export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #held: Held | undefined;
  /** Resolves with why it failed; undefined: it went well. */
  #ordering: Promise<unknown> | undefined;
  #failures = 0;
  #failure: string | undefined;
  /** By the monotonic clock, as it is waited for: one that was set back would have it wait for as long. */
  #notBeforeMs = 0;

  constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /** Takes what is stored. Rejects `internal` when it was not sealed with this vault key. */
  async start(): Promise<void> {
    const stored = await this.#read(certificateId);
    if (stored !== undefined) {
      const { keyPem, ...others } = storedSchema.parse(JSON.parse(stored.expose()));
      this.#held = { ...others, keyPem: new Secret(keyPem) };
    }
    this.#timer = setInterval(() => void this.look(), lookEveryMs).unref();
  }

  get current(): IssuedCertificate | undefined {
    return this.#held;
  }

  /** For admins, and whoever judges it. */
  standing(): CertificateStanding {
    const { directory, names, clock } = this.#options;
    const nextTryMs = clock.now() + Math.max(0, this.#notBeforeMs - clock.monotonic());
    const failure = this.#failure === undefined ? undefined : { why: this.#failure, nextTryMs };
    return {
      directory,
      names,
      certificatePem: this.#held?.certificatePem,
      renewFromMs: this.#held === undefined ? undefined : renewalOf(this.#held),
      failure,
    };
  }

  /** What is wrong, for an operator; undefined: nothing. */
  problem(): string | undefined {
    if (this.#failure === undefined) return undefined;
    const { directory, clock } = this.#options;
    const left =
      this.#held === undefined
        ? 'there is none yet'
        : `the present one ends in ${Math.floor((lifeOf(this.#held).toMs - clock.now()) / dayMs)} days`;
    return `no new certificate from ${directory.host} (${left}): ${this.#failure}`;
  }

  /** Orders one when the time has come; resolves when that is over, whatever came of it. */
  async look(): Promise<void> {
    if (this.#ordering === undefined && this.#isDue()) await this.#begin();
    else await this.#ordering;
  }

  /**
   * Orders one now, due or not, whatever failed before; an order that is going on is it. Rejects as the order does, and
   * `link-down` while no node could be asked.
   */
  async renew(): Promise<void> {
    if (!this.#options.isReachable())
      throw new SallyportError('link-down', 'No node is connected that could answer the authority');
    const failure = await (this.#ordering ?? this.#begin());
    if (failure !== undefined) throw toSallyportError(failure);
  }

  #begin(): Promise<unknown> {
    this.#ordering = this.#renew().finally(() => {
      this.#ordering = undefined;
    });
    return this.#ordering;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    await this.#ordering;
  }

  #isDue(): boolean {
    const { clock, isReachable } = this.#options;
    const waits = clock.monotonic() < this.#notBeforeMs;
    if (this.#closing.signal.aborted || waits || !isReachable()) return false;
    if (this.#held === undefined || !this.#isAsConfigured(this.#held)) return true;
    return clock.now() >= renewalOf(this.#held);
  }

  #isAsConfigured(held: Held): boolean {
    const { directory, names } = this.#options;
    return held.directory === directory.href && held.names.join() === names.join();
  }

  async #renew(): Promise<unknown> {
    const { directory, names, clock, log, state, onCertificate } = this.#options;
    try {
      const issued = await this.#order();
      const held = { directory: directory.href, names, ...issued };
      const detail = `${names.join(', ')} by ${directory.host}, until ${new Date(lifeOf(held).toMs).toISOString()}`;
      const stored = JSON.stringify({ ...held, keyPem: issued.keyPem.expose() });
      await state.commit([
        await this.#keep(certificateId, new Secret(stored)),
        this.#audit('certificate.issued', 'ok', detail),
      ]);
      this.#held = held;
      this.#failures = 0;
      this.#failure = undefined;
      log.info({ detail }, 'a new certificate');
      onCertificate(issued);
      return undefined;
    } catch (error) {
      if (this.#closing.signal.aborted) return error;
      const { detail, publicMessage, data } = toSallyportError(error);
      this.#failure = detail ?? publicMessage;
      const waitMs = Math.max(retryMsMin * 2 ** this.#failures, data?.retryAfterMs ?? 0);
      this.#failures += 1;
      this.#notBeforeMs = clock.monotonic() + Math.min(waitMs, retryMsMax);
      log.error({ alarm: 'certificate-renewal', err: error }, 'no new certificate: the old one stays');
      await state
        .commit([this.#audit('certificate.failed', 'failed', `${directory.host}: ${this.#failure}`)])
        .catch((cause: unknown) => log.error({ err: cause }, 'not audited'));
      return error;
    }
  }

  async #order(): Promise<IssuedCertificate> {
    const { directory, email, names, http, challenges, clock } = this.#options;
    const { signal } = this.#closing;
    const key = await this.#accountKey();
    const account = await openAccount({ directory, key, email, http, clock, signal });
    const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal });
    return orderCertificate({ account, names, challenges, clock, wait });
  }

  /** One for each authority, stored before it is used: an account whose key is lost can't be closed. */
  async #accountKey(): Promise<KeyObject> {
    const id = `account ${this.#options.directory.href}`;
    const stored = await this.#read(id);
    if (stored !== undefined) return createPrivateKey(stored.expose());
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    await this.#options.state.commit([await this.#keep(id, new Secret(pem))]);
    return privateKey;
  }

  async #read(id: string): Promise<Secret | undefined> {
    const { state, sealer } = this.#options;
    const record = (await state.read('kept-acme')).find((one) => one.id === id);
    return record === undefined ? undefined : sealer.open(id, record.sealed);
  }

  async #keep(id: string, plain: Secret) {
    const sealed = await this.#seal(id, plain);
    return { kind: 'keep-record', list: 'acme', record: { id, sealed } } as const;
  }

  /** Waits for a vault that is away, for a minute. */
  async #seal(id: string, plain: Secret): Promise<string> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#options.sealer.seal(id, plain);
      } catch (error) {
        if (!isSallyportError(error, 'busy') || tries >= sealTriesMax) throw error;
        await sleep(sealRetryMs, undefined, { signal: this.#closing.signal });
      }
    }
  }

  #audit(event: AuditEvent, outcome: 'ok' | 'failed', detail: string) {
    const record = buildRecord(this.#options, event, outcome, { actor: 'system', detail });
    return { kind: 'audit', record } as const;
  }
}

function renewalOf(certificate: IssuedCertificate): number {
  const { fromMs, toMs } = lifeOf(certificate);
  return fromMs + (toMs - fromMs) * renewAfter;
}

function lifeOf({ certificatePem }: IssuedCertificate): { readonly fromMs: number; readonly toMs: number } {
  const { validFromDate, validToDate } = new X509Certificate(certificatePem);
  return { fromMs: validFromDate.getTime(), toMs: validToDate.getTime() };
}
