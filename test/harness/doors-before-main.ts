import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import { SourceGuard } from '#dmz/guard/source-guard.ts';
import { buildHttpsServer } from '#dmz/https/server.ts';
import { LoginConversation } from '#dmz/login/conversation.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { startTestServer, type TestServer } from '#test/dmz/sftp/fakes/test-server.ts';
import { buildMemoryLink } from '#test/harness/memory-link.ts';
import { buildRig, buildUser, type Rig, type RigOptions } from '#test/main-agent/login/rig.ts';

/**
 * Both doors before main's real login, joined by a link in memory: what a stranger is told, byte for byte, and what the
 * node itself is told for it.
 */

export interface DoorsBeforeMain {
  readonly rig: Rig;
  readonly httpsPort: number;
  readonly ca: string;
  readonly sftp: TestServer;
  /** What main sent over the link since it was asked last: messages and bytes, and each without what is random. */
  takeSent(): { readonly messages: number; readonly bytes: number; readonly texts: readonly string[] };
  restartMain(): Promise<void>;
  close(): Promise<void>;
}

export async function openDoors(
  options: RigOptions,
  people: Readonly<Record<string, Partial<EffectiveUser>>>,
): Promise<DoorsBeforeMain> {
  let rig = await buildRig(options);
  for (const [name, change] of Object.entries(people))
    await rig.change(name, { ...buildUser(name), ...change });
  let sent: string[] = [];
  const memory = await buildMemoryLink({
    login: {
      'login.begin': (...asked) => rig.login.loginHandlers['login.begin'](...asked),
      'login.probe': (...asked) => rig.login.loginHandlers['login.probe'](...asked),
      'login.resume': (...asked) => rig.login.loginHandlers['login.resume'](...asked),
      'login.assert': (...asked) => rig.login.loginHandlers['login.assert'](...asked),
      'login.resend': (...asked) => rig.login.loginHandlers['login.resend'](...asked),
      'login.cancel': (...asked) => rig.login.loginHandlers['login.cancel'](...asked),
    },
    tap: (_kind, bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      // Heartbeats come when they come.
      if (/"kind":"(?:ping|pong)"/.test(text)) return;
      // The number of a request grows, for everybody, and waits are compared where they are told.
      sent.push(text.replaceAll(/"(?:id|retryAfterMs)":[0-9.]+/g, ''));
    },
  });
  const clock = { now: () => rig.now(), monotonic: () => rig.now() };
  const log = buildLog('silent', {});
  const { link } = memory;
  const guard = new SourceGuard({ link, clock, log });
  const signingKey = rig.node.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const login = new LoginConversation({
    link,
    node: 'dmz1',
    signingKeyPem: new Secret(signingKey.toString()),
    validatedLogins: true,
    buildFiles: (session) => buildRemoteFiles({ link, session }),
    guard,
    clock,
    log,
  });
  const authority = createThrowAwayAuthority(Date.now());
  const certificate = authority.issueServerCertificate(['localhost']);
  const https = buildHttpsServer({
    listen: { host: '127.0.0.1', port: 0 },
    certificate: { certificatePem: certificate.certificatePem, keyPem: certificate.privateKeyPem },
    profile: 'strict',
    publicUrl: 'https://localhost',
    login,
    guard,
    link,
    webRoot: '/nowhere',
    clock,
    log,
  });
  await https.start();
  const sftp = await startTestServer({}, { login, guard, clock });
  return {
    get rig() {
      return rig;
    },
    httpsPort: https.address.port,
    ca: authority.certificatePem,
    sftp,
    takeSent() {
      const texts = sent;
      sent = [];
      return { messages: texts.length, bytes: texts.reduce((sum, one) => sum + one.length, 0), texts };
    },
    async restartMain() {
      rig = await rig.restart();
    },
    async close() {
      await Promise.all([https.close(), sftp.close()]);
      login.close();
      guard.close();
      memory.close();
      rig.close();
    },
  };
}

/** Addresses of this machine, one for each use: what the doors count by address is nobody else's. */
let lastAddress = 0;
export function freshAddress(): string {
  lastAddress += 1;
  return `127.${1 + (lastAddress >> 16)}.${(lastAddress >> 8) & 255}.${lastAddress & 255}`;
}

export interface DoorAnswer {
  readonly status: number;
  /** All of it, without what is different each time for everybody: date, reference, and what a cookie holds. */
  readonly told: { readonly headers: readonly string[]; readonly text: string };
  /** To be sent back. */
  readonly cookie: string | undefined;
}

/** One JSON request over a connection of its own. */
export async function postJson(
  doors: Pick<DoorsBeforeMain, 'httpsPort' | 'ca'>,
  from: string,
  path: string,
  content: object,
  cookie?: string,
): Promise<DoorAnswer> {
  const body = JSON.stringify(content);
  const request = httpsRequest({
    host: '127.0.0.1',
    port: doors.httpsPort,
    servername: 'localhost',
    ca: doors.ca,
    localAddress: from,
    agent: new Agent({ keepAlive: false }),
    method: 'POST',
    path,
    headers: {
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(body)),
      ...(cookie !== undefined && { Cookie: cookie }),
    },
  });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const status = response.statusCode ?? 0;
  // For want of capacity everybody is sent away for a time that is drawn anew.
  const drawn = status === 503 ? ['Date', 'Retry-After'] : ['Date'];
  const headers = response.rawHeaders.map((one, index, all) =>
    drawn.includes(all[index - 1] ?? '') ? '…' : one.replaceAll(/[A-Za-z0-9_-]{43}/g, '(43 of base64url)'),
  );
  const text = Buffer.concat(chunks)
    .toString()
    .replace(/"reference":"\w{8}"/, '"reference":"…"')
    .replace(status === 503 ? /"retry_after":\d+/ : /^$/, '"retry_after":…');
  const set = response.headers['set-cookie']?.[0]?.split(';')[0];
  return { status, told: { headers, text }, cookie: set };
}
