import { buildRecord, type Audit } from '#main-agent/state/audit-record.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { Rate } from '#shared/rate.ts';
import { algorithmsOf } from '#shared/ssh-key/algorithms.ts';
import { hostKeyProof, signForSsh } from '#shared/ssh-key/sign.ts';
import { hashExchange } from './exchange.ts';
import type { HostKeys } from './host-keys.ts';
import { signatureRate, toldEveryMs } from './limits.ts';
import { SignedSessions } from './signed-sessions.ts';

/**
 * What main signs for its nodes, and what follows from that: a session id that it did not sign for a node proves nothing
 * on that node, whatever a user signed in it.
 *
 * Trust: a node, which may be an attacker's. It gets signatures of exchanges of this server, at a rate, while its link
 * stands. Each is worth one connection.
 */

/** Who asks. */
interface Asker {
  readonly node: string;
  /** Aborts when the node's process is gone. */
  readonly processGone: AbortSignal;
}

interface Count {
  readonly rate: Rate;
  connections: number;
  renewals: number;
  proofs: number;
  refused: number;
}

export class HostKeySignatures {
  readonly #keys: Pick<HostKeys, 'find' | 'isOfMain'>;
  readonly #isRevoked: (node: string) => boolean;
  readonly #audit: Pick<Audit, 'append'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sessions: SignedSessions;
  /** By node: those of the configuration, and what they were refused. */
  readonly #counts = new Map<string, Count>();
  readonly #timer: NodeJS.Timeout;

  constructor(parts: {
    readonly keys: Pick<HostKeys, 'find' | 'isOfMain'>;
    readonly isRevoked: (node: string) => boolean;
    readonly audit: Pick<Audit, 'append'>;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#keys = parts.keys;
    this.#isRevoked = parts.isRevoked;
    this.#audit = parts.audit;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#sessions = new SignedSessions(parts.clock);
    this.#timer = setInterval(() => void this.tell(), toldEveryMs).unref();
  }

  /** Whether a key login may name this session. Of a node with host keys of its own main can't know. */
  isSessionOf({ node, processGone }: Asker, sessionId: Buffer): boolean {
    return !this.#keys.isOfMain(node) || this.#sessions.has(processGone, sessionId);
  }

  /** Rejects `not-allowed`, `not-found`, `bad-request`, `rate-limited`. */
  async sign(
    { algorithm, exchange, isFirst }: Params<'hostkey.sign'>,
    asker: Asker,
  ): Promise<Result<'hostkey.sign'>> {
    return this.#counted(asker, async (count) => {
      const key = this.#keys.find(asker.node, Buffer.from(exchange.hostKey, 'base64url'));
      // Nobody is shown the next one before its turn, and the one before by open connections alone.
      const standing = key?.stored.standing;
      if (key === undefined || !(standing === 'signs' || (standing === 'retired' && !isFirst)))
        throw new SallyportError('not-found', 'No such host key');
      if (!algorithmsOf[key.publicKey.type].includes(algorithm))
        throw new SallyportError('bad-request', 'Not an algorithm of this key');
      const hash = hashExchange(exchange);
      this.#take(count);
      const signature = await signForSsh(algorithm, key.privateKey, hash);
      if (isFirst) this.#sessions.add(asker.processGone, hash);
      if (isFirst) count.connections += 1;
      else count.renewals += 1;
      return { signature: signature.toString('base64url') };
    });
  }

  /** Rejects as `sign`. */
  async prove(
    { keys, rsaAlgorithm, sessionId }: Params<'hostkey.prove'>,
    asker: Asker,
  ): Promise<Result<'hostkey.prove'>> {
    return this.#counted(asker, async (count) => {
      const session = Buffer.from(sessionId, 'base64url');
      // Else a client of another server would learn our keys as that one's.
      if (!this.#sessions.has(asker.processGone, session))
        throw new SallyportError('not-found', 'No such session');
      const found = keys.map((text) => {
        const key = this.#keys.find(asker.node, Buffer.from(text, 'base64url'));
        if (key === undefined || key.stored.standing === 'retired')
          throw new SallyportError('not-found', 'No such host key');
        this.#take(count);
        return key;
      });
      const signing = found.map(async ({ privateKey, publicKey: { blob, type } }) => {
        const algorithm = type === 'ssh-rsa' ? rsaAlgorithm : type;
        const signature = await signForSsh(algorithm, privateKey, hostKeyProof(session, blob));
        return signature.toString('base64url');
      });
      const signatures = await Promise.all(signing);
      count.proofs += signatures.length;
      return { signatures };
    });
  }

  /** Writes down what was signed since the last time: one record a node. */
  async tell(): Promise<void> {
    for (const [node, { connections, renewals, proofs, refused, ...rest }] of this.#counts) {
      if (connections + renewals + proofs + refused === 0) continue;
      this.#counts.set(node, { ...rest, connections: 0, renewals: 0, proofs: 0, refused: 0 });
      const detail = `${connections} connections, ${renewals} renewals of their keys, ${proofs} proofs; ${refused} refused`;
      const record = buildRecord({ clock: this.#clock }, 'hostkeys.signed', 'ok', { node, detail });
      await this.#audit
        .append(record)
        .catch((error: unknown) => this.#log.error({ err: error, node }, 'signatures not audited'));
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.tell();
  }

  async #counted<T>({ node }: Asker, answer: (count: Count) => Promise<T>): Promise<T> {
    const count = this.#countOf(node);
    try {
      this.#require(node);
      const answered = await answer(count);
      this.#require(node);
      return answered;
    } catch (error) {
      count.refused += 1;
      throw error;
    }
  }

  /** Still, too, when it was signed. */
  #require(node: string): void {
    // Its link is closed already; what was on its way is not answered.
    if (this.#isRevoked(node)) throw new SallyportError('not-allowed', 'This node is revoked');
    if (!this.#keys.isOfMain(node))
      throw new SallyportError('not-allowed', 'Main has no host keys for this node', {
        detail: `${node}: host_key is not main in main-agent.yaml`,
      });
  }

  #countOf(node: string): Count {
    const known = this.#counts.get(node);
    if (known !== undefined) return known;
    const rate = new Rate(signatureRate, this.#clock.monotonic());
    const count = { rate, connections: 0, renewals: 0, proofs: 0, refused: 0 };
    this.#counts.set(node, count);
    return count;
  }

  #take({ rate }: Count): void {
    const now = this.#clock.monotonic();
    if (rate.take(now)) return;
    throw new SallyportError('rate-limited', 'Too many connections at once', {
      data: { retryAfterMs: Math.ceil(rate.waitMs(now)) },
    });
  }
}
