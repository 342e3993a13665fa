import type { LoginService } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { ClientAddress } from '#shared/link/messages.ts';
import { readSessionCookie } from './cookie.ts';
import type { Visitor } from './route.ts';

/** Cookie → visitor. A cookie main doesn't know makes a stranger; a main that can't be asked is an error. */
export async function recogniseVisitor(
  login: LoginService,
  cookieHeader: string | undefined,
  client: ClientAddress,
): Promise<Visitor> {
  const cookie = readSessionCookie(cookieHeader);
  if (cookie === undefined) return { kind: 'stranger' };
  if (cookie.kind === 'half') return { kind: 'half', challenge: cookie.challenge };
  try {
    const session = await login.attach(cookie.session, client);
    // A session belongs to one protocol (S-04); main says so too.
    if (session.view.protocol !== 'https') return { kind: 'stranger' };
    return { kind: session.view.state === 'signed-in' ? 'full' : 'confined', session };
  } catch (error) {
    if (isSallyportError(error, 'no-session')) return { kind: 'stranger' };
    throw error;
  }
}

/** The refusal for a visitor on a path of the API it may not use (http: half sessions 401, confined ones 403). */
export function refuseVisitor(visitor: Visitor): SallyportError {
  if (visitor.kind === 'confined')
    return new SallyportError('setup-required', 'Set up two-factor authentication first');
  return new SallyportError(
    'no-session',
    visitor.kind === 'half' ? 'Enter your code to go on' : 'Sign in first',
  );
}
