import type { Account } from '#dmz/http-api/account.ts';
import {
  setupProof,
  setupStart,
  type Enrolled,
  type Setup,
  type SetupConfirmed,
  type SetupProgress,
} from '#dmz/http-api/sign-in.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { sendAgain } from './login.ts';
import { setSession } from '#dmz/https/exchange/cookie.ts';
import { sendJson, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { readJson, readOptionalJson, requireNoInput } from '#dmz/https/exchange/json-body.ts';

/** The signed-in user's own account, and setting up the second factor. Confined sessions may use all of this. */

export async function getAccount(exchange: Exchange, session: Admitted): Promise<void> {
  const { twoFactor, may, mounts, quota, session: facts, ...account } = await session.account();
  const { notice } = session.view;
  await sendJson<Account>(exchange, 200, {
    username: account.username,
    display_name: account.displayName,
    state: account.state,
    two_factor: {
      enrolled: twoFactor.enrolled,
      required_on: twoFactor.requiredOn,
      registration: twoFactor.registration,
      may_set_up: twoFactor.maySetUp,
      recovery_codes_left: twoFactor.recoveryCodesLeft,
      ...(twoFactor.requiredFrom === undefined ? {} : { required_from: twoFactor.requiredFrom }),
    },
    may: { password: may.password, ssh_keys: may.sshKeys },
    files: mounts.map(({ path, allow, binMs }) => ({
      path: `/${path.join('/')}`,
      allow,
      ...(binMs === undefined ? {} : { bin_seconds: Math.floor(binMs / 1000) }),
    })),
    quota: {
      used_bytes: quota.usedBytes,
      ...(quota.limitBytes === undefined ? {} : { limit_bytes: quota.limitBytes }),
    },
    session: {
      started_at: facts.startedAt,
      method: facts.method,
      idle_seconds: Math.floor(facts.idleMs / 1000),
      expires_in: Math.floor(facts.leftMs / 1000),
    },
    ...(notice === undefined ? {} : { notice }),
  });
}

/** How far a set-up of this session is, for a page that was loaded again in the middle of it. */
export async function getSetup(exchange: Exchange, session: Admitted): Promise<void> {
  try {
    const { proveWithinMs } = await session.enrolment.resume();
    await sendJson<SetupProgress>(exchange, 200, {
      state: 'confirmed',
      prove_within: Math.floor(proveWithinMs / 1000),
    });
  } catch (error) {
    const isNone =
      isSallyportError(error, 'setup-expired') ||
      isSallyportError(error, 'setup-not-confirmed') ||
      isSallyportError(error, 'already-enrolled') ||
      isSallyportError(error, 'not-allowed');
    if (!isNone) throw error;
    // What was shown and not confirmed yet is shown anew: the picture is not given twice.
    await sendJson<SetupProgress>(exchange, 200, { state: 'none' });
  }
}

export async function startSetup(exchange: Exchange, session: Admitted): Promise<void> {
  const { ticket } = await readOptionalJson(exchange, setupStart, {});
  const { secret, otpauthUri, qr, expiresInMs } = await session.enrolment.start(
    ticket === undefined ? undefined : new Secret(ticket),
  );
  await sendJson<Setup>(exchange, 201, {
    secret,
    otpauth_uri: otpauthUri,
    qr,
    expires_in: Math.floor(expiresInMs / 1000),
  });
}

export async function confirmSetup(exchange: Exchange, session: Admitted): Promise<void> {
  await requireNoInput(exchange);
  const { proveWithinMs } = await session.enrolment.confirm();
  await sendJson<SetupConfirmed>(exchange, 200, { prove_within: Math.floor(proveWithinMs / 1000) });
}

export async function proveSetup(exchange: Exchange, session: Admitted): Promise<void> {
  const { code } = await readJson(exchange, setupProof);
  const result = await session.enrolment.prove(new Secret(code));
  if (result.outcome === 'again') return sendAgain(exchange, result);
  await sendJson<Enrolled>(
    exchange,
    200,
    { recovery_codes: result.recoveryCodes, required_on: result.requiredOn },
    setSession(result.admitted.view.session),
  );
}
