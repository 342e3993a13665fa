import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildLinkListener } from '#dmz/link/listener.ts';
import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { startMailSink } from '#scripts/demonstration/mail-sink.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import type { SiteSecrets } from '#scripts/demonstration/secrets.ts';
import { siteFiles, type SiteFiles } from '#scripts/demonstration/site-files.ts';
import { demoUsers } from '#scripts/demonstration/users.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { commitToCode } from '#shared/assertion/code-commitment.ts';
import { signAssertion } from '#shared/assertion/sign.ts';
import { systemClock } from '#shared/clock.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import type { ChallengeView, Params } from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { waitUntil } from './product.ts';
import { unchanged } from './unchanged.ts';

/**
 * Somebody who owns the DMZ box: its real keys, a real joined link to a real main, and no scruples. Signs whatever a
 * test wants signed.
 */
export interface EvilDmz {
  readonly link: MainLink;
  readonly users: SiteSecrets['users'];
  readonly files: SiteFiles;
  authenticator(user: string): Authenticator;
  begin(user: string, changes?: Partial<Params<'login.begin'>>): Promise<ChallengeView>;
  /** An honest login assertion for that challenge, with `changes` put in before it is signed with the real key. */
  assert(
    challenge: ChallengeView,
    options: { code?: string; changes?: Partial<AssertionClaims>; signedAtMs?: number },
  ): Promise<Params<'login.assert'>>;
  close(): Promise<void>;
}

export const evilClient = { ip: '127.0.0.1', port: 4711, agent: 'evil/1' };
const readyMs = 20_000;

export async function startEvilDmz(): Promise<EvilDmz> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-evil-'));
  const files = siteFiles(folder);
  const secrets = await provisionSite(files, { httpsPort: 1, sftpPort: 1, users: demoUsers });
  const mail = await startMailSink(files.mail, secrets.ports.mail);
  const log = buildLog('silent', {});
  const config = await loadMainAgentConfig(files.main.config);
  const main = await startMainAgent(config, {
    clock: systemClock,
    log,
    inherited: new Map(),
    reread: async () => unchanged(config),
    onStateFailure: () => {
      throw new Error('the state store failed');
    },
  });
  const mainIdentity = fingerprintOf(createPrivateKey(readFileSync(files.main.identityKey)));
  const listener = buildLinkListener({
    listen: { host: '127.0.0.1', port: secrets.ports.link },
    identityKeyPem: new Secret(readFileSync(files.dmz.identityKey, 'utf8')),
    signingKeyPem: new Secret(readFileSync(files.dmz.signingKey, 'utf8')),
    mainIdentity,
    nodeName: 'dmz1',
    validatedLogins: true,
    clock: systemClock,
    log,
  });
  await listener.start();
  const { link } = listener;
  await waitUntil(() => link.isUp, readyMs);
  const privateKey = createPrivateKey(readFileSync(files.dmz.signingKey));
  const kid = fingerprintOf(createPublicKey(privateKey));
  const authenticators = new Map<string, Authenticator>();

  return {
    link,
    users: secrets.users,
    files,
    authenticator(user) {
      const known = authenticators.get(user) ?? new Authenticator(secrets.users[user]?.totpSecret ?? '');
      authenticators.set(user, known);
      return known;
    },
    begin: (user, changes = {}) =>
      link.request('login.begin', {
        user,
        protocol: 'https',
        listener: 'https',
        client: evilClient,
        factor: { type: 'password', password: secrets.users[user]?.password ?? '' },
        ...changes,
      }),
    async assert(challenge, { code, changes = {}, signedAtMs = systemClock.now() }) {
      const commitment = code === undefined ? undefined : commitToCode(new Secret(code));
      const binding = await bindingOf(link);
      const claims = {
        iss: 'dmz1',
        aud: binding.mainName,
        sub: challenge.username,
        challenge: challenge.challenge,
        nonce: challenge.nonce,
        purpose: 'login' as const,
        amr: code === undefined ? ['pwd'] : ['pwd', 'otp'],
        method: code === undefined ? ('none' as const) : ('totp' as const),
        ...(commitment !== undefined && { code_commit: commitment.commitment }),
        protocol: 'https' as const,
        client_ip: evilClient.ip,
        client_port: evilClient.port,
        listener: 'https',
        agent: evilClient.agent,
        link: binding.exporter,
        ...changes,
      };
      const assertion = await signAssertion(claims as Parameters<typeof signAssertion>[0], {
        kid,
        privateKey,
        nowMs: signedAtMs,
      });
      const beside = commitment === undefined || code === undefined ? {} : { code, salt: commitment.salt };
      return { challenge: challenge.challenge, assertion, ...beside };
    },
    async close() {
      await listener.close();
      await main.close();
      await mail.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What an honest node would sign into its assertions; learned by asking something harmless. */
async function bindingOf(link: MainLink): Promise<LinkBinding> {
  let found: LinkBinding | undefined;
  await link.request('login.probe', async (binding) => {
    found = binding;
    return { user: 'nobody', key: '', client: evilClient };
  });
  if (found === undefined) throw new Error('no binding');
  return found;
}
