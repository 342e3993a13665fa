import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { SallyportError } from '#shared/error.ts';
import type { SessionView } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import { toAgain } from './again.ts';
import type { Evidence, Proof } from './assertion-writer.ts';
import { sessionTimeoutMs } from './limits.ts';
import type { Admitted, Enrolment } from './login-service.ts';

/**
 * Setting up an authenticator from inside a session. The secret is made on main and passes through here once, to be
 * shown; what is proven is signed like a login, with purpose `enrol`.
 */
export function buildSessionEnrolment(options: {
  readonly session: string;
  readonly request: MainLink['request'];
  readonly write: (proof: Proof, binding: LinkBinding) => Promise<Evidence>;
  /** The session goes on under a new id. */
  readonly renew: (view: SessionView) => Admitted;
}): Enrolment {
  const { session, request } = options;
  const timing = { timeoutMs: sessionTimeoutMs };

  return {
    start: (ticket) =>
      request(
        'enrol.start',
        ticket === undefined ? { session } : { session, ticket: ticket.expose() },
        timing,
      ),

    async confirm() {
      const { proveWithinMs } = await request('enrol.confirm', { session }, timing);
      return { proveWithinMs };
    },

    async resume() {
      const { proveWithinMs } = await request('enrol.resume', { session }, timing);
      return { proveWithinMs };
    },

    async prove(untrustedCode) {
      const digits = untrustedCode.expose().replace(/[\s-]/g, '');
      if (!/^([0-9]{6}|[0-9]{8})$/.test(digits))
        throw new SallyportError('bad-request', 'Type the digits the app shows');
      // Asked again rather than kept: this may be another worker than the one that confirmed.
      const { challenge, nonce } = await request('enrol.resume', { session }, timing);
      const proof: Proof = { purpose: 'enrol', method: 'totp', challenge, nonce, code: new Secret(digits) };
      const result = await request(
        'enrol.prove',
        async (binding) => ({ session, ...(await options.write(proof, binding)) }),
        timing,
      );
      if (result.outcome === 'again') return toAgain(result);
      const { recoveryCodes, requiredOn, view } = result;
      return { outcome: 'enrolled', recoveryCodes, requiredOn, admitted: options.renew(view) };
    },
  };
}
