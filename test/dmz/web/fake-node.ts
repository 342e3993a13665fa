import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { type Branding, buildClientPage } from '#dmz/https/client-page.ts';
import { apiHeaders, pageHeaders } from '#dmz/https/exchange/headers.ts';
import { encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { drawQr } from '#main-agent/two-factor/qr.ts';
import { defaultTotpSettings, stepAt } from '#main-agent/two-factor/totp.ts';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import { FakeFolders, type FakeEntry } from './fake-folders.ts';

/**
 * A stand-in for a whole Sallyport, for tests of the browser code: the same routes and answers as the https door, the
 * very headers of the real one, users and files in memory. It proves nothing about the server and is for scenes; what
 * people do with the client runs against the real processes (`test/e2e/web-*`).
 */

export interface FakeUser {
  readonly password: string;
  /** What a login asks after the password. */
  readonly asks: 'nothing' | 'totp' | 'email';
  readonly hint?: string;
  readonly registration: boolean;
  readonly forced: boolean;
  /** Only a code from the administrator is accepted. */
  readonly given?: true;
  /** The browser may be remembered. */
  readonly remembers?: true;
  /** What the administrator wants to hear before a set-up. */
  readonly ticket?: string;
  /** Two-factor becomes a duty then. */
  readonly requiredFrom?: string;
  readonly mayChange?: false;
  /** Sees everything and changes nothing. */
  readonly mayOnlyLook?: true;
  /** Seconds that a session lasts at most. */
  readonly sessionSeconds?: number;
  readonly quotaBytes?: number;
  /** Base32. */
  totpSecret?: string;
  recoveryCodes: string[];
  readonly usedCodes: Set<string>;
}

interface FakeSession {
  readonly username: string;
  readonly method?: string;
  state: 'code-required' | 'setup-required' | 'signed-in';
  attemptsLeft: number;
  setup?: { readonly secret: string; readonly expiresAtMs: number; confirmed: boolean; attemptsLeft: number };
}

const plainBranding: Branding = { name: 'Sallyport' };

const verbs = ['list', 'read', 'write', 'overwrite', 'delete', 'rename', 'mkdir'];

const typeOf: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

class Refusal extends Error {
  readonly status: number;
  readonly reason: string;
  readonly members: Readonly<Record<string, unknown>>;
  readonly retryAfter: number | undefined;

  constructor(status: number, reason: string, members: Record<string, unknown> = {}, retryAfter?: number) {
    super(reason);
    this.status = status;
    this.reason = reason;
    this.members = members;
    this.retryAfter = retryAfter;
  }
}

interface FakeBinned {
  readonly id: string;
  readonly path: readonly string[];
  readonly entry: FakeEntry;
  readonly by: string;
  readonly reason: 'deleted' | 'replaced';
}

export class FakeNode {
  readonly users = new Map<string, FakeUser>();
  readonly folders = new FakeFolders();
  /** Every code that was "mailed", newest last. */
  readonly mailedCodes: string[] = [];
  /** Requests answered so far, as `METHOD /path`. */
  readonly requests: string[] = [];
  /** Seconds; main is down while set. */
  outageRetryAfter: number | undefined;
  /** Unfinished uploads, as the API lists them. */
  uploads: object[] = [];
  /** Uploads stop half-way until this resolves. */
  uploadGate: Promise<void> | undefined;
  /** Status that the next listing fails with. */
  nextListingStatus: number | undefined;
  /** Status that every upload fails with. */
  uploadStatus: number | undefined;
  /** What was deleted, newest first. */
  bin: FakeBinned[] = [];
  /** What lies in every folder and is in no listing. */
  unserved: { readonly count: number; readonly names: readonly string[] } | undefined;
  /** Downloads are put together until this resolves. */
  downloadGate: Promise<void> | undefined;
  /** What every download is refused for. */
  downloadRefusal:
    { readonly status: number; readonly reason: string; readonly [member: string]: unknown } | undefined;
  /** What the next change of the account is refused for. */
  nextChangeRefusal:
    { readonly status: number; readonly reason: string; readonly [member: string]: unknown } | undefined;
  listingGate: Promise<void> | undefined;
  /** What its page says of this place. */
  branding: Branding = plainBranding;
  readonly #sessions = new Map<string, FakeSession>();
  readonly #answering = new Set<Promise<void>>();
  readonly #server: Server;
  readonly #dist: string;

  constructor(dist: string) {
    this.#dist = dist;
    this.#server = createServer((request, response) => {
      const answering = this.#answer(request, response).finally(() => this.#answering.delete(answering));
      this.#answering.add(answering);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://localhost:${address.port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  endSessionsOf(username: string): void {
    for (const [id, session] of this.#sessions) if (session.username === username) this.#sessions.delete(id);
  }

  /** Resolves when every request that came in is answered. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#answering);
  }

  /** Nothing fails, nothing is held up and nobody is in the middle of anything any more. */
  mend(): void {
    this.branding = plainBranding;
    this.outageRetryAfter = undefined;
    this.nextListingStatus = undefined;
    this.downloadGate = undefined;
    this.unserved = undefined;
    this.downloadRefusal = undefined;
    this.nextChangeRefusal = undefined;
    this.uploadStatus = undefined;
    this.uploadGate = undefined;
    this.listingGate = undefined;
    this.uploads = [];
    this.bin = [];
    for (const session of this.#sessions.values()) delete session.setup;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    this.requests.push(`${request.method} ${url.pathname}`);
    try {
      if (url.pathname.startsWith('/api/')) await this.#answerApi(request, response, url);
      else await this.#sendStatic(response, url.pathname);
    } catch (error) {
      const refusal =
        error instanceof Refusal ? error : new Refusal(500, 'internal', { detail: String(error) });
      this.#send(
        response,
        refusal.status,
        {
          title: 'Refused',
          status: refusal.status,
          detail: refusal.message,
          reference: '7F3K-92QD',
          reason: refusal.reason,
          ...refusal.members,
        },
        refusal.retryAfter === undefined ? [] : ['Retry-After', String(refusal.retryAfter)],
      );
    }
  }

  async #sendStatic(response: ServerResponse, pathname: string): Promise<void> {
    const isFile = /^\/(assets\/[\w.-]+|favicon\.svg)$/.test(pathname);
    const file = join(this.#dist, isFile ? pathname : 'index.html');
    const content = await readFile(file);
    const branded = buildClientPage(content.toString('utf8'), () => this.branding)();
    const own = pathname.startsWith('/branding/') ? branded.files.get(pathname) : branded.page;
    if (!isFile && own !== undefined) {
      response.writeHead(200, [...own.headers]);
      response.end(own.plain);
      return;
    }
    response.writeHead(200, [
      ...pageHeaders,
      'Content-Type',
      typeOf[extname(file)] ?? 'application/octet-stream',
    ]);
    response.end(content);
  }

  #send(response: ServerResponse, status: number, body?: unknown, headers: readonly string[] = []): void {
    response.writeHead(status, [...apiHeaders, 'Content-Type', 'application/json', ...headers]);
    response.end(body === undefined ? '' : JSON.stringify(body));
  }

  async #answerApi(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    if (this.outageRetryAfter !== undefined) throw new Refusal(503, 'link-down', {}, this.outageRetryAfter);
    const id = /__Host-sallyport=([^;]+)/.exec(request.headers.cookie ?? '')?.[1] ?? '';
    const session = this.#sessions.get(id);
    const route = `${request.method} ${url.pathname}`;
    if (route === 'POST /api/login') return this.#login(response, JSON.parse(await readText(request)));
    if (route === 'POST /api/password/set') {
      const { token } = JSON.parse(await readText(request));
      if (token !== 'good') throw new Refusal(401, 'dead-link');
      return this.#send(response, 200, { username: 'frank' });
    }
    if (session === undefined) throw new Refusal(401, 'no-session');
    if (route === 'POST /api/logout') {
      this.#sessions.delete(id);
      return this.#send(response, 204);
    }
    if (session.state === 'code-required') {
      if (route === 'POST /api/login/code')
        return this.#checkCode(response, session, id, JSON.parse(await readText(request)).code);
      if (route === 'GET /api/login/code') return this.#askAgain(response, session);
      if (route === 'POST /api/login/resend') {
        this.#mailCode();
        return this.#send(response, 204);
      }
      throw new Refusal(401, 'no-session');
    }
    if (route === 'GET /api/me') return this.#send(response, 200, this.#describe(session));
    if (url.pathname.startsWith('/api/two-factor/'))
      return this.#setUp(response, session, route, JSON.parse((await readText(request)) || '{}'));
    if (session.state === 'setup-required') throw new Refusal(403, 'setup-required');
    if (url.pathname.startsWith('/api/files/')) return this.#answerFiles(request, response, url);
    if (url.pathname.startsWith('/api/bin')) return this.#answerBin(request, response, route);
    if (route === 'POST /api/downloads')
      return this.#prepareDownload(response, JSON.parse(await readText(request)));
    const own = this.#describeOwn()[route];
    if (own !== undefined) return this.#send(response, 200, own);
    if (url.pathname.startsWith('/api/me/')) return this.#change(response);
    throw new Refusal(404, 'not-found');
  }

  /** A person with a second session, a lease, a remembered browser, a key, and one upload left unfinished. */
  #describeOwn(): Readonly<Record<string, object>> {
    const at = (hoursAgo: number): string => new Date(Date.now() - hoursAgo * 3_600_000).toISOString();
    const browser =
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15';
    const session = { protocol: 'https', client_ip: '203.0.113.9', started_at: at(2), agent: browser };
    return {
      'GET /api/me/sessions': {
        sessions: [
          { ...session, id: 'a', current: true },
          {
            ...session,
            id: 'b',
            current: false,
            protocol: 'sftp',
            agent: 'SSH-2.0-FileZilla_3.66.5',
            client_ip: '2001:db8::17',
            started_at: at(50),
          },
        ],
      },
      'GET /api/me/leases': {
        leases: [{ id: 'c', client_ip: '203.0.113.9', agent: 'SSH-2.0-OpenSSH_9.2', expires_at: at(-1) }],
      },
      'GET /api/me/devices': { devices: [{ id: 'd', started_at: at(200), used_at: at(20), agent: browser }] },
      'GET /api/me/ssh-keys': {
        ssh_keys: [
          {
            id: 'e',
            type: 'ssh-ed25519',
            fingerprint: 'SHA256:6z9Zb1nqM1m3xkz1m0JrT5v0h8o2bq1nqM1m3xkz1m0',
            comment: 'laptop',
            removable: true,
            added_at: at(400),
          },
        ],
      },
      'GET /api/uploads': { uploads: [...this.uploads] },
    };
  }

  /** Archives are not made here: their address leads nowhere. */
  async #prepareDownload(
    response: ServerResponse,
    { folder, names }: { readonly folder: string; readonly names: readonly string[] },
  ): Promise<void> {
    await this.downloadGate;
    if (this.downloadRefusal !== undefined) {
      const { status, reason, ...members } = this.downloadRefusal;
      throw new Refusal(status, reason, members);
    }
    const path = [...folder.split('/').filter(Boolean), ...names];
    const address =
      names.length === 1 ? `/api/files/${path.map(encodeURIComponent).join('/')}` : '/api/downloads/x';
    this.#send(response, 201, { address });
  }

  #change(response: ServerResponse): void {
    const refusal = this.nextChangeRefusal;
    this.nextChangeRefusal = undefined;
    if (refusal === undefined) return this.#send(response, 204);
    const { status, reason, ...members } = refusal;
    throw new Refusal(status, reason, members);
  }

  #open(response: ServerResponse, session: FakeSession, body: unknown): void {
    const id = randomBytes(16).toString('hex');
    this.#sessions.set(id, session);
    this.#send(response, 200, body, [
      'Set-Cookie',
      `__Host-sallyport=${id}; Path=/; Secure; HttpOnly; SameSite=Strict`,
    ]);
  }

  #user(session: FakeSession): FakeUser {
    const user = this.users.get(session.username);
    if (user === undefined) throw new Refusal(401, 'no-session');
    return user;
  }

  #login(response: ServerResponse, { username, password }: { username: string; password: string }): void {
    const user = this.users.get(username);
    if (user === undefined || user.password !== password) throw new Refusal(401, 'refused');
    const asks = user.totpSecret !== undefined && user.asks !== 'nothing' ? 'totp' : user.asks;
    if (asks === 'nothing' || (asks === 'totp' && user.totpSecret === undefined)) {
      const state = user.forced && user.totpSecret === undefined ? 'setup-required' : 'signed-in';
      return this.#open(response, { username, state, attemptsLeft: 0 }, { state, user: username });
    }
    if (asks === 'email') this.#mailCode();
    this.#open(
      response,
      { username, state: 'code-required', attemptsLeft: 5 },
      { state: 'code-required', challenge: this.#challengeOf(user, asks, 5) },
    );
  }

  #challengeOf(user: FakeUser, asks: string, attemptsLeft: number): object {
    return {
      method: asks,
      hint: user.hint ?? '',
      recovery: asks === 'totp' && user.given !== true,
      ...(user.given === true && { given: true }),
      ...(user.remembers === true && { remember_device: true }),
      attempts_left: attemptsLeft,
      expires_in: 300,
      ...(asks === 'email' && { sent_ago: 0, resend_in: 30 }),
    };
  }

  #askAgain(response: ServerResponse, session: FakeSession): void {
    const user = this.#user(session);
    const challenge = this.#challengeOf(
      user,
      user.totpSecret === undefined ? user.asks : 'totp',
      session.attemptsLeft,
    );
    this.#send(response, 200, { state: 'code-required', username: session.username, challenge });
  }

  #mailCode(): void {
    this.mailedCodes.push(String(100_000 + (randomBytes(4).readUInt32BE() % 900_000)));
  }

  #checkCode(response: ServerResponse, session: FakeSession, id: string, code: string): void {
    const user = this.#user(session);
    const again = (reason: string, members: Record<string, unknown> = {}): never => {
      session.attemptsLeft -= 1;
      if (session.attemptsLeft > 0)
        throw new Refusal(401, reason, { attempts_left: session.attemptsLeft, ...members });
      this.#sessions.delete(id);
      throw new Refusal(401, 'refused');
    };
    const isTotp = user.totpSecret !== undefined && showedLately(user.totpSecret, code);
    const isMailed = user.totpSecret === undefined && code === this.mailedCodes.at(-1);
    if (!isTotp && !isMailed && !user.recoveryCodes.includes(code)) again('wrong-code');
    if (user.usedCodes.has(code)) again('used-code');
    user.usedCodes.add(code);
    const method = user.recoveryCodes.includes(code) ? 'recovery' : isTotp ? 'totp' : 'email';
    user.recoveryCodes = user.recoveryCodes.filter((left) => left !== code);
    this.#sessions.delete(id);
    this.#open(
      response,
      { username: session.username, method, state: 'signed-in', attemptsLeft: 0 },
      { state: 'signed-in', user: session.username },
    );
  }

  #describe(session: FakeSession): unknown {
    const user = this.#user(session);
    const enrolled = user.totpSecret !== undefined;
    return {
      username: session.username,
      display_name: '',
      state: session.state,
      two_factor: {
        enrolled,
        required_on: enrolled ? ['https', 'sftp'] : [],
        registration: user.registration,
        may_set_up: user.registration && !enrolled,
        recovery_codes_left: user.recoveryCodes.length,
        ...(user.requiredFrom !== undefined && { required_from: user.requiredFrom }),
      },
      may: { password: user.mayChange !== false, ssh_keys: user.mayChange !== false },
      files: [
        {
          path: '/',
          allow: user.mayOnlyLook === true ? verbs.slice(0, 2) : verbs,
          bin_seconds: 7 * 86_400,
        },
      ],
      quota: {
        used_bytes: this.folders.usedBytes(),
        ...(user.quotaBytes !== undefined && { limit_bytes: user.quotaBytes }),
      },
      session: {
        started_at: new Date().toISOString(),
        method: session.method ?? 'none',
        idle_seconds: 900,
        expires_in: user.sessionSeconds ?? 43_200,
      },
    };
  }

  async #setUp(
    response: ServerResponse,
    session: FakeSession,
    route: string,
    body: { code?: string; ticket?: string },
  ): Promise<void> {
    const user = this.#user(session);
    const { setup } = session;
    switch (route) {
      case 'GET /api/two-factor/setup':
        return this.#send(
          response,
          200,
          setup?.confirmed === true ? { state: 'confirmed', prove_within: 120 } : { state: 'none' },
        );
      case 'POST /api/two-factor/setup': {
        if (user.totpSecret !== undefined) throw new Refusal(409, 'already-enrolled');
        if (user.ticket !== undefined && body.ticket !== user.ticket)
          throw new Refusal(403, 'ticket-required', body.ticket === undefined ? {} : { attempts_left: 4 });
        const secret = encodeBase32(randomBytes(20));
        const uri = `otpauth://totp/Sallyport:${session.username}?secret=${secret}&issuer=Sallyport`;
        session.setup = { secret, expiresAtMs: Date.now() + 30_000, confirmed: false, attemptsLeft: 5 };
        const qr = await drawQr(uri);
        return this.#send(response, 201, { secret, otpauth_uri: uri, qr, expires_in: 30 });
      }
      case 'POST /api/two-factor/setup/confirm':
        if (setup === undefined || Date.now() > setup.expiresAtMs) throw new Refusal(410, 'setup-expired');
        setup.confirmed = true;
        return this.#send(response, 200, { prove_within: 120 });
      case 'POST /api/two-factor/setup/prove': {
        if (setup?.confirmed !== true) throw new Refusal(409, 'setup-not-confirmed');
        if (!showedLately(setup.secret, body.code ?? '')) {
          setup.attemptsLeft -= 1;
          throw new Refusal(401, 'wrong-code', { attempts_left: setup.attemptsLeft });
        }
        user.totpSecret = setup.secret;
        user.recoveryCodes = recoveryCodes(setup.secret);
        session.state = 'signed-in';
        return this.#send(response, 200, {
          recovery_codes: user.recoveryCodes,
          required_on: ['https', 'sftp'],
        });
      }
      case 'POST /api/two-factor/recovery-codes':
        if (this.nextChangeRefusal !== undefined) return this.#change(response);
        user.recoveryCodes = recoveryCodes(user.totpSecret ?? '');
        return this.#send(response, 200, { recovery_codes: user.recoveryCodes });
      default:
        throw new Refusal(404, 'not-found');
    }
  }

  #binned(path: readonly string[], entry: FakeEntry): string {
    const id = String(this.bin.length).padStart(22, 'x');
    this.bin.unshift({ id, path, entry, by: 'carol', reason: 'deleted' });
    return id;
  }

  async #answerBin(request: IncomingMessage, response: ServerResponse, route: string): Promise<void> {
    await this.listingGate;
    if (this.nextListingStatus !== undefined) {
      const status = this.nextListingStatus;
      this.nextListingStatus = undefined;
      throw new Refusal(status, 'io-error');
    }
    if (route === 'GET /api/bin') {
      const entries = this.bin.map(({ path, entry, ...one }) => ({
        ...one,
        name: path.at(-1),
        path: `/${path.join('/')}`,
        type: entry.children === undefined ? 'file' : 'folder',
        size: entry.size,
        deleted_at: new Date(Date.now() - 3_600_000).toISOString(),
        expires_at: new Date(Date.now() + 5 * 86_400_000 + 60_000).toISOString(),
      }));
      return this.#send(response, 200, { entries, kept_bytes: 0, kept_entries: entries.length });
    }
    const { ids, conflict } = JSON.parse(await readText(request)) as { ids: string[]; conflict?: string };
    const meant = this.bin.filter(({ id }) => ids.includes(id));
    if (route === 'POST /api/bin/restore')
      for (const { path, entry } of meant) {
        if (this.folders.find(path) === undefined) this.folders.put(path, entry);
        else if (conflict === undefined) throw new Refusal(409, 'exists');
      }
    this.bin = this.bin.filter(({ id }) => !ids.includes(id));
    return this.#send(response, 200, { results: ids.map((id) => ({ id, path: '/' })), dropped: ids.length });
  }

  async #answerFiles(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const path = url.pathname
      .slice('/api/files/'.length)
      .split('/')
      .filter((part) => part !== '')
      .map((part) => decodeURIComponent(part));
    const { folders } = this;
    const entry = folders.find(path);
    switch (request.method ?? '') {
      case 'HEAD':
      case 'GET':
        if (entry === undefined) throw new Refusal(404, 'not-found');
        if (entry.children === undefined)
          return this.#sendFile(response, path.at(-1) ?? '', entry, request.method === 'HEAD');
        await this.listingGate;
        if (this.nextListingStatus !== undefined) {
          const status = this.nextListingStatus;
          this.nextListingStatus = undefined;
          throw new Refusal(status, 'io-error');
        }
        return this.#send(response, 200, {
          path: `/${path.join('/')}`,
          ...folders.page(entry, url.searchParams),
          ...(this.unserved !== undefined && { unserved: this.unserved }),
        });
      case 'PUT': {
        const chunks: Buffer[] = [];
        for await (const chunk of request) {
          chunks.push(chunk);
          await this.uploadGate;
        }
        if (this.uploadStatus !== undefined) throw new Refusal(this.uploadStatus, 'refused');
        if (entry !== undefined && request.headers['if-none-match'] === '*')
          throw new Refusal(412, 'precondition-failed');
        folders.putFile(path, Buffer.concat(chunks));
        return this.#send(response, entry === undefined ? 201 : 204);
      }
      case 'DELETE':
        if (entry === undefined || !folders.remove(path)) throw new Refusal(404, 'not-found');
        return this.#send(response, 204, undefined, ['Sallyport-Bin', this.#binned(path, entry)]);
      case 'POST': {
        if (url.searchParams.get('op') === 'mkdir') {
          if (entry !== undefined) throw new Refusal(409, 'exists');
          folders.putFolder(path);
          return this.#send(response, 201);
        }
        const { to } = JSON.parse(await readText(request));
        if (!folders.rename(path, String(to).split('/').filter(Boolean))) throw new Refusal(409, 'exists');
        return this.#send(response, 201);
      }
      default:
        throw new Refusal(405, 'method-not-allowed');
    }
  }

  #sendFile(response: ServerResponse, name: string, entry: FakeEntry, isHead: boolean): void {
    response.writeHead(200, [
      ...apiHeaders,
      'Content-Type',
      'application/octet-stream',
      'Content-Disposition',
      `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
      'Last-Modified',
      new Date(entry.mtimeMs).toUTCString(),
      'Content-Length',
      // More than its content, for a file that only looks large.
      String(isHead ? entry.size : entry.content.length),
    ]);
    response.end(entry.content);
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** This step's code or the one before: a test may type it just as the step ends. */
function showedLately(secret: string, code: string): boolean {
  const authenticator = new Authenticator(secret);
  const step = stepAt(Date.now(), defaultTotpSettings);
  return code === authenticator.at(step) || code === authenticator.at(step - 1);
}

function recoveryCodes(seed: string): string[] {
  return Array.from({ length: 10 }, (_, index) => recoveryCode(seed, index));
}

function recoveryCode(seed: string, index: number): string {
  const bytes = createHmac('sha256', seed).update(String(index)).digest().subarray(0, 10);
  return (encodeBase32(bytes).match(/.{4}/g) ?? []).join('-');
}
