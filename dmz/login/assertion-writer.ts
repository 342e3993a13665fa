import type { LinkBinding } from '#dmz/link/main-link.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { commitToCode } from '#shared/assertion/code-commitment.ts';
import { signAssertion } from '#shared/assertion/sign.ts';
import type { Clock } from '#shared/clock.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import type { ClientAddress } from '#shared/link/messages.ts';
import type { ClaimedMethod, Protocol, Purpose } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';

/** What is known of a login where it happens; every assertion of it says the same. */
export interface LoginFacts {
  readonly user: string;
  readonly firstFactor: 'pwd' | 'key';
  readonly protocol: Protocol;
  readonly listener: string;
  readonly client: ClientAddress;
}

/** What one assertion proves. */
export interface Proof {
  readonly purpose: Purpose;
  readonly method: ClaimedMethod;
  readonly challenge: string;
  readonly nonce: string;
  readonly code?: Secret;
  /** What it commits to, if it asks for a change. */
  readonly change?: string;
}

/** The fields of a request that carries evidence; the code and its salt travel beside the assertion. */
export interface Evidence {
  readonly assertion: string;
  readonly code?: string;
  readonly salt?: string;
}

export type AssertionWriter = (facts: LoginFacts, proof: Proof, binding: LinkBinding) => Promise<Evidence>;

/**
 * Holds this node's signing key (D-02): what it signs, this worker really saw (two-factor: main still checks the
 * evidence).
 */
export function buildAssertionWriter(options: {
  readonly node: string;
  readonly signingKeyPem: Secret;
  readonly clock: Clock;
}): AssertionWriter {
  const { privateKey, fingerprint: kid } = parseIdentityKey(options.signingKeyPem);

  return async (facts, proof, binding) => {
    const commitment = proof.code === undefined ? undefined : commitToCode(proof.code);
    const claims: Omit<AssertionClaims, 'jti' | 'iat' | 'exp'> = {
      iss: options.node,
      aud: binding.mainName,
      sub: facts.user,
      challenge: proof.challenge,
      nonce: proof.nonce,
      purpose: proof.purpose,
      amr: proof.code === undefined ? [facts.firstFactor] : [facts.firstFactor, 'otp'],
      method: proof.method,
      ...(commitment !== undefined && { code_commit: commitment.commitment }),
      ...(proof.change !== undefined && { change: proof.change }),
      protocol: facts.protocol,
      client_ip: facts.client.ip,
      client_port: facts.client.port,
      listener: facts.listener,
      agent: facts.client.agent,
      link: binding.exporter,
    };
    const assertion = await signAssertion(claims, { kid, privateKey, nowMs: options.clock.now() });
    if (proof.code === undefined || commitment === undefined) return { assertion };
    return { assertion, code: proof.code.expose(), salt: commitment.salt };
  };
}
