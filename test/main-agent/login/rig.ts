import { argon2Sync, createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { twoFactorSchema } from '#main-agent/config-two-factor.ts';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import { buildLogin, type Login, type LoginConfig, type LoginOptions } from '#main-agent/build-login.ts';
import type {
  AccountNotice,
  CodeMessage,
  PasswordLinkMessage,
} from '#main-agent/two-factor/code-delivery.ts';
import { defaultTotpSettings, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import type { VaultVerb } from '#main-agent/vault/calls.ts';
import { Departures } from '#main-agent/users/departures.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { requireRoom, type OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { commitToCode } from '#shared/assertion/code-commitment.ts';
import { signAssertion } from '#shared/assertion/sign.ts';
import type { SigningKey } from '#shared/assertion/verify.ts';
import { SallyportError } from '#shared/error.ts';
import { Asker } from '#shared/link/asker.ts';
import type { ChallengeView, ClientAddress, EventBody, Params, Result } from '#shared/link/messages.ts';
import { buildLog, type Log } from '#shared/log.ts';
import type { ClaimedMethod, Protocol } from '#shared/login.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { parsePublicKeyBlob } from '#shared/ssh-key/parse.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';
import { buildMemoryEnrolments } from '#test/harness/memory-enrolments.ts';
import { playedBook, playVault } from '#test/harness/played-vault.ts';
import { buildMemoryUsers } from '#test/harness/memory-users.ts';

/** Main's login with everything around it in memory, and a node that signs as a real one would, or not. */

export const startMs = Date.UTC(2026, 10, 24, 12, 0, 0);

export interface PlayedNode {
  readonly link: NodeLink;
  readonly privateKey: KeyObject;
  readonly kid: string;
  readonly ended: EventBody<'session.ended'>[];
}

export interface Attempt {
  readonly protocol?: Protocol;
  readonly node?: PlayedNode;
  readonly client?: Partial<ClientAddress>;
  readonly password?: string;
  /** Instead of a password. */
  readonly factor?: Params<'login.begin'>['factor'];
  readonly device?: string;
  /** How long its asker waits; not long enough for any turn, if it is not said. */
  readonly patienceMs?: number;
}

export interface Answer {
  readonly code?: string;
  readonly method?: ClaimedMethod;
  readonly node?: PlayedNode;
  readonly claims?: Partial<AssertionClaims>;
  readonly exporter?: string;
  readonly committed?: string;
  readonly rememberDevice?: boolean;
  readonly client?: Partial<ClientAddress>;
  readonly protocol?: Protocol;
}

export interface Rig {
  readonly login: Login;
  readonly departures: Departures;
  readonly state: MemoryState;
  readonly users: Map<string, EffectiveUser>;
  readonly enrolments: Map<string, Enrolment>;
  readonly sent: CodeMessage[];
  readonly notices: AccountNotice[];
  /** Links that were mailed. */
  readonly links: PasswordLinkMessage[];
  readonly node: PlayedNode;
  readonly otherNode: PlayedNode;
  readonly secrets: Map<string, Secret<Buffer>>;
  /** Fingerprints of keys that are not the users' own. */
  readonly given: Set<string>;
  /** Between the commit of a new password and its file. */
  beforeWrite: (() => Promise<void>) | undefined;
  /** Before the vault is asked. */
  beforeAsk: ((verb: VaultVerb) => Promise<void>) | undefined;
  /** Before a link's mail is taken. */
  mailLink: (() => Promise<void>) | undefined;
  /** Replaces how codes leave; undefined: they arrive. */
  deliver: ((message: CodeMessage) => Promise<void>) | undefined;
  now(): number;
  advance(ms: number): void;
  /** Only the wall clock moves. */
  jump(ms: number): void;
  change(username: string, change: Partial<EffectiveUser>): Promise<void>;
  remove(username: string): Promise<void>;
  begin(username: string, attempt?: Attempt): Promise<ChallengeView>;
  answer(view: ChallengeView, answer?: Answer): Promise<Result<'login.assert'>>;
  enrol(username: string): Promise<void>;
  /** The authenticator's code, `steps` from now. */
  code(username: string, steps?: number): string;
  /** Another main over the same state, or over what a test put around it. */
  restart(change?: {
    readonly twoFactor?: object;
    readonly state?: MemoryState;
    readonly log?: Log;
  }): Promise<Rig>;
  close(): void;
}

export interface RigOptions {
  readonly enrolmentSource?: EnrolmentSource;
  readonly twoFactor?: object;
  readonly smtp?: boolean;
  readonly sms?: boolean;
  readonly findBan?: LoginOptions['findBan'];
  /** Of a throttled name; longer than a node waits, a try is turned away at once. */
  readonly thenOnePerMs?: number;
  readonly log?: Log;
  readonly explained?: Partial<NonNullable<LoginOptions['explained']>>;
  readonly around?: Pick<Rig, 'state' | 'users' | 'enrolments' | 'secrets' | 'node' | 'otherNode'> & {
    readonly clock: { wall: number; steady: number };
    readonly vaultKey: Secret<Buffer>;
  };
}

export const password = 'correct horse battery';
/** As cheap as the format allows: what the password costs is tested elsewhere. */
export const passwordHash = new Secret(cheapHash(password));

/** By its name. */
export function cheapHash(text: string): string {
  return playedBook.note(formatCheapHash(text));
}

/** As it stands in a user file. */
export function formatCheapHash(text: string): string {
  const nonce = Buffer.alloc(16, 7);
  const tag = argon2Sync('argon2id', {
    message: text,
    nonce,
    memory: 8,
    passes: 1,
    parallelism: 1,
    tagLength: 32,
  });
  const plain = (octets: Buffer): string => octets.toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=8,t=1,p=1$${plain(nonce)}$${plain(tag)}`;
}

export function buildUser(username: string, change: Partial<EffectiveUser> = {}): EffectiveUser {
  return {
    username,
    displayName: username,
    email: undefined,
    phone: undefined,
    groups: [],
    passwordHash,
    sshKeys: [],
    twoFactor: {
      requiredOn: [],
      registration: true,
      forceSetup: false,
      requiredFrom: undefined,
      deliveredTtlMs: undefined,
      sftpPasswordWithCode: false,
    },
    protocols: ['https', 'sftp'],
    status: 'active',
    expires: undefined,
    allowFrom: undefined,
    hours: undefined,
    mounts: [],
    quotaBytes: undefined,
    limits: { sessions: undefined, uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined },
    version: randomId(),
    ...change,
  };
}

export function withFactor(
  change: Partial<EffectiveUser['twoFactor']>,
  rest: Partial<EffectiveUser> = {},
): Partial<EffectiveUser> {
  return { ...rest, twoFactor: { ...buildUser('x').twoFactor, ...change } };
}

export function playNode(name: string, keys: Map<string, SigningKey>): PlayedNode {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  // As a real node names its key.
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const kid = `SHA256:${createHash('sha256').update(spki).digest('base64url')}`;
  keys.set(kid, { node: name, publicKey, status: 'active' });
  const link: NodeLink = {
    node: name,
    worker: 0,
    epoch: 1,
    exporter: randomBytes(32).toString('base64url'),
    processGone: new AbortController().signal,
    validatedLogins: true,
    isOpen: true,
    send: () => undefined,
    close: () => undefined,
  };
  return { link, privateKey, kid, ended: [] };
}

const keys = new Map<string, SigningKey>();

export function buildConfig(options: RigOptions): LoginConfig {
  return {
    name: 'main1',
    publicUrl: 'https://files.example.com',
    twoFactor: twoFactorSchema.parse(options.twoFactor ?? {}),
    sessions: {
      https: { idleMs: 15 * 60_000, maxMs: 12 * 3_600_000 },
      sftp: { idleMs: 15 * 60_000, maxMs: 12 * 3_600_000 },
    },
    passwords: { minimumLength: 12 },
    bans: {
      neverBan: [],
      baitNames: ['root', 'oracle'],
      wrongPasswords: { count: 20, windowMs: 15 * 60_000 },
      thenOnePerMs: options.thenOnePerMs ?? 10_000,
    },
    smtp:
      options.smtp === false
        ? undefined
        : {
            host: 'relay.test',
            port: 25,
            tls: 'none',
            name: undefined,
            user: undefined,
            passwordFile: undefined,
            from: 'files@example.com',
          },
    sms:
      options.sms === true
        ? {
            url: 'https://gateway.test/',
            method: 'POST',
            headers: {},
            body: '{otp_token}',
            username: undefined,
            passwordFile: undefined,
            from: '',
            success: { status: [], body: [] },
            failure: { status: [], body: [] },
          }
        : undefined,
  };
}

export async function buildRig(options: RigOptions = {}): Promise<Rig> {
  const clock = options.around?.clock ?? { wall: startMs, steady: 1_000 };
  const users = options.around?.users ?? new Map<string, EffectiveUser>();
  const enrolments = options.around?.enrolments ?? new Map<string, Enrolment>();
  const secrets = options.around?.secrets ?? new Map<string, Secret<Buffer>>();
  const state = options.around?.state ?? buildMemoryState();
  const node = options.around?.node ?? playNode('dmz1', keys);
  const otherNode = options.around?.otherNode ?? playNode('dmz2', keys);
  const vaultKey = options.around?.vaultKey ?? new Secret(randomBytes(32));
  const given = new Set<string>();
  const vault = playVault(vaultKey);
  const sent: CodeMessage[] = [];
  const notices: AccountNotice[] = [];
  const links: PasswordLinkMessage[] = [];
  const userSource = buildMemoryUsers(users);
  const enrolmentSource = options.enrolmentSource ?? buildMemoryEnrolments(enrolments);
  const departures = new Departures({
    state,
    users: userSource,
    enrolments: enrolmentSource,
    clock: { now: () => clock.wall, monotonic: () => clock.steady },
    log: buildLog('silent', {}),
  });
  await departures.start();
  const login = buildLogin({
    config: buildConfig(options),
    users: userSource,
    departures,
    enrolments: enrolmentSource,
    credentials: playCredentials(
      users,
      (name, change) => rig.change(name, change),
      given,
      async () => rig.beforeWrite?.(),
    ),
    state,
    vault: {
      ...vault,
      ask: async (verb, request) => {
        await rig.beforeAsk?.(verb);
        return vault.ask(verb, request);
      },
    },
    delivery: {
      deliver: async (message) => {
        await rig.deliver?.(message);
        sent.push(message);
      },
    },
    notifier: { notify: (notice) => void notices.push(notice) },
    sendPasswordLink: async (message) => {
      await rig.mailLink?.();
      links.push(message);
    },
    findSigningKey: (kid) => keys.get(kid),
    sendToNode: (name, event, body) => {
      const played = [node, otherNode].find((one) => one.link.node === name);
      if (event === 'session.ended') played?.ended.push(body as EventBody<'session.ended'>);
    },
    usedBytes: async () => 42,
    ...(options.findBan !== undefined && { findBan: options.findBan }),
    explained: {
      originsOf: async () => [],
      findEdgeBan: () => undefined,
      findDeliveryProblem: () => undefined,
      askDoors: async () => [],
      nodeValidatedLogins: () => undefined,
      ...options.explained,
    },
    clock: { now: () => clock.wall, monotonic: () => clock.steady },
    log: options.log ?? buildLog('silent', {}),
  });

  const rig: Rig = {
    login,
    departures,
    state,
    users,
    enrolments,
    sent,
    notices,
    links,
    node,
    otherNode,
    secrets,
    given,
    beforeWrite: undefined,
    beforeAsk: undefined,
    mailLink: undefined,
    deliver: undefined,
    now: () => clock.wall,
    advance: (ms) => {
      clock.wall += ms;
      clock.steady += ms;
    },
    jump: (ms) => void (clock.wall += ms),
    change: async (username, change) => {
      userSource.put({
        ...(users.get(username) ?? buildUser(username)),
        ...change,
        version: randomId(),
      });
      await settle();
    },
    remove: async (username) => {
      userSource.remove(username);
      await settle();
    },
    begin: (username, attempt = {}) => {
      const { link } = attempt.node ?? node;
      const protocol = attempt.protocol ?? 'https';
      return login.loginHandlers['login.begin'](
        {
          user: username,
          protocol,
          listener: protocol,
          client: { ip: '203.0.113.9', port: 50_000, agent: 'test client', ...attempt.client },
          factor: attempt.factor ?? { type: 'password', password: attempt.password ?? password },
          ...(attempt.device !== undefined && { device: attempt.device }),
        },
        link,
        new Asker({ monotonic: () => clock.steady }, attempt.patienceMs ?? 1_000),
      );
    },
    answer: async (view, answer = {}) => {
      const played = answer.node ?? node;
      const signed = await signAnswer(view, answer, played, clock.wall);
      return login.loginHandlers['login.assert'](
        {
          challenge: view.challenge,
          ...signed,
          ...(answer.rememberDevice === true && { rememberDevice: true }),
        },
        played.link,
      );
    },
    enrol: async (username) => {
      const secret = new Secret(randomBytes(20));
      secrets.set(username, secret);
      const result = await login.vault.enrol({
        username,
        secret,
        step: 0,
        requiredOn: [],
        recoveryCodes: 0,
        via: { node: 'dmz1', session: 'test' },
        replace: true,
        alongside: () => [],
      });
      if (!result.ok) throw new Error(result.reason);
    },
    code: (username, steps = 0) => {
      const secret = secrets.get(username);
      if (secret === undefined) throw new Error(`${username} is not enrolled`);
      return totpCodeAt(secret, stepAt(clock.wall, defaultTotpSettings) + steps, defaultTotpSettings);
    },
    restart: async (change = {}) => {
      const closed = login.close();
      // With a state of its own the next one follows a main that died, whose last words nobody waits for.
      if (change.state === undefined) await closed;
      await departures.close();
      const twoFactor = change.twoFactor ?? options.twoFactor;
      return buildRig({
        ...options,
        ...(twoFactor !== undefined && { twoFactor }),
        ...(change.log !== undefined && { log: change.log }),
        around: {
          clock,
          users,
          enrolments,
          secrets,
          state: change.state ?? state,
          node,
          otherNode,
          vaultKey,
        },
      });
    },
    close: () => void login.close(),
  };
  await login.start();
  return rig;
}

/** Users' files, as far as users change them. */
function playCredentials(
  users: ReadonlyMap<string, EffectiveUser>,
  change: Rig['change'],
  given: ReadonlySet<string>,
  beforeWrite: () => Promise<void>,
): OwnCredentials {
  const keysOf = (name: string) => users.get(name)?.sshKeys ?? [];
  return {
    etag: async (name) => users.get(name)?.version,
    setPassword: async (name, hash, ifMatch) => {
      if (ifMatch !== undefined && users.get(name)?.version !== ifMatch)
        throw new SallyportError('precondition-failed', 'The user was changed meanwhile');
      await beforeWrite();
      await change(name, { passwordHash: hash });
    },
    renewPassword: async (name, old, next) => {
      await beforeWrite();
      if (users.get(name)?.passwordHash?.expose() !== old.expose()) return false;
      await change(name, { passwordHash: next });
      return true;
    },
    ownKeys: async (name) =>
      new Set(
        keysOf(name)
          .map((key) => key.fingerprint)
          .filter((one) => !given.has(one)),
      ),
    addKey: async (name, key) => {
      requireRoom(keysOf(name), key);
      await change(name, { sshKeys: [...keysOf(name), key] });
    },
    removeKey: async (name, fingerprint) => {
      const kept = keysOf(name).filter((key) => key.fingerprint !== fingerprint);
      const found = kept.length < keysOf(name).length;
      await change(name, { sshKeys: kept });
      return found;
    },
  };
}

/** The assertion of a DMZ: honest unless told otherwise. */
export async function signAnswer(
  view: Pick<ChallengeView, 'challenge' | 'nonce' | 'username' | 'next' | 'admitAs' | 'asked'>,
  answer: Answer,
  played: PlayedNode,
  nowMs: number,
): Promise<{ assertion: string; code?: string; salt?: string }> {
  const commitment =
    answer.code === undefined ? undefined : commitToCode(new Secret(answer.committed ?? answer.code));
  const protocol = answer.protocol ?? 'https';
  const askedMethod = view.asked?.sealed === true ? 'sealed' : (view.asked?.method ?? 'totp');
  const method: ClaimedMethod =
    answer.method ?? (view.next === 'code' ? askedMethod : (view.admitAs ?? 'none'));
  const assertion = await signAssertion(
    {
      iss: played.link.node,
      aud: 'main1',
      sub: view.username,
      challenge: view.challenge,
      nonce: view.nonce,
      purpose: 'login',
      amr: answer.code === undefined ? ['pwd'] : ['pwd', 'otp'],
      method,
      ...(commitment !== undefined && { code_commit: commitment.commitment }),
      protocol,
      client_ip: answer.client?.ip ?? '203.0.113.9',
      client_port: answer.client?.port ?? 50_000,
      listener: protocol,
      agent: answer.client?.agent ?? 'test client',
      link: answer.exporter ?? played.link.exporter,
      ...answer.claims,
    },
    { kid: played.kid, privateKey: played.privateKey, nowMs },
  );
  if (answer.code === undefined || commitment === undefined) return { assertion };
  return { assertion, code: answer.code, salt: commitment.salt };
}

/** What the promise was refused with. */
export async function refusal(work: Promise<unknown>): Promise<SallyportError> {
  try {
    const value = await work;
    throw new Error(`not refused: ${JSON.stringify(value)}`);
  } catch (error) {
    if (error instanceof SallyportError) return error;
    throw error;
  }
}

/** Lets everything that waits for nothing but promises go on. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}

/** An SSH user with an ed25519 key, and the request it signs (RFC 4252 §7). */
export function playSshKey(): {
  readonly publicKey: ReturnType<typeof parsePublicKeyBlob>;
  signRequest(user: string, sessionId?: Buffer): { type: 'publickey'; signed: string; signature: string };
} {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const blob = Buffer.concat([sshString('ssh-ed25519'), sshString(raw)]);
  return {
    publicKey: parsePublicKeyBlob(blob),
    signRequest: (user, sessionId = randomBytes(32)) => {
      const signed = Buffer.concat([
        sshString(sessionId),
        Buffer.from([50]),
        sshString(user),
        sshString('ssh-connection'),
        sshString('publickey'),
        Buffer.from([1]),
        sshString('ssh-ed25519'),
        sshString(blob),
      ]);
      const signature = Buffer.concat([sshString('ssh-ed25519'), sshString(sign(null, signed, privateKey))]);
      return {
        type: 'publickey',
        signed: signed.toString('base64url'),
        signature: signature.toString('base64url'),
      };
    },
  };
}

function sshString(value: string | Buffer): Buffer {
  const octets = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(octets.length);
  return Buffer.concat([length, octets]);
}
