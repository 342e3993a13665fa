import {
  newSshKey,
  passwordChange,
  stepUp,
  type OwnDevices,
  type OwnLeases,
  type OwnSessions,
  type OwnSshKey as ShownSshKey,
  type OwnSshKeys,
  type RecoveryCodes,
} from '#dmz/http-api/account.ts';
import type { Admitted, Changed, StepUpAgain } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { AccountChange, OwnSshKey } from '#shared/link/messages.ts';
import { sessionKey } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { clearSession, setSession } from '#dmz/https/exchange/cookie.ts';
import { sendEmpty, sendJson, sendProblem, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { readJson } from '#dmz/https/exchange/json-body.ts';
import { formatTime } from '#dmz/https/exchange/time.ts';
import { describeAgain } from '#dmz/https/exchange/try-again.ts';

/**
 * The user's own sessions, leases, devices and SSH keys, password and recovery codes. A change of credentials needs a
 * step-up: the password (in the body as `current`; where a request has no body, percent-encoded in the header
 * `Sallyport-Password`) and, from who is enrolled, the header `Sallyport-Code`. What succeeds gives a new cookie.
 *
 * Trust: everything here is a stranger's until main has judged it.
 */

type Handler = (exchange: Exchange, session: Admitted) => Promise<void>;

export const getSessions: Handler = async (exchange, session) => {
  const sessions = (await session.selfService.sessions()).map((one) => ({
    id: one.id,
    current: one.current,
    node: one.node,
    protocol: one.protocol,
    method: one.method,
    client_ip: one.clientIp,
    started_at: formatTime(one.startedAtMs),
    ...(one.agent === undefined ? {} : { agent: one.agent }),
  }));
  await sendJson<OwnSessions>(exchange, 200, { sessions });
};

export const getLeases: Handler = async (exchange, session) => {
  const leases = (await session.selfService.leases()).map((one) => ({
    id: one.id,
    node: one.node,
    protocol: one.protocol,
    client_ip: one.clientIp,
    agent: one.agent,
    started_at: formatTime(one.startedAtMs),
    used_at: formatTime(one.usedAtMs),
    expires_at: formatTime(one.expiresAtMs),
  }));
  await sendJson<OwnLeases>(exchange, 200, { leases });
};

export const getDevices: Handler = async (exchange, session) => {
  const devices = (await session.selfService.devices()).map((one) => ({
    id: one.id,
    node: one.node,
    started_at: formatTime(one.startedAtMs),
    used_at: formatTime(one.usedAtMs),
    expires_at: formatTime(one.expiresAtMs),
    ...(one.agent === undefined ? {} : { agent: one.agent }),
  }));
  await sendJson<OwnDevices>(exchange, 200, { devices });
};

export const getSshKeys: Handler = async (exchange, session) => {
  await sendJson<OwnSshKeys>(exchange, 200, {
    ssh_keys: (await session.selfService.sshKeys()).map(describeKey),
  });
};

export const deleteSession: Handler = async (exchange, session) => {
  const id = lastSegment(exchange);
  await session.selfService.end('session', id);
  await sendEmpty(exchange, 204, id === sessionKey(session.view.session) ? clearSession() : []);
};

export const deleteLease: Handler = async (exchange, session) => {
  await session.selfService.end('lease', lastSegment(exchange));
  await sendEmpty(exchange, 204);
};

export const deleteDevice: Handler = async (exchange, session) => {
  await session.selfService.end('device', lastSegment(exchange));
  await sendEmpty(exchange, 204);
};

export const postPassword: Handler = async (exchange, session) => {
  const { current, new: value } = await readJson(exchange, passwordChange);
  await change(exchange, session, { kind: 'password', value }, current, (_done, cookie) =>
    sendEmpty(exchange, 204, cookie),
  );
};

export const postRecoveryCodes: Handler = async (exchange, session) => {
  const { current } = await readJson(exchange, stepUp);
  await change(exchange, session, { kind: 'recovery-codes' }, current, ({ recoveryCodes = [] }, cookie) =>
    sendJson<RecoveryCodes>(exchange, 200, { recovery_codes: recoveryCodes }, cookie),
  );
};

export const postSshKey: Handler = async (exchange, session) => {
  const { key: value, current } = await readJson(exchange, newSshKey);
  await change(exchange, session, { kind: 'add-ssh-key', value }, current, ({ sshKey }, cookie) => {
    if (sshKey === undefined) throw new SallyportError('internal', 'Something went wrong on our side');
    return sendJson<ShownSshKey>(exchange, 201, describeKey(sshKey), cookie);
  });
};

export const deleteSshKey: Handler = async (exchange, session) => {
  const value = lastSegment(exchange);
  await change(
    exchange,
    session,
    { kind: 'remove-ssh-key', value },
    readPasswordHeader(exchange),
    (_done, cookie) => sendEmpty(exchange, 204, cookie),
  );
};

async function change(
  exchange: Exchange,
  session: Admitted,
  wanted: AccountChange,
  current: string,
  send: (done: Changed, cookie: readonly string[]) => Promise<void>,
): Promise<void> {
  const typed = exchange.request.headers['sallyport-code'];
  const code = typeof typed === 'string' && typed !== '' ? new Secret(typed) : undefined;
  try {
    const result = await session.selfService.change(wanted, { current: new Secret(current), code });
    if (result.outcome === 'again') return await sendStepUpAgain(exchange, result);
    await send(result, setSession(result.admitted.view.session));
  } catch (error) {
    // Too weak a password is not too weak a key: pages say it in their own words.
    if (!isSallyportError(error, 'too-weak')) throw error;
    await sendProblem(exchange, error, { reason: wanted.kind === 'password' ? 'weak-password' : 'weak-key' });
  }
}

const stepUpMessages = {
  'wrong-password': 'That is not your password',
  'code-required': 'Enter a code from your authenticator app',
};

function sendStepUpAgain(
  exchange: Exchange,
  { reason, attemptsLeft, driftSeconds }: StepUpAgain,
): Promise<void> {
  const message =
    reason === 'wrong-password' || reason === 'code-required'
      ? stepUpMessages[reason]
      : describeAgain(reason);
  const error = new SallyportError('refused', message, {
    data: {
      ...(attemptsLeft === undefined ? {} : { attemptsLeft }),
      ...(driftSeconds === undefined ? {} : { driftSeconds }),
    },
  });
  return sendProblem(exchange, error, { reason });
}

function describeKey({ id, type, fingerprint, comment, removable, added }: OwnSshKey): ShownSshKey {
  return {
    id,
    type,
    fingerprint,
    comment,
    removable,
    ...(added === undefined ? {} : { added_at: formatTime(added.atMs), added_through: added.node }),
  };
}

/** Every id here is a SHA-256; anything else names nothing. */
function lastSegment(exchange: Exchange): string {
  const id = exchange.path.slice(exchange.path.lastIndexOf('/') + 1);
  if (/^[A-Za-z0-9_-]{43}$/.test(id)) return id;
  throw new SallyportError('not-found', 'There is no such thing of yours');
}

function readPasswordHeader(exchange: Exchange): string {
  const header = exchange.request.headers['sallyport-password'];
  try {
    const text = decodeURIComponent(typeof header === 'string' ? header : '');
    if (text.length <= 1024) return text;
  } catch {
    // Not percent-encoded UTF-8: told like one that is too long.
  }
  throw new SallyportError('bad-request', 'Send Sallyport-Password as percent-encoded UTF-8');
}
