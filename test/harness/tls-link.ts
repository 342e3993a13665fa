/** A node's listener and main's links joined over real TLS on loopback, with what both need to be started and seen. */
import { buildLinkListener, type LinkListener, type LinkListenerOptions } from '#dmz/link/listener.ts';
import { buildMainLinks, type MainLinks, type MainLinksOptions } from '#main-agent/link/links.ts';
import { systemClock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { buildFakeSessions, type FakeSessions } from './fake-sessions.ts';

export interface TlsLink {
  readonly listener: LinkListener;
  readonly links: MainLinks;
  readonly sessions: FakeSessions;
  readonly alarms: string[];
  /** Resolves when the link is up. */
  up(): Promise<void>;
  close(): Promise<void>;
}

export interface TlsLinkOptions {
  readonly main?: Partial<MainLinksOptions>;
  readonly node?: Partial<LinkListenerOptions>;
}

export const nodeKey = generateIdentityKey();
export const mainKey = generateIdentityKey();

export async function buildTlsLink(options: TlsLinkOptions = {}): Promise<TlsLink> {
  const clock = systemClock;
  const log = buildLog('silent', {});
  const sessions = buildFakeSessions();
  const alarms: string[] = [];
  const listener = buildLinkListener({
    listen: { host: '127.0.0.1', port: 0 },
    identityKeyPem: nodeKey.privateKeyPem,
    signingKeyPem: nodeKey.privateKeyPem,
    mainIdentity: mainKey.fingerprint,
    nodeName: 'dmz1',
    validatedLogins: true,
    clock,
    log,
    ...options.node,
  });
  await listener.start();
  const links = buildMainLinks({
    nodes: [
      { name: 'dmz1', address: { host: '127.0.0.1', port: listener.port }, identity: nodeKey.fingerprint },
    ],
    identityKeyPem: mainKey.privateKeyPem,
    mainName: 'main1',
    validatedLogins: true,
    policy: () => ({
      validatedLogins: true,
      branding: { name: 'Test' },
      neverBan: [],
      bans: [],
    }),
    onEdgeEvent: () => undefined,
    onAlarm: (_node, _worker, reason) => alarms.push(reason),
    hostKeys: unsupportedHandlers(),
    login: unsupportedHandlers(),
    session: unsupportedHandlers(),
    account: unsupportedHandlers(),
    files: unsupportedHandlers(),
    onStream: (_header, stream) => stream.reset(new SallyportError('unsupported', 'Not supported')),
    sessions,
    clock,
    log,
    ...options.main,
  });
  links.start();
  return {
    listener,
    links,
    sessions,
    alarms,
    up: () =>
      new Promise((resolve) => {
        if (listener.link.isUp) resolve();
        else listener.link.onUp(resolve);
      }),
    close: async () => {
      await links.close();
      await listener.close();
    },
  };
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller's table decides
function unsupportedHandlers<T extends object>(): T {
  return new Proxy({} as T, {
    get: () => () => Promise.reject(new SallyportError('unsupported', 'Not supported')),
  });
}
