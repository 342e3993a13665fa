import type { SiteNode } from '#scripts/demonstration/site.ts';
import type { Protocol } from '#shared/login.ts';
import { beginSftpLogin } from './clients/sftp-login.ts';
import { HttpsSession } from './https-session.ts';
import type { Product } from './product.ts';

/** `again`: wrong, and may be tried again. `locked`: told to wait (over SFTP that looks like `refused`). */
export type LoginOutcome = 'admitted' | 'again' | 'refused' | 'locked';

/** A login whose first factor was right and whose code is still to come, over either door. */
export interface WaitingLogin {
  /** `asked`: for a code. */
  readonly state: LoginOutcome | 'asked';
  answer(code: string): Promise<LoginOutcome>;
  close(): Promise<void>;
}

export interface Way {
  readonly node: SiteNode;
  readonly protocol: Protocol;
  /** One of 127.0.0.0/8: each is a source of its own. */
  readonly from: string;
  readonly agent?: string;
}

export function beginLogin(
  product: Product,
  user: string,
  way: Way,
  password = product.password(user),
): Promise<WaitingLogin> {
  if (way.protocol === 'https') return beginHttpsLogin(product, user, way, password);
  const agent = way.agent === undefined ? {} : { agent: way.agent };
  return beginSftpLogin(product.sftp(user, { password }, way.node), { localAddress: way.from, ...agent });
}

async function beginHttpsLogin(
  product: Product,
  username: string,
  { node, from }: Way,
  password: string,
): Promise<WaitingLogin> {
  const session = new HttpsSession(node.https, product.site.files.ca, from);
  const { status, body } = await session.json('POST', '/api/login', { username, password });
  let state: WaitingLogin['state'] = body['state'] === 'code-required' ? 'asked' : outcomeOf(status, body);
  return {
    get state() {
      return state;
    },
    async answer(code) {
      const answer = await session.json('POST', '/api/login/code', { code });
      const outcome = outcomeOf(answer.status, answer.body);
      state = outcome;
      return outcome;
    },
    async close() {
      await session.json('POST', '/api/logout');
    },
  };
}

function outcomeOf(status: number, body: Record<string, unknown>): LoginOutcome {
  if (status === 200) return 'admitted';
  if (status === 429) return 'locked';
  return status === 401 && body['attempts_left'] !== undefined ? 'again' : 'refused';
}

/** 127.x.y.1: each number another address. */
export function addressOf(number: number): string {
  return `127.${1 + Math.floor(number / 250)}.${1 + (number % 250)}.1`;
}
