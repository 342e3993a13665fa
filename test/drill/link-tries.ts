import { readFileSync } from 'node:fs';
import { refusalRate } from '#main-agent/audit/limits.ts';
import { signEdgeEvent } from '#shared/link/edge-event.ts';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import { randomId } from '#shared/random-id.ts';
import { type EvilDmz, type EvilLink, evilClient } from '#test/harness/evil-dmz.ts';
import { waitUntil } from '#test/harness/product.ts';
import { GotThrough, summarize, type Try, UnclearRefusal } from './try.ts';

/** Tries to make main do what is in no table, to flood it, and to be a node that it is not. */

const closedMs = 20_000;

const request = (verb: string, params: unknown): string =>
  JSON.stringify({ kind: 'request', id: 1, verb, params, patienceMs: 1000 });

/** As they lie on the wire: type, flags and reserve, stream, length of what follows. */
function frame(type: number, stream: number, length: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt8(flags, 1);
  bytes.writeUInt32LE(stream, 4);
  bytes.writeUInt32LE(length, 8);
  return bytes;
}

const brokenFrames: readonly (readonly [what: string, bytes: Buffer])[] = [
  ['an unknown type', frame(99, 1, 0)],
  ['a length of 4 GiB', frame(3, 1, 0xffff_ffff)],
  ['flags that mean nothing', Buffer.concat([frame(3, 1, 1, 1), Buffer.alloc(1)])],
  ['data of a stream that is not', Buffer.concat([frame(3, 77, 1), Buffer.alloc(1)])],
  ['junk', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
];

/** Main ends the link; a question after it is answered by nobody. */
async function requireClosed(link: EvilLink, what: string, message: string): Promise<string> {
  link.played.transport.send(message);
  const asked = link.played.session
    .request('login.probe', { user: 'nobody', key: '', client: evilClient }, { timeoutMs: closedMs })
    .then(
      () => 'answered',
      () => 'unanswered',
    );
  if ((await asked) === 'answered') throw new GotThrough(`${what}: main goes on talking`);
  await waitUntil(() => link.played.isClosed, closedMs);
  return 'link closed';
}

async function closeEach(
  evil: EvilDmz,
  messages: readonly (readonly [what: string, message: string])[],
): Promise<string> {
  const closed: string[] = [];
  for (const [what, message] of messages)
    closed.push(await requireClosed(await evil.freshLink(), what, message));
  return `${closed.length} × ${summarize(closed)}`;
}

export const linkTries: readonly Try[] = [
  {
    id: 'verbs-of-an-admin',
    attack:
      'asks what only an administrator may: users, secrets, sessions of others, a connection to elsewhere',
    wall: 'S-05-table',
    run: (evil) =>
      closeEach(evil, [
        ['users.list', request('users.list', {})],
        ['vault.read', request('vault.read', { user: 'alice' })],
        ['admin.call', request('admin.call', { method: 'GET', path: '/v1/users' })],
        ['sessions.list', request('sessions.list', {})],
        ['net.connect', request('net.connect', { host: '127.0.0.1', port: 22 })],
        ['__proto__', request('__proto__', {})],
      ]),
  },
  {
    id: 'names-a-user',
    attack: 'names a user, or a path outside a schema, in requests that go by a session',
    wall: 'S-05-table',
    run: (evil) => {
      const session = randomId();
      return closeEach(evil, [
        [
          'user beside the session',
          request('fs.list', { session, user: 'alice', path: [], limit: 1, sort: 'name' }),
        ],
        ['user instead of it', request('fs.stat', { user: 'alice', path: [], followLinks: true })],
        ['a path as one string', request('fs.stat', { session, path: '/etc/passwd', followLinks: true })],
        [
          'an address that is none',
          request('login.probe', { user: 'x', key: '', client: { ...evilClient, ip: 'a\nb' } }),
        ],
      ]);
    },
  },
  {
    id: 'broken-messages',
    attack:
      'sends what is no message: too large, no JSON, a key twice, an answer that nobody asked for, main’s own words',
    wall: 'S-05-table',
    run: (evil) =>
      closeEach(evil, [
        ['too large', `"${'x'.repeat(controlMessageBytesMax + 1)}"`],
        ['no JSON', '{"kind":'],
        ['a key twice', '{"kind":"ping","kind":"pong","id":1,"nowMs":1}'],
        ['an unknown kind', '{"kind":"exec","id":1}'],
        [
          'an event of main’s',
          JSON.stringify({ kind: 'event', name: 'session.ended', body: { sessionKey: 'x', reason: 'x' } }),
        ],
        ['a second hello', JSON.stringify({ kind: 'hello', hello: { versions: [1, 1], name: 'main1' } })],
      ]),
  },
  {
    id: 'broken-frames',
    attack:
      'sends on a data connection what is no frame: unknown, too large, of a stream that was never opened',
    wall: 'S-05-table',
    run: async (evil) => {
      const closed: string[] = [];
      for (const [what, bytes] of brokenFrames) {
        const link = await evil.freshLink();
        link.played.session.sendEvent('lane.grant', { token: randomId() });
        const before = link.lanes.length;
        await waitUntil(() => link.lanes.length > before, closedMs);
        link.lanes.at(-1)?.write(bytes);
        // Nothing on the other connection says when main has read this one.
        await waitUntil(() => link.played.isClosed, closedMs).catch(() => {
          throw new GotThrough(`${what}: the link is open`);
        });
        closed.push('link closed');
      }
      return `${closed.length} × ${summarize(closed)}`;
    },
  },
  {
    id: 'audit-head-made-up',
    attack: 'claims to have been told a later state of main, so that main does not trust its own',
    wall: 'S-05-table',
    run: (evil) =>
      closeEach(evil, [
        [
          'a head that main did not sign',
          JSON.stringify({
            kind: 'event',
            name: 'audit.known',
            body: {
              start: 1,
              boot: randomId(),
              sequence: 1e9,
              hash: 'a'.repeat(64),
              signature: 'A'.repeat(86),
            },
          }),
        ],
      ]),
  },
  {
    id: 'refusals-by-the-thousand',
    attack: 'fills the audit with refusals and with events of the edge',
    wall: 'S-09-budget',
    run: async (evil) => {
      const link = await evil.freshLink();
      const startedMs = performance.now();
      const before = recordsOf(evil, link.name);
      const asked = Math.floor(refusalRate.burst * 1.5);
      const junk = { type: 'publickey', signed: 'AAAA', signature: 'AAAA' } as const;
      for (let sent = 0; sent < asked; sent += 100)
        await Promise.allSettled(
          Array.from({ length: 100 }, (_, at) =>
            link.request('login.begin', {
              user: `nobody-${sent + at}`,
              protocol: 'sftp',
              listener: 'sftp',
              client: evilClient,
              factor: junk,
            }),
          ),
        );
      // Signed by another key than the node's: not the node's word, so worth nothing.
      const forged = signEdgeEvent(
        {
          boot: randomId(),
          sequence: 1,
          kind: 'refused',
          atMs: Date.now(),
          detail: 'x',
          clientIp: '198.51.100.1',
        },
        { node: 'dmz1', worker: 0 },
        link.signingKey,
      );
      link.played.session.sendEvent('edge.event', forged);
      const heard = (): number => recordsOf(evil, link.name) - before;
      await waitUntil(() => heard() >= Math.min(asked, refusalRate.burst) / 2, closedMs);
      await waitForQuiet(heard);
      const seconds = (performance.now() - startedMs) / 1000;
      const most = refusalRate.burst + refusalRate.perSecond * seconds;
      if (heard() > most) throw new GotThrough(`${heard()} records of ${asked} refusals`);
      return `${heard()} of ${asked} written down, the rest counted`;
    },
  },
  {
    id: 'other-key-on-its-port',
    attack: 'answers main’s dial with another key than the one that was paired',
    wall: 'S-10-pin',
    run: async (evil) => {
      const { impostor } = evil;
      const problem = async (): Promise<string | undefined> => {
        const { nodes } = (await evil.admin('GET', '/v1/nodes')) as {
          nodes: { name: string; links: { worker: number; problem?: string }[] }[];
        };
        const links = nodes.find(({ name }) => name === 'dmz2')?.links ?? [];
        return links.toSorted((one, other) => other.worker - one.worker)[0]?.problem;
      };
      await evil.freshLink();
      await waitUntil(async () => impostor.links.length > 0 || (await problem()) !== undefined, closedMs);
      if (impostor.links.length > 0) throw new GotThrough('main joined a link with a stranger');
      const why = (await problem()) ?? '';
      if (!why.startsWith('The peer is not who it should be')) throw new UnclearRefusal(why);
      return 'never joined';
    },
  },
];

function recordsOf(evil: EvilDmz, node: string): number {
  return readFileSync(evil.files.main.audit, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"login.refused"') && line.includes(`"node":"${node}"`)).length;
}

/** Until it has stayed the same for half a second: the audit's file is written behind the state. */
async function waitForQuiet(count: () => number): Promise<void> {
  for (let last = -1, rounds = 0; rounds < 60 && last !== count(); rounds += 1) {
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
