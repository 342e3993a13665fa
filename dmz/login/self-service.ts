import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { commitToChange, purposeOf } from '#shared/assertion/account-change.ts';
import type { AccountChange, SessionView } from '#shared/link/messages.ts';
import { SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import type { Evidence, Proof } from './assertion-writer.ts';
import { recogniseShape } from './code-shape.ts';
import { loginTimeoutMs, sessionTimeoutMs } from './limits.ts';
import type { Admitted, Changed, SelfService, StepUpAgain } from './login-service.ts';

/** Step-ups and endings of one session. What the user typed to prove a change is signed for it and kept nowhere. */
export function buildSelfService(options: {
  readonly session: string;
  readonly request: MainLink['request'];
  readonly write: (proof: Proof, binding: LinkBinding) => Promise<Evidence>;
  /** Of the session, whatever request of it asks. */
  readonly turn: { isChanging: boolean };
  /** The session goes on under a new id. */
  readonly renew: (view: SessionView) => Admitted;
}): SelfService {
  const { session, request, turn } = options;
  const timing = { timeoutMs: sessionTimeoutMs };

  /** One step-up: opened, signed for this change alone, judged. */
  async function stepUp(
    change: AccountChange,
    { current, code: typed }: { readonly current: Secret; readonly code: Secret | undefined },
  ): Promise<StepUpAgain | Changed> {
    const purpose = purposeOf(change);
    const { challenge, nonce, shapes } = await request('account.step-up', { session, purpose }, timing);
    const isCodeDue = shapes.length > 0;
    if (isCodeDue && typed === undefined) return { outcome: 'again', reason: 'code-required' };
    const code = isCodeDue && typed !== undefined ? recogniseShape(typed, shapes) : undefined;
    // What has no offered shape can't be right; it goes no further, and counts for nobody.
    if (isCodeDue && code === undefined) return { outcome: 'again', reason: 'wrong-code' };
    const commitment = commitToChange(change);
    const proof: Proof = {
      purpose,
      challenge,
      nonce,
      change: commitment.commitment,
      method: code === undefined ? 'none' : code.shape === 'recovery' ? 'recovery' : 'totp',
      ...(code !== undefined && { code: code.code }),
    };
    const result = await request(
      'account.change',
      async (binding) => ({
        session,
        change,
        changeSalt: commitment.salt,
        current: current.expose(),
        ...(await options.write(proof, binding)),
      }),
      { timeoutMs: loginTimeoutMs },
    );
    if (result.outcome === 'again') {
      const { reason, attemptsLeft, driftSeconds } = result;
      return {
        outcome: 'again',
        reason,
        attemptsLeft,
        ...(driftSeconds !== undefined && { driftSeconds }),
      };
    }
    const { view, recoveryCodes, sshKey } = result;
    return { outcome: 'changed', admitted: options.renew(view), recoveryCodes, sshKey };
  }

  return {
    sessions: async () => (await request('account.sessions', { session }, timing)).sessions,
    leases: async () => (await request('account.leases', { session }, timing)).leases,
    devices: async () => (await request('account.devices', { session }, timing)).devices,
    sshKeys: async () => (await request('account.ssh-keys', { session }, timing)).sshKeys,

    async end(what, id) {
      await request('account.end', { session, what, id }, timing);
    },

    async change(wanted, proof) {
      // Main keeps one step-up a session: the proof of the first would fail as if this node had forged it.
      if (turn.isChanging)
        throw new SallyportError('conflict', 'Something else is being changed right now; try again');
      turn.isChanging = true;
      try {
        return await stepUp(wanted, proof);
      } finally {
        turn.isChanging = false;
      }
    },
  };
}
