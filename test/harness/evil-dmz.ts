import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildLinkListener } from '#dmz/link/listener.ts';
import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { buildAdminClient } from '#main-agent/cli/admin-client.ts';
import { loadMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { startMailSink } from '#scripts/demonstration/mail-sink.ts';
import { listNodes, provisionSite } from '#scripts/demonstration/provision.ts';
import type { SiteSecrets } from '#scripts/demonstration/secrets.ts';
import { siteFiles, type SiteFiles } from '#scripts/demonstration/site-files.ts';
import { demoUsers, type DemoUser } from '#scripts/demonstration/users.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { commitToCode } from '#shared/assertion/code-commitment.ts';
import { signAssertion } from '#shared/assertion/sign.ts';
import { systemClock } from '#shared/clock.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import type { ChallengeView, Params, Result, Verb } from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import type { System } from '#shared/process/node-process.ts';
import { Secret } from '#shared/secret.ts';
import { buildPlayedNode, type PlayedLink, type PlayedNode } from './played-node.ts';
import { waitUntil } from './product.ts';
import { unchanged } from './unchanged.ts';

/** One node of them, or one link of it, that says what it likes. */
export interface EvilNode {
  readonly name: string;
  readonly signingKey: KeyObject;
  /** What main takes assertions of this link for. */
  binding(): Promise<LinkBinding>;
  request<V extends Verb>(verb: V, params: Params<V>): Promise<Result<V>>;
}

/** A link on which anything can be said, whole messages and bytes that are none. */
export interface EvilLink extends EvilNode {
  readonly played: PlayedLink;
  /** Data connections that main dialled for it. */
  readonly lanes: PlayedNode['lanes'];
}

/**
 * Somebody who owns the DMZ boxes: their real keys, real joined links to a real main, and no scruples. Signs whatever
 * is wanted signed. What is without a node named goes by the first one, `dmz1`.
 */
export interface EvilDmz extends EvilNode {
  readonly link: MainLink;
  readonly users: SiteSecrets['users'];
  readonly files: SiteFiles;
  /** A signing key of the first node that was rotated out; its overlap is over. */
  readonly retiredKey: KeyObject;
  authenticator(user: string): Authenticator;
  /** One whom no other try has met: with an authenticator that gives codes at once. */
  person(): string;
  begin(user: string, changes?: Partial<Params<'login.begin'>>, node?: EvilNode): Promise<ChallengeView>;
  /** An honest login assertion for that challenge, with `changes` put in before it is signed with the real key. */
  assert(
    challenge: ChallengeView,
    options: {
      code?: string;
      changes?: Partial<AssertionClaims>;
      signedAtMs?: number;
      node?: EvilNode;
      /** Instead of the node's own. */
      signingKey?: KeyObject;
    },
  ): Promise<Params<'login.assert'>>;
  /** Another link of the second node, `dmz2`, on which nothing was said yet: it may be lost. */
  freshLink(): Promise<EvilLink>;
  /** A worker of the second node that shows a key which main does not know: how often main said a word to it. */
  readonly impostor: PlayedNode;
  /** What an administrator of main does meanwhile. */
  admin(method: string, path: string, body?: object): Promise<unknown>;
  /**
   * Stops main, and starts it again after `meanwhile`; resolves when the first node has a link again. Rejects as main's
   * start does, and then there is none. `acceptRestored`: a person's reason to start on an older state.
   */
  restartMain(options?: { readonly meanwhile?: () => void; readonly acceptRestored?: string }): Promise<void>;
  close(): Promise<void>;
}

export const evilClient = { ip: '127.0.0.1', port: 4711, agent: 'evil/1' };
const readyMs = 60_000;
const requestMs = 20_000;
const hourMs = 3_600_000;

/** What there is for tries to use up: people nobody has met, and links of the second node. */
interface Supplies {
  readonly people: number;
  readonly links: number;
  /** Before main starts. */
  readonly prepare?: (files: SiteFiles, users: SiteSecrets['users']) => void;
}

/** `configure`: what main's configuration is made into. */
export async function startEvilDmz(
  supplies: Supplies,
  configure: (yaml: string) => string = (yaml) => yaml,
): Promise<EvilDmz> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-evil-'));
  const files = siteFiles(folder);
  const doors = { httpsPort: 1, sftpPort: 1 };
  const people = namePeople(supplies.people);
  // As a new node is set up.
  const hostKey = 'main' as const;
  const provision = { ...doors, second: doors, users: [...demoUsers, ...people], hostKey };
  const secrets = await provisionSite(files, provision);
  supplies.prepare?.(files, secrets.users);
  const mail = await startMailSink(files.mail, secrets.ports.mail);
  const log = buildLog('silent', {});
  const [, second] = listNodes(files, secrets, provision);
  if (second === undefined) throw new Error('two nodes');
  const others = await startOtherNode(
    second.name,
    readFileSync(files.secondDmz.identityKey, 'utf8'),
    second.link,
    supplies.links,
  );
  writeFileSync(files.main.config, configure(readFileSync(files.main.config, 'utf8')));
  const config = await loadMainAgentConfig(files.main.config);
  const retiredKey = await retireSigningKey(config, 'dmz1');
  const startMain = (acceptRestored?: string): Promise<System> =>
    startMainAgent(config, {
      clock: systemClock,
      log,
      inherited: new Map(),
      reread: async () => unchanged(config),
      onStateFailure: () => {
        throw new Error('the state store failed');
      },
      ...(acceptRestored !== undefined && { acceptRestored }),
    });
  let main: System | undefined = await startMain();
  const listener = buildLinkListener({
    listen: { host: '127.0.0.1', port: secrets.ports.link },
    identityKeyPem: new Secret(readFileSync(files.dmz.identityKey, 'utf8')),
    signingKeyPem: new Secret(readFileSync(files.dmz.signingKey, 'utf8')),
    mainIdentity: fingerprintOf(createPrivateKey(readFileSync(files.main.identityKey))),
    nodeName: 'dmz1',
    validatedLogins: true,
    clock: systemClock,
    log,
  });
  await listener.start();
  const { link } = listener;
  const first: EvilNode = {
    name: 'dmz1',
    signingKey: createPrivateKey(readFileSync(files.dmz.signingKey)),
    binding: () => bindingOf(link),
    request: (verb, params) => link.request(verb, params),
  };
  const secondKey = createPrivateKey(readFileSync(files.secondDmz.signingKey));
  const admin = buildAdminClient({
    target: { socket: files.main.socket },
    token: undefined,
    actor: 'drill',
  });
  await waitUntil(() => link.isUp, readyMs);
  const { mainName } = await first.binding();
  const authenticators = new Map<string, Authenticator>();
  let taken = 0;
  let met = 0;

  return {
    ...first,
    link,
    users: secrets.users,
    files,
    impostor: others.impostor,
    retiredKey,
    authenticator(user) {
      const known = authenticators.get(user) ?? new Authenticator(secrets.users[user]?.totpSecret ?? '');
      authenticators.set(user, known);
      return known;
    },
    person() {
      const name = people[met]?.name;
      if (name === undefined) throw new Error('more people than there are');
      met += 1;
      return name;
    },
    begin: (user, changes = {}, node = first) =>
      node.request('login.begin', {
        user,
        protocol: 'https',
        listener: 'https',
        client: evilClient,
        factor: { type: 'password', password: secrets.users[user]?.password ?? '' },
        ...changes,
      }),
    async assert(challenge, options) {
      const { code, changes = {}, signedAtMs = systemClock.now(), node = first } = options;
      const { signingKey = node.signingKey } = options;
      const commitment = code === undefined ? undefined : commitToCode(new Secret(code));
      const binding = await node.binding();
      const claims = {
        iss: node.name,
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
        kid: fingerprintOf(createPublicKey(signingKey)),
        privateKey: signingKey,
        nowMs: signedAtMs,
      });
      const beside = commitment === undefined || code === undefined ? {} : { code, salt: commitment.salt };
      return { challenge: challenge.challenge, assertion, ...beside };
    },
    async freshLink() {
      const node = others.workers[taken];
      if (node === undefined) throw new Error('more links than there are');
      taken += 1;
      await waitUntil(() => node.links[0]?.session.isOpen === true, readyMs);
      const played = node.links[0];
      if (played === undefined) throw new Error('no link');
      return {
        name: second.name,
        signingKey: secondKey,
        binding: async () => ({ exporter: played.exporter, mainName }),
        request: (verb, params) => played.session.request(verb, params, { timeoutMs: requestMs }),
        played,
        lanes: node.lanes,
      };
    },
    admin: (method, path, body) =>
      admin.call(method, path, { ...(body !== undefined && { body, ifMatch: '*' }) }),
    async restartMain({ meanwhile, acceptRestored } = {}) {
      await main?.close();
      main = undefined;
      await waitUntil(() => !link.isUp, readyMs);
      meanwhile?.();
      main = await startMain(acceptRestored);
      await waitUntil(() => link.isUp, readyMs);
    },
    async close() {
      await admin.close();
      await listener.close();
      others.close();
      await main?.close();
      await mail.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Each with an authenticator, and a code to give with it. */
function namePeople(count: number): readonly DemoUser[] {
  const alice = demoUsers.filter(({ name }) => name === 'alice');
  return Array.from({ length: count }, (_, at) => `person${at}`).flatMap((name) =>
    alice.map((one) => ({ ...one, name })),
  );
}

/** Before main starts, leaves in its state that this node had another signing key, until an hour ago; that key. */
async function retireSigningKey(
  { dmzNodes, state: { file } }: Pick<MainAgentConfig, 'dmzNodes' | 'state'>,
  name: string,
): Promise<KeyObject> {
  const node = dmzNodes.find((one) => one.name === name);
  if (node === undefined) throw new Error(`${name} is not configured`);
  const { identity, signingKey } = node;
  const old = generateKeyPairSync('ed25519');
  const { x = '' } = old.publicKey.export({ format: 'jwk' });
  const atThatTime = { ...systemClock, now: () => systemClock.now() - 2 * hourMs };
  const state = await openSqliteState({ file, clock: atThatTime, log: buildLog('silent', {}) });
  try {
    const known = new KnownNodes({ configured: [{ ...node, signingKey: x }], state, clock: atThatTime });
    await known.start();
    const line = { name, identity, signing_key: signingKey, signedBy: identity };
    await known.rotate(line, hourMs, { actor: 'drill', reason: 'rotated' });
  } finally {
    await state.close();
  }
  return old.privateKey;
}

/** The second node: a worker for each link that a try may lose, and one more that is somebody else. */
async function startOtherNode(name: string, identityKeyPem: string, port: number, links: number) {
  const workers: PlayedNode[] = [];
  for (let worker = 0; worker < links; worker += 1)
    workers.push(
      await buildPlayedNode({ name, worker }, new Secret(identityKeyPem), worker === 0 ? port : 0),
    );
  const impostor = await buildPlayedNode({ name, worker: links }, generateIdentityKey().privateKeyPem);
  const [zeroth] = workers;
  if (zeroth === undefined) throw new Error('no worker');
  zeroth.hello = { ...zeroth.hello, workerPorts: [...workers, impostor].map((one) => one.port) };
  return {
    workers,
    impostor,
    close: () => {
      for (const one of [...workers, impostor]) one.close();
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
