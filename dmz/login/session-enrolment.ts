import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { SallyportError } from '#shared/error.ts';
import type { SessionView } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import { toAgain } from './again.ts';
import type { Evidence, Proof } from './assertion-writer.ts';
import { sessionTimeoutMs } from './limits.ts';
import type { LiveSession } from './live-sessions.ts';
import type { Admitted, Enrolment } from './login-service.ts';

/**
 * Setting up an authenticator from inside a session. The secret is made on main and passes through here once, to be
 * shown; what is proven is signed like a login, with purpose `enrol`.
 */
export function buildSessionEnrolment(options: {
  readonly live: LiveSession;
  readonly request: MainLink['request'];
  readonly write: (proof: Proof, binding: LinkBinding) => Promise<Evidence>;
  /** The session goes on under a new id. */
  readonly renew: (view: SessionView) => Admitted;
}): Enrolment {
  const { live, request } = options;
  const session = live.view.session;
  const timing = { timeoutMs: sessionTimeoutMs };

  return {
    async start() {
      live.pendingProof = undefined;
      return request('enrol.start', { session }, timing);
    },

    async confirm() {
      const { proveWithinMs, challenge, nonce } = await request('enrol.confirm', { session }, timing);
      live.pendingProof = { challenge, nonce };
      return { proveWithinMs };
    },

    async prove(untrustedCode) {
      const pending = live.pendingProof;
      if (pending === undefined)
        throw new SallyportError('setup-not-confirmed', 'Scan the code and confirm it first');
      const digits = untrustedCode.expose().replace(/[\s-]/g, '');
      if (!/^([0-9]{6}|[0-9]{8})$/.test(digits))
        throw new SallyportError('bad-request', 'Type the digits the app shows');
      const proof: Proof = { purpose: 'enrol', method: 'totp', ...pending, code: new Secret(digits) };
      const result = await request(
        'enrol.prove',
        async (binding) => ({ session, ...(await options.write(proof, binding)) }),
        timing,
      );
      if (result.outcome === 'again') return toAgain(result);
      live.pendingProof = undefined;
      const { recoveryCodes, requiredOn, view } = result;
      return { outcome: 'enrolled', recoveryCodes, requiredOn, admitted: options.renew(view) };
    },
  };
}
