import type { Audit } from '#main-agent/state/audit-record.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Caller } from '#main-agent/administrator.ts';
import { Throttle } from './throttle.ts';
import { readBearer } from './token-text.ts';
import type { Tokens } from './tokens.ts';

/**
 * Who calls. A token says it, on the socket as well. Without one the socket's callers are admins, under the name they
 * state and nobody checks (`socket:<name>`), unless `socket_tokens: required`; over TLS nobody is anything.
 *
 * Trust: headers are strangers' bytes until the token is known.
 */

/** Where a call came from: the socket, or the address of a TLS client. */
export type CallSource = { readonly kind: 'socket' } | { readonly kind: 'tls'; readonly ip: string };

interface StatedIdentity {
  readonly authorization: string | undefined;
  /** `Sallyport-Actor`. */
  readonly name: string | undefined;
}

export class Authentication {
  readonly #options: {
    readonly tokens: Pick<Tokens, 'judge'>;
    readonly socketTokens: 'optional' | 'required';
    readonly audit: Audit;
    readonly clock: Clock;
  };
  readonly #throttle: Throttle;

  constructor(options: {
    readonly tokens: Pick<Tokens, 'judge'>;
    readonly socketTokens: 'optional' | 'required';
    readonly audit: Audit;
    readonly clock: Clock;
  }) {
    this.#options = options;
    this.#throttle = new Throttle(options.clock);
  }

  /** Rejects `not-authenticated` or `rate-limited`; what it refuses is in the audit. */
  async identify(stated: StatedIdentity, source: CallSource, what: string): Promise<Caller> {
    const waitMs = source.kind === 'tls' ? this.#throttle.waitMs(source.ip) : undefined;
    if (waitMs !== undefined) {
      throw new SallyportError('rate-limited', 'Too many wrong tokens; wait a little', {
        data: { retryAfterMs: Math.ceil(waitMs) },
      });
    }
    const { authorization } = stated;
    if (authorization === undefined) {
      if (source.kind === 'socket' && this.#options.socketTokens === 'optional')
        return { actor: `socket:${statedName(stated.name)}`, role: 'admin' };
      throw await this.#refuse('no token', source, what);
    }
    const text = readBearer(authorization);
    const verdict =
      text === undefined ? ({ ok: false, why: 'not a token' } as const) : this.#options.tokens.judge(text);
    if (verdict.ok) return verdict.caller;
    throw await this.#refuse(verdict.why, source, what, 'id' in verdict ? verdict.id : undefined);
  }

  async #refuse(why: string, source: CallSource, what: string, token?: string): Promise<SallyportError> {
    const { audit, clock } = this.#options;
    if (source.kind === 'tls') this.#throttle.failed(source.ip);
    await audit.append({
      time: new Date(clock.now()).toISOString(),
      event: 'admin.refused',
      outcome: 'refused',
      actor: token === undefined ? 'nobody' : `token:${token}`,
      ...(source.kind === 'tls' && { clientIp: source.ip }),
      rule: what.slice(0, 200),
      detail: why,
    });
    return new SallyportError('not-authenticated', 'A token is needed', {
      // To a stranger an unknown token and an expired one are the same.
      hint: 'sallyport --token-file <file>; tokens are made with `sallyport tokens add`',
    });
  }
}

function statedName(name: string | undefined): string {
  return name !== undefined && /^[A-Za-z0-9._@-]{1,64}$/.test(name) ? name : 'unknown';
}
