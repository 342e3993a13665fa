/**
 * A main in memory for tests of the HTTPS door: real link, real streams, real assertions; three people, a small tree of
 * files, and no policy. It does what the tests need and refuses the rest.
 */
import { createPublicKey, randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import { SourceGuard } from '#dmz/guard/source-guard.ts';
import type { GuardLimits } from '#dmz/guard/limits.ts';
import { LoginConversation } from '#dmz/login/conversation.ts';
import type {
  AccountHandlers,
  FileHandlers,
  LoginHandlers,
  SessionHandlers,
} from '#main-agent/link/handlers.ts';
import { isCommitmentToChange, purposeOf } from '#shared/assertion/account-change.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { isCommitmentTo } from '#shared/assertion/code-commitment.ts';
import { verifyAssertion } from '#shared/assertion/verify.ts';
import { systemClock, type Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type {
  BinEntry,
  ChallengeView,
  EventBody,
  Policy,
  SessionView,
  StreamHeader,
  UploadView,
} from '#shared/link/messages.ts';
import { buildLog } from '#shared/log.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { buildFakeSessions } from '#test/harness/fake-sessions.ts';
import { buildMemoryLink } from '#test/harness/memory-link.ts';

/** What stands behind `#` in a mailed link. */
export const goodLink = 'L'.repeat(43);
export const rightPassword = 'correct horse battery';
export const rightCode = '123456';
export const usedCode = '111111';
export const driftCode = '222222';
export const recoveryCode = 'ABCDEFGHIJKLMNOP';
export const resendRefusedFor = 17_000;

type Person = {
  readonly next: ChallengeView['next'];
  readonly method: 'totp' | 'email';
  /** Only the administrator's code is accepted. */
  readonly given?: true;
  /** Of a main that asks everybody, and answers once. */
  readonly sealed?: true;
};
const people: Readonly<Record<string, Person>> = {
  alice: { next: 'code', method: 'totp' },
  bob: { next: 'code', method: 'email' },
  dave: { next: 'setup', method: 'totp' },
  frank: { next: 'admit', method: 'totp' },
  hugo: { next: 'code', method: 'totp', sealed: true },
  gail: { next: 'code', method: 'totp', given: true },
};

interface Node {
  readonly type: 'file' | 'folder';
  content: Buffer;
  mtimeMs: number;
}

export interface FakeInside {
  readonly login: LoginConversation;
  readonly guard: SourceGuard;
  readonly memory: Awaited<ReturnType<typeof buildMemoryLink>>;
  readonly files: Map<string, Node>;
  /** By folder: what lies there and is not served. */
  readonly unserved: Map<string, { count: number; names: string[] }>;
  readonly claims: AssertionClaims[];
  /** What the node sent with each of them. */
  readonly asserted: object[];
  readonly events: EventBody<'edge.event'>[];
  /** Verbs main was asked, in order. */
  readonly asked: string[];
  /** Ends a session as an admin does. */
  kick(sessionId: string): Promise<void>;
  /** Bytes of a user's uploads that were begun and not committed. */
  openUploads(): number;
  /** Files that are open for anything. */
  openHandles(): number;
  /** Streams main is sending. */
  openStreams(): number;
  /** Called when a login begins, before it is looked at; what it throws is the answer. */
  onBegin: (() => void) | undefined;
  /** While set, write streams are read but nothing is acknowledged. */
  stall: boolean;
  /** A file whose streams end too early, as when it is cut while it is read. */
  shorten: string | undefined;
  /** A folder whose files nobody may read. */
  closed: string | undefined;
  /** Quota of the whole tree. */
  quotaBytes: number;
  close(): void;
}

export async function buildFakeInside(
  options: {
    readonly clock?: Clock;
    readonly limits?: Partial<GuardLimits>;
    /** A function: as it is when it is sent. */
    readonly policy?: Partial<Policy> | (() => Partial<Policy>);
    readonly validatedLogins?: boolean;
    readonly parkForMs?: number;
  } = {},
): Promise<FakeInside> {
  const clock = options.clock ?? systemClock;
  const log = buildLog('silent', {});
  const key = generateIdentityKey();
  const publicKey = createPublicKey(key.privateKeyPem.expose());
  const sessions = buildFakeSessions();
  const challenges = new Map<string, { user: string; nonce: string; attemptsLeft: number; person: Person }>();
  const views = new Map<string, SessionView>();
  const setups = new Map<string, { state: 'shown' | 'confirmed'; challenge: string; nonce: string }>();
  const enrolled = new Set<string>();
  const unserved = new Map<string, { count: number; names: string[] }>();
  const files = new Map<string, Node>([
    ['/', { type: 'folder', content: Buffer.alloc(0), mtimeMs: 0 }],
    ['/docs', { type: 'folder', content: Buffer.alloc(0), mtimeMs: 0 }],
    [
      '/hello.txt',
      { type: 'file', content: Buffer.from('hello world'), mtimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) },
    ],
  ]);
  /** Oldest first. */
  const bin = new Map<string, BinEntry>();
  const handles = new Map<
    number,
    { path: string; write: boolean; content: Buffer[]; created: boolean; upload?: string }
  >();
  const uploads = new Map<
    string,
    {
      content: Buffer;
      facts: Pick<UploadView, 'path' | 'lengthBytes' | 'mtimeMs' | 'overwrite' | 'metadata'>;
    }
  >();
  const emptyFile: Node = { type: 'file', content: Buffer.alloc(0), mtimeMs: 0 };
  const streams = new Set<LaneStream>();
  let lastHandle = 0;
  const claims: AssertionClaims[] = [];
  const asserted: object[] = [];
  const events: EventBody<'edge.event'>[] = [];
  const asked: string[] = [];
  const state: Pick<FakeInside, 'onBegin' | 'stall' | 'shorten' | 'closed' | 'quotaBytes'> = {
    onBegin: undefined,
    stall: false,
    shorten: undefined,
    closed: undefined,
    quotaBytes: Number.MAX_SAFE_INTEGER,
  };

  function challengeView(id: string): ChallengeView {
    const found = challenges.get(id);
    if (found === undefined) throw new SallyportError('challenge-gone', 'Sign in again');
    const { person, nonce, user, attemptsLeft } = found;
    return {
      challenge: id,
      nonce,
      expiresInMs: 119_500,
      username: user,
      next: person.next,
      ...(person.next === 'admit' ? { admitAs: 'none' as const } : {}),
      ...(person.next === 'code'
        ? {
            asked: {
              ...(person.sealed === true ? { sealed: true as const } : {}),
              method: person.method,
              hint: person.method === 'email' ? 'b…@example.com' : '',
              recovery: person.method === 'totp',
              attemptsLeft,
              shapes:
                person.given === true
                  ? ['bypass' as const]
                  : ['digits6' as const, 'recovery' as const, 'bypass' as const],
              ...(person.method === 'email'
                ? { resendInMs: 30_000, sentAgoMs: 0, deliveredLength: 6, rememberDevice: true as const }
                : {}),
            },
          }
        : {}),
    };
  }

  function openSession(
    username: string,
    sessionState: SessionView['state'],
    method: SessionView['method'],
    protocol: SessionView['protocol'] = 'https',
  ): SessionView {
    const session = sessions.open({ username, state: sessionState, protocol });
    const view: SessionView = {
      session,
      username,
      displayName: `Person ${username}`,
      state: sessionState,
      protocol,
      method,
      idleMs: 900_000,
      leftMs: 43_200_000,
      ...(username === 'frank' ? { notice: 'The disks are cleaned on Sunday' } : {}),
    };
    views.set(session, view);
    return view;
  }

  async function check(
    assertion: { assertion: string; code?: string | undefined; salt?: string | undefined },
    exporter: string,
  ): Promise<AssertionClaims> {
    const found = await verifyAssertion(assertion.assertion, {
      audience: 'main1',
      node: 'dmz1',
      findKey: (kid) => (kid === key.fingerprint ? { node: 'dmz1', publicKey, status: 'active' } : undefined),
      nowMs: clock.now(),
    });
    if (found.link !== exporter) throw new SallyportError('refused', 'no', { detail: 'other link' });
    if ((found.code_commit === undefined) !== (assertion.code === undefined))
      throw new SallyportError('refused', 'no', { detail: 'commitment' });
    if (
      assertion.code !== undefined &&
      !isCommitmentTo(found.code_commit ?? '', assertion.salt ?? '', new Secret(assertion.code))
    )
      throw new SallyportError('refused', 'no', { detail: 'commitment' });
    claims.push(found);
    return found;
  }

  const login: Partial<LoginHandlers> = {
    'login.begin': async ({ user, factor }) => {
      asked.push('login.begin');
      state.onBegin?.();
      const person = Object.hasOwn(people, user) ? people[user] : undefined;
      if (person === undefined || factor.type !== 'password' || factor.password !== rightPassword)
        throw new SallyportError('refused', 'no', { reference: 'REFMAIN1' });
      const id = randomId();
      challenges.set(id, {
        user,
        nonce: randomId(),
        attemptsLeft: 5,
        person: enrolled.has(user) ? { next: 'code', method: 'totp' } : person,
      });
      return challengeView(id);
    },
    'login.set-password': async ({ token, password }) => {
      asked.push('login.set-password');
      if (token !== goodLink) throw new SallyportError('refused', 'no', { reference: 'REFMAIN3' });
      if (password.length < 12)
        throw new SallyportError('too-weak', 'A password needs at least 12 characters', {
          data: { weakness: 'too-short', minimum: 12 },
        });
      return { username: 'frank' };
    },
    'login.probe': async () => ({ acceptable: true }),
    'login.resume': async ({ challenge }) => {
      asked.push('login.resume');
      return challengeView(challenge);
    },
    'login.resend': async () => {
      throw new SallyportError('rate-limited', 'wait', { data: { retryAfterMs: resendRefusedFor } });
    },
    'login.cancel': async ({ challenge }) => {
      asked.push('login.cancel');
      challenges.delete(challenge);
      return {};
    },
    'login.assert': async ({ challenge, ...evidence }, link) => {
      asked.push('login.assert');
      const found = challenges.get(challenge);
      if (found === undefined) throw new SallyportError('challenge-gone', 'Sign in again');
      asserted.push({ challenge, ...evidence });
      const claim = await check(evidence, link.exporter);
      if (claim.challenge !== challenge || claim.nonce !== found.nonce || claim.sub !== found.user)
        throw new SallyportError('refused', 'no');
      if (found.person.next === 'code') {
        const { code } = evidence;
        if (code !== rightCode && code !== recoveryCode) {
          found.attemptsLeft -= 1;
          if (found.attemptsLeft === 0) {
            challenges.delete(challenge);
            throw new SallyportError('refused', 'no', { reference: 'REFMAIN2' });
          }
          const reason = code === usedCode ? 'used-code' : code === driftCode ? 'clock-drift' : 'wrong-code';
          return {
            outcome: 'again',
            reason,
            attemptsLeft: found.attemptsLeft,
            ...(reason === 'clock-drift' ? { driftSeconds: -95 } : {}),
          };
        }
      }
      challenges.delete(challenge);
      return {
        outcome: 'admitted',
        view: openSession(
          found.user,
          found.person.next === 'setup' ? 'setup-required' : 'signed-in',
          claim.method === 'sealed' ? 'none' : claim.method,
          claim.protocol,
        ),
      };
    },
  };

  const session: Partial<SessionHandlers> = {
    'session.attach': async (params) => {
      asked.push('session.attach');
      const view = views.get(params.session);
      if (view === undefined) throw new SallyportError('no-session', 'No such session');
      return view;
    },
    'session.end': async (params) => {
      asked.push('session.end');
      await kick(params.session);
      return {};
    },
    'account.view': async (params, found) => ({
      username: found.username,
      displayName: `Person ${found.username}`,
      state: found.state,
      twoFactor: {
        enrolled: enrolled.has(found.username),
        requiredOn: ['https', 'sftp'],
        registration: true,
        maySetUp: true,
        recoveryCodesLeft: 10,
        ...(found.username === 'frank' ? { requiredFrom: '2026-06-01' } : {}),
      },
      may: { password: true, sshKeys: false },
      mounts: [
        { path: ['in', 'box'], allow: ['list', 'write'] },
        { path: ['kept'], allow: ['list'], binMs: 86_400_500 },
      ],
      quota: { usedBytes: 11, limitBytes: 1000 },
      session: {
        startedAt: '2026-01-02T03:04:05Z',
        method: views.get(params.session)?.method ?? '',
        idleMs: 900_000,
        leftMs: 43_200_000,
      },
    }),
    'enrol.start': async (params, { username }) => {
      if (enrolled.has(username)) throw new SallyportError('already-enrolled', 'Already set up');
      if (username === 'frank') throw new SallyportError('not-allowed', 'Not enabled for you');
      setups.set(params.session, { state: 'shown', challenge: randomId(), nonce: randomId() });
      return {
        secret: 'JBSWY3DPEHPK3PXP',
        otpauthUri: 'otpauth://totp/x',
        qr: 'data:image/png;base64,AA==',
        expiresInMs: 30_000,
      };
    },
    'enrol.confirm': async (params) => {
      const setup = setups.get(params.session);
      if (setup === undefined) throw new SallyportError('setup-expired', 'Start again');
      setup.state = 'confirmed';
      return { proveWithinMs: 120_000, challenge: setup.challenge, nonce: setup.nonce };
    },
    'enrol.resume': async (params) => {
      const setup = setups.get(params.session);
      if (setup?.state !== 'confirmed') throw new SallyportError('setup-not-confirmed', 'Confirm first');
      return { proveWithinMs: 120_000, challenge: setup.challenge, nonce: setup.nonce };
    },
    'enrol.prove': async (params, { username }, link) => {
      const claim = await check(params, link.exporter);
      const setup = setups.get(params.session);
      if (claim.purpose !== 'enrol' || claim.challenge !== setup?.challenge || claim.nonce !== setup.nonce)
        throw new SallyportError('refused', 'no');
      if (params.code !== rightCode) return { outcome: 'again', reason: 'wrong-code', attemptsLeft: 4 };
      enrolled.add(username);
      setups.delete(params.session);
      await kick(params.session);
      const view = openSession(username, 'signed-in', 'totp');
      return { outcome: 'enrolled', recoveryCodes: [recoveryCode], requiredOn: ['https'], view };
    },
  };

  const steps = new Map<string, { challenge: string; nonce: string }>();
  const ownKey = {
    id: sessionKey('key'),
    type: 'ssh-ed25519',
    fingerprint: 'SHA256:x',
    comment: 'me',
    removable: true,
    added: { atMs: 0, node: 'dmz1' },
  };
  const account: Partial<AccountHandlers> = {
    'account.sessions': async (_params, own) => ({
      sessions: [
        {
          id: own.key,
          current: true,
          node: 'dmz1',
          protocol: 'https',
          method: 'totp',
          clientIp: '192.0.2.1',
          startedAtMs: 0,
          agent: 'Mozilla',
        },
      ],
    }),
    'account.leases': async () => ({
      leases: [
        {
          id: sessionKey('lease'),
          node: 'dmz1',
          protocol: 'sftp',
          clientIp: '192.0.2.1',
          agent: 'OpenSSH_9.2',
          startedAtMs: 0,
          usedAtMs: 1,
          expiresAtMs: 2,
        },
      ],
    }),
    'account.devices': async () => ({
      devices: [
        {
          id: sessionKey('device'),
          node: 'dmz1',
          startedAtMs: 0,
          usedAtMs: 1,
          expiresAtMs: 2,
          agent: 'Mozilla',
        },
      ],
    }),
    'account.ssh-keys': async () => ({ sshKeys: [ownKey] }),
    'account.end': async ({ what, id: named, session: own }) => {
      if (what === 'session' && named === sessionKey(own)) await kick(own);
      else if (named !== sessionKey(what)) throw new SallyportError('not-found', 'no such thing');
      return {};
    },
    'account.step-up': async (params, { username }) => {
      if (params.purpose === 'ssh-key' && username === 'bob')
        throw new SallyportError('not-allowed', 'Not allowed here');
      const step = { challenge: randomId(), nonce: randomId() };
      steps.set(params.session, step);
      return { ...step, shapes: username === 'frank' ? [] : ['digits6', 'recovery'] };
    },
    'account.change': async (params, { username }, link) => {
      const claim = await check(params, link.exporter);
      const step = steps.get(params.session);
      steps.delete(params.session);
      if (claim.challenge !== step?.challenge || claim.nonce !== step.nonce || claim.sub !== username)
        throw new SallyportError('refused', 'no');
      const isSigned =
        claim.purpose === purposeOf(params.change) &&
        isCommitmentToChange(claim.change ?? '', params.changeSalt, params.change);
      if (!isSigned) throw new SallyportError('refused', 'no');
      if (params.current !== rightPassword)
        return { outcome: 'again', reason: 'wrong-password', attemptsLeft: 4 };
      if (params.code === usedCode) return { outcome: 'again', reason: 'used-code', attemptsLeft: 3 };
      if (params.change.kind === 'password' && params.change.value.length < 12)
        throw new SallyportError('too-weak', 'A password needs at least 12 characters', {
          data: { weakness: 'too-short', minimum: 12 },
        });
      if (params.change.kind === 'add-ssh-key' && params.change.value === 'known')
        throw new SallyportError('exists', 'This key is there already');
      await kick(params.session);
      const view = openSession(username, 'signed-in', 'totp');
      return {
        outcome: 'changed',
        view,
        ...(params.change.kind === 'recovery-codes' ? { recoveryCodes: [recoveryCode] } : {}),
        ...(params.change.kind === 'add-ssh-key' ? { sshKey: ownKey } : {}),
      };
    },
  };

  const nameOf = (components: readonly string[]): string => `/${components.join('/')}`;
  const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';
  /** A tag for each content there ever was. */
  const tags = new WeakMap<Buffer, string>();
  function tagOf({ content }: Node): string {
    const tag = tags.get(content) ?? randomId().slice(0, 16);
    tags.set(content, tag);
    return tag;
  }
  function attributesOf(node: Node): Attributes {
    return {
      type: node.type,
      size: node.content.length,
      mtimeMs: node.mtimeMs,
      atimeMs: node.mtimeMs,
      mode: node.type === 'folder' ? 0o755 : 0o644,
      links: 1,
      ...(node.type === 'file' ? { etag: tagOf(node) } : {}),
    };
  }
  function requireNode(path: string): Node {
    const node = files.get(path);
    if (node === undefined) throw new SallyportError('not-found', 'There is nothing of that name');
    return node;
  }
  function requireParent(path: string): void {
    if (files.get(parentOf(path))?.type !== 'folder')
      throw new SallyportError('parent-missing', 'The folder for it is missing');
  }
  const childrenOf = (path: string): [string, Node][] => {
    const prefix = path === '/' ? path : `${path}/`;
    return [...files].filter(([name]) => name.startsWith(prefix) && name !== '/' && parentOf(name) === path);
  };
  function move(from: string, to: string, overwrite: boolean, keep: boolean): { replaced: boolean } {
    const node = requireNode(from);
    requireParent(to);
    const replaced = files.has(to);
    if (replaced && !overwrite) throw new SallyportError('exists', 'That name is taken');
    files.set(to, { ...node });
    if (!keep) files.delete(from);
    return { replaced };
  }

  function uploadView(upload: string): UploadView {
    const found = uploads.get(upload);
    if (found === undefined) throw new SallyportError('not-found', 'There is nothing of that name');
    const open = [...handles.values()].find((one) => one.upload === upload);
    const storedBytes = open === undefined ? found.content.length : Buffer.concat(open.content).length;
    return { upload, ...found.facts, storedBytes, expiresAtMs: Date.UTC(2030, 0, 1) };
  }

  const fileHandlers: Partial<FileHandlers> = {
    'fs.list': async ({ path, cursor, limit, sort }) => {
      asked.push('fs.list');
      // As over a network: the door's sockets have their turn in between.
      await turn();
      const name = nameOf(path);
      if (requireNode(name).type !== 'folder') throw new SallyportError('not-a-folder', 'That is a file');
      const all = childrenOf(name)
        .map(([child, node]) => ({
          name: child.slice(child.lastIndexOf('/') + 1),
          attributes: attributesOf(node),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      if (sort.startsWith('-')) all.reverse();
      const start = Number(cursor ?? 0);
      const entries = all.slice(start, start + limit);
      const hidden = cursor === undefined ? unserved.get(name) : undefined;
      return {
        entries,
        ...(start + limit < all.length && { next: String(start + limit) }),
        ...(hidden !== undefined && { unserved: hidden }),
      };
    },
    'fs.survey': async ({ path }) => {
      const found = unserved.get(nameOf(path)) ?? { count: 0, names: [] };
      return { looked: found.count, isComplete: true, unserved: found };
    },
    'fs.stat': async ({ path }) => attributesOf(requireNode(nameOf(path))),
    'fs.open': async ({ path, mode }) => {
      await turn();
      const name = nameOf(path);
      if (mode.write) requireParent(name);
      const node = mode.write ? files.get(name) : requireNode(name);
      if (node?.type === 'folder') throw new SallyportError('is-a-folder', 'That is a folder');
      if (state.closed !== undefined && parentOf(name) === state.closed)
        throw new SallyportError('permission-denied', 'You may not read this');
      lastHandle += 1;
      handles.set(lastHandle, { path: name, write: mode.write, content: [], created: node === undefined });
      return { handle: lastHandle, attributes: attributesOf(node ?? emptyFile), created: node === undefined };
    },
    'fs.stat-handle': async ({ handle }) => {
      const open = handles.get(handle);
      if (open === undefined) throw new SallyportError('bad-handle', 'No such handle');
      return attributesOf(files.get(open.path) ?? emptyFile);
    },
    'fs.commit': async ({ handle, precondition, mtimeMs }) => {
      const open = handles.get(handle);
      handles.delete(handle);
      if (open === undefined) throw new SallyportError('bad-handle', 'No such handle');
      const current = files.get(open.path);
      if (precondition?.ifNoneMatch === '*' && current !== undefined)
        throw new SallyportError('precondition-failed', 'Not as expected');
      const changedMs = mtimeMs ?? uploads.get(open.upload ?? '')?.facts.mtimeMs ?? clock.now();
      const node: Node = { type: 'file', content: Buffer.concat(open.content), mtimeMs: changedMs };
      files.set(open.path, node);
      uploads.delete(open.upload ?? '');
      return { attributes: attributesOf(node), created: current === undefined };
    },
    'fs.release': async ({ handle, keepPartial }) => {
      const open = handles.get(handle);
      const upload = uploads.get(open?.upload ?? '');
      if (keepPartial && open !== undefined && upload !== undefined)
        upload.content = Buffer.concat(open.content);
      handles.delete(handle);
      return {};
    },
    'fs.list-bin': async ({ cursor, limit }) => {
      const all = [...bin.keys()].toReversed();
      const from = cursor === undefined ? 0 : all.indexOf(cursor) + 1;
      const some = all.slice(from, from + limit);
      return {
        entries: some.flatMap((id) => bin.get(id) ?? []),
        ...(from + limit < all.length ? { next: some.at(-1) ?? '' } : {}),
        keptBytes: 0,
        keptEntries: all.length,
      };
    },
    'fs.restore-binned': async ({ id, keepBoth }) => {
      const entry = bin.get(id);
      if (entry === undefined) throw new SallyportError('not-found', 'That is not in your bin any more');
      const isTaken = files.has(nameOf(entry.path));
      if (isTaken && !keepBoth) throw new SallyportError('exists', 'That name is taken');
      const path = isTaken ? [...entry.path.slice(0, -1), 'beside'] : entry.path;
      files.set(nameOf(path), { type: 'file', content: Buffer.alloc(0), mtimeMs: 0 });
      bin.delete(id);
      return { path };
    },
    'fs.empty-bin': async ({ ids }) => {
      const dropped = (ids ?? [...bin.keys()]).filter((id) => bin.delete(id)).length;
      return { dropped };
    },
    'fs.create-upload': async ({ path, lengthBytes, mtimeMs, overwrite, metadata }) => {
      const name = nameOf(path);
      requireParent(name);
      if (files.has(name) && !overwrite) throw new SallyportError('exists', 'That name is taken');
      const upload = randomId().slice(0, 22);
      uploads.set(upload, {
        content: Buffer.alloc(0),
        facts: {
          path,
          lengthBytes,
          overwrite,
          ...(mtimeMs !== undefined && { mtimeMs }),
          ...(metadata !== undefined && { metadata }),
        },
      });
      return uploadView(upload);
    },
    'fs.find-upload': async ({ upload }) => uploadView(upload),
    'fs.list-uploads': async () => ({ uploads: [...uploads.keys()].map(uploadView) }),
    'fs.open-upload': async ({ upload }) => {
      const view = uploadView(upload);
      for (const [number, open] of handles) if (open.upload === upload) handles.delete(number);
      lastHandle += 1;
      handles.set(lastHandle, {
        path: nameOf(view.path),
        write: true,
        content: [uploads.get(upload)?.content ?? Buffer.alloc(0)],
        created: true,
        upload,
      });
      return { handle: lastHandle, attributes: attributesOf(emptyFile), upload: view };
    },
    'fs.remove-upload': async ({ upload }) => {
      uploadView(upload);
      uploads.delete(upload);
      return {};
    },
    'fs.change-handle': async ({ handle, change }) => {
      const open = handles.get(handle);
      if (open !== undefined) open.content = [Buffer.concat(open.content).subarray(0, change.size)];
      return {};
    },
    'fs.make-folder': async ({ path }) => {
      const name = nameOf(path);
      requireParent(name);
      if (files.has(name)) throw new SallyportError('exists', 'That name is taken');
      files.set(name, { type: 'folder', content: Buffer.alloc(0), mtimeMs: clock.now() });
      return {};
    },
    'fs.remove-file': async ({ path, forGood }) => {
      files.delete(nameOf(path));
      if (forGood === true) return {};
      const id = randomBytes(16).toString('base64url');
      const times = { deletedAtMs: Date.UTC(2026, 0, 1), expiresAtMs: Date.UTC(2026, 0, 8) };
      bin.set(id, { id, path, type: 'file', bytes: 3, by: 'frank', reason: 'deleted', ...times });
      return { binned: id };
    },
    'fs.remove-folder': async ({ path, recursive }) => {
      const name = nameOf(path);
      if (!recursive && childrenOf(name).length > 0)
        throw new SallyportError('not-empty', 'The folder is not empty');
      const hidden = unserved.get(name)?.count;
      if (!recursive && hidden !== undefined)
        throw new SallyportError('not-empty', 'It holds what is not shown', { data: { unserved: hidden } });
      for (const child of files.keys())
        if (child === name || child.startsWith(`${name}/`)) files.delete(child);
      return {};
    },
    'fs.rename': async ({ from, to, overwrite }) => move(nameOf(from), nameOf(to), overwrite, false),
    'fs.copy': async ({ from, to, overwrite }) => move(nameOf(from), nameOf(to), overwrite, true),
  };

  function serveStream(header: StreamHeader, stream: LaneStream): void {
    const open = handles.get(header.handle);
    if (open === undefined) {
      stream.reset(new SallyportError('bad-handle', 'No such handle'));
      return;
    }
    if (header.kind === 'read') {
      const { content } = requireNode(open.path);
      const whole = header.lengthBytes === undefined ? content.length : header.offset + header.lengthBytes;
      const end = state.shorten === open.path ? whole - 1 : whole;
      streams.add(stream);
      stream.onReset = () => streams.delete(stream);
      sendPieces(stream, content.subarray(header.offset, end), () => streams.delete(stream));
      return;
    }
    // A stream taken up again goes on where the kernel got to.
    open.content = [Buffer.concat(open.content).subarray(0, header.offset)];
    let total = header.offset;
    stream.onData = (bytes, release) => {
      total += bytes.length;
      if (total > state.quotaBytes) {
        release();
        stream.reset(new SallyportError('quota-exceeded', 'Your space is used up'));
        return;
      }
      open.content.push(Buffer.from(bytes));
      if (!state.stall) release();
    };
  }

  /** As main's reader does: on while the stream takes more, and again when it has drained. */
  function sendPieces(stream: LaneStream, bytes: Buffer, sent: () => void): void {
    let offset = 0;
    const pump = (): void => {
      while (offset < bytes.length) {
        const piece = bytes.subarray(offset, offset + 65_536);
        offset += piece.length;
        if (!stream.write(piece, offset >= bytes.length ? sent : undefined) && offset < bytes.length) return;
      }
      stream.end();
    };
    stream.onDrain = pump;
    pump();
  }

  async function kick(sessionId: string): Promise<void> {
    views.delete(sessionId);
    await sessions.end(sessionKey(sessionId), 'ended');
    memory.connection().send('session.ended', { sessionKey: sessionKey(sessionId), reason: 'ended' });
  }

  const policy = (): Policy => ({
    validatedLogins: true,
    branding: { name: 'Sallyport' },
    neverBan: [],
    bans: [],
    ...(typeof options.policy === 'function' ? options.policy() : options.policy),
  });
  const memory = await buildMemoryLink({
    login,
    session,
    account,
    files: fileHandlers,
    onStream: serveStream,
    sessions,
    policy,
    onEdgeEvent: (event) => events.push(event),
    clock,
    parkForMs: options.parkForMs ?? 50,
  });
  const guard = new SourceGuard({
    link: memory.link,
    clock,
    log,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const service = new LoginConversation({
    link: memory.link,
    node: 'dmz1',
    signingKeyPem: key.privateKeyPem,
    validatedLogins: options.validatedLogins ?? true,
    buildFiles: (id) => buildRemoteFiles({ link: memory.link, session: id }),
    guard,
    clock,
    log,
  });
  return Object.assign(state, {
    login: service,
    guard,
    memory,
    files,
    unserved,
    claims,
    events,
    asked,
    asserted,
    kick,
    openStreams: () => streams.size,
    openHandles: () => handles.size,
    openUploads: () => [...handles.values()].filter(({ write }) => write).length,
    close: () => {
      service.close();
      guard.close();
      memory.close();
    },
  });
}
