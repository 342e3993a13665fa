import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { isCommitmentToChange } from '#shared/assertion/account-change.ts';
import { isCommitmentTo } from '#shared/assertion/code-commitment.ts';
import { verifyAssertion, type SigningKey } from '#shared/assertion/verify.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { AccountChange } from '#shared/link/messages.ts';
import type { ClaimedMethod, Protocol, Purpose } from '#shared/login.ts';
import { Secret } from '#shared/secret.ts';
import { assertionIdKeptMs, assertionIdsMax } from './limits.ts';

/**
 * Checks a signed assertion against what main itself recorded (S-01). Every claim that repeats a recorded fact must be
 * equal; decisions are made from the record, never from a claim.
 *
 * Trust: assertion, code and salt come from a node that may be an attacker's.
 */

export interface SignedEvidence {
  readonly assertion: string;
  readonly code?: string | undefined;
  readonly salt?: string | undefined;
  readonly changeSalt?: string | undefined;
}

/** What the assertion must say. Absent facts are not checked. */
export interface ExpectedClaims {
  readonly purpose: Purpose;
  readonly challenge: string;
  readonly nonce: string;
  readonly username: string;
  readonly protocol: Protocol;
  readonly methods: ReadonlySet<string>;
  /** A code must come with it, or must not. */
  readonly withCode: boolean;
  /** It must commit to exactly this; undefined: to nothing. */
  readonly change?: AccountChange;
  /** Where it must have begun; a session's client may move, a login's may not. */
  readonly origin?: {
    readonly factor: 'pwd' | 'key';
    readonly listener: string;
    readonly clientIp: string;
    readonly clientPorts: ReadonlySet<number>;
    readonly agent: string;
  };
}

export class Assertions {
  readonly #audience: string;
  readonly #findSigningKey: (kid: string) => SigningKey | undefined;
  readonly #clock: Clock;
  /** By node, so that none can fill the others' places: `jti` by the time it may be forgotten, oldest first. */
  readonly #seen = new Map<string, Map<string, number>>();

  constructor(dependencies: {
    readonly mainName: string;
    readonly findSigningKey: (kid: string) => SigningKey | undefined;
    readonly clock: Clock;
  }) {
    this.#audience = dependencies.mainName;
    this.#findSigningKey = dependencies.findSigningKey;
    this.#clock = dependencies.clock;
  }

  /** What it proves: the code that came with it, if one must. Rejects `refused` with the reason in its detail. */
  async require(
    evidence: SignedEvidence,
    expected: ExpectedClaims,
    link: Pick<NodeLink, 'node' | 'exporter'>,
  ): Promise<{ readonly code: Secret | undefined; readonly method: ClaimedMethod }> {
    const claims = await verifyAssertion(evidence.assertion, {
      audience: this.#audience,
      node: link.node,
      findKey: this.#findSigningKey,
      nowMs: this.#clock.now(),
    });
    const difference = findDifference(claims, expected, link);
    if (difference !== undefined) throw refuse(`claim ${difference} is not what main recorded`);
    requireChange(claims, evidence, expected.change);
    // After the comparison: what is wrong anyway must not take a place here.
    this.#requireFirstUse(link.node, claims.jti);
    return { code: requireCode(claims, evidence, expected.withCode), method: claims.method };
  }

  /** How many assertions of a node are remembered, of `assertionIdsMax`. */
  countOf(node: string): number {
    return this.#seen.get(node)?.size ?? 0;
  }

  #requireFirstUse(node: string, jti: string): void {
    const now = this.#clock.monotonic();
    const seen = this.#seen.get(node) ?? new Map<string, number>();
    this.#seen.set(node, seen);
    for (const [old, until] of seen) {
      if (until > now) break;
      seen.delete(old);
    }
    if (seen.has(jti)) throw refuse('assertion was used before');
    // Forgetting one that could still be replayed is worse than refusing a login.
    if (seen.size >= assertionIdsMax) throw new SallyportError('busy', 'Too many sign-ins; try again');
    seen.set(jti, now + assertionIdKeptMs);
  }
}

/** The name of the first claim that differs. */
function findDifference(
  claims: AssertionClaims,
  expected: ExpectedClaims,
  link: Pick<NodeLink, 'exporter'>,
): string | undefined {
  if (claims.link !== link.exporter) return 'link';
  if (claims.purpose !== expected.purpose) return 'purpose';
  if (claims.challenge !== expected.challenge) return 'challenge';
  if (claims.nonce !== expected.nonce) return 'nonce';
  if (claims.sub !== expected.username) return 'sub';
  if (claims.protocol !== expected.protocol) return 'protocol';
  if (!expected.methods.has(claims.method)) return 'method';
  const { origin } = expected;
  if (origin !== undefined) {
    if (claims.amr[0] !== origin.factor) return 'amr';
    if (claims.listener !== origin.listener) return 'listener';
    if (claims.client_ip !== origin.clientIp) return 'client_ip';
    if (!origin.clientPorts.has(claims.client_port)) return 'client_port';
    if (claims.agent !== origin.agent) return 'agent';
  }
  const amr = expected.withCode ? 'otp' : undefined;
  if (claims.amr[1] !== amr || claims.amr.length > 2) return 'amr';
  return undefined;
}

/** Signed for this change and no other. */
function requireChange(
  claims: AssertionClaims,
  { changeSalt }: SignedEvidence,
  change: AccountChange | undefined,
): void {
  if (change === undefined) {
    if (claims.change === undefined && changeSalt === undefined) return;
    throw refuse('a change where none is asked for');
  }
  if (claims.change === undefined || changeSalt === undefined) throw refuse('signed for no change');
  if (!isCommitmentToChange(claims.change, changeSalt, change))
    throw refuse('the change is not the committed one');
}

function requireCode(
  claims: AssertionClaims,
  evidence: SignedEvidence,
  withCode: boolean,
): Secret | undefined {
  const { code, salt } = evidence;
  if (!withCode) {
    if (code === undefined && salt === undefined && claims.code_commit === undefined) return undefined;
    throw refuse('a code where none was asked');
  }
  if (code === undefined || salt === undefined || claims.code_commit === undefined)
    throw refuse('no code where one was asked');
  const secret = new Secret(code);
  if (!isCommitmentTo(claims.code_commit, salt, secret)) throw refuse('the code is not the committed one');
  return secret;
}

function refuse(detail: string): SallyportError {
  return new SallyportError('refused', 'Sign-in refused', { detail: `assertion: ${detail}` });
}
