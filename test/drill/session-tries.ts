import { randomId, sessionKey } from '#shared/random-id.ts';
import { evilClient, type EvilDmz, type EvilNode } from '#test/harness/evil-dmz.ts';
import { signIn } from './login-tries.ts';
import { GotThrough, requireRefusal, summarize, type Try } from './try.ts';

/** Tries to reach files and accounts: by a session that is not one, of somebody else, of another node, over by now. */

const list = (node: EvilNode, session: string): Promise<unknown> =>
  node.request('fs.list', { session, path: [], limit: 10, sort: 'name' });

const toRead = { read: true, write: false, create: 'never', truncate: false, append: false } as const;
const toWrite = { ...toRead, read: false, write: true, create: 'if-missing' } as const;

/** A file of the user's own, small, by this session. */
async function writeFile(evil: EvilDmz, session: string, name: string): Promise<void> {
  const { handle } = await evil.request('fs.open', { session, op: 1, path: [name], mode: toWrite });
  const content = Buffer.from('of one user alone').toString('base64url');
  await evil.request('fs.write', { session, op: 2, handle, offset: 0, content });
  await evil.request('fs.commit', { session, op: 3, handle });
}

export const sessionTries: readonly Try[] = [
  {
    id: 'no-session',
    attack: 'reaches for files with an invented session, or with what main stores of a real one',
    wall: 'S-05-session',
    run: async (evil) => {
      const session = await signIn(evil, 'frank');
      await list(evil, session);
      return summarize([
        await requireRefusal('invented', list(evil, randomId()), 'no-session'),
        await requireRefusal('the stored key', list(evil, sessionKey(session)), 'no-session'),
      ]);
    },
  },
  {
    id: 'session-over',
    attack: 'goes on with a session that its user ended, files and streams',
    wall: 'S-05-session',
    run: async (evil) => {
      const session = await signIn(evil, 'frank');
      await writeFile(evil, session, 'over.txt');
      const { handle } = await evil.request('fs.open', { session, op: 4, path: ['over.txt'], mode: toRead });
      await evil.request('session.end', { session });
      return summarize([
        await requireRefusal('a list', list(evil, session), 'no-session'),
        await requireRefusal('its handle', evil.request('fs.stat-handle', { session, handle }), 'no-session'),
        await requireRefusal('a stream', readStream(evil, session, handle), 'no-session'),
        await requireRefusal('signed out again', evil.request('session.end', { session }), 'no-session'),
      ]);
    },
  },
  {
    id: 'many-strays',
    attack: 'tries sessions by the hundred',
    wall: 'S-05-session',
    run: async (evil) => {
      const link = await evil.freshLink();
      // After it joined, main counts none for two seconds: what names a dead session may have been on its way.
      for (let round = 0; round < 40 && !link.played.isClosed; round += 1) {
        await Promise.allSettled(Array.from({ length: 60 }, () => list(link, randomId())));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      if (!link.played.isClosed) throw new GotThrough('2,400 in four seconds, and the link is open');
      return 'link closed';
    },
  },
  {
    id: 'other-nodes-session',
    attack: 'uses at one node a session that was opened through another',
    wall: 'S-04-node',
    run: async (evil) => {
      const session = await signIn(evil, 'frank');
      const link = await evil.freshLink();
      const refusals = [
        await requireRefusal('a list', list(link, session), 'no-session'),
        await requireRefusal(
          'attaching',
          link.request('session.attach', { session, client: evilClient }),
          'no-session',
        ),
        await requireRefusal('the account', link.request('account.view', { session }), 'no-session'),
        await requireRefusal('signing out', link.request('session.end', { session }), 'no-session'),
      ];
      await list(evil, session);
      return summarize(refusals);
    },
  },
  {
    id: 'sftp-session-on-the-web',
    attack: 'changes an account in a session of SFTP, which shows nobody a page',
    wall: 'S-04-door',
    run: async (evil) => {
      const session = await signIn(evil, 'frank', { protocol: 'sftp', listener: 'sftp' });
      const refusals: string[] = [];
      for (const purpose of ['password', 'ssh-key', 'recovery-codes'] as const)
        refusals.push(
          await requireRefusal(purpose, evil.request('account.step-up', { session, purpose }), 'not-allowed'),
        );
      refusals.push(
        await requireRefusal('its sessions', evil.request('account.sessions', { session }), 'not-allowed'),
      );
      return summarize(refusals);
    },
  },
  {
    id: 'sftp-session-of-another-worker',
    attack: 'takes over a session of SFTP with another worker than the one that has its connection',
    wall: 'S-04-door',
    run: async (evil) => {
      const [home, elsewhere] = [await evil.freshLink(), await evil.freshLink()];
      const session = await signIn(evil, 'frank', { protocol: 'sftp', listener: 'sftp' }, home);
      const refusal = await requireRefusal('another worker', list(elsewhere, session), 'no-session');
      await list(home, session);
      return refusal;
    },
  },
  {
    id: 'somebody-elses-things',
    attack: 'ends another user’s session, and reaches for another’s open file, in a session of its own',
    wall: 'S-04-user',
    run: async (evil) => {
      const [own, other] = [await signIn(evil, 'frank'), await signIn(evil, 'carol')];
      await writeFile(evil, other, 'hers.txt');
      const mode = toRead;
      const { handle } = await evil.request('fs.open', { session: other, op: 4, path: ['hers.txt'], mode });
      const end = { session: own, what: 'session' as const, id: sessionKey(other) };
      const refusals = [
        await requireRefusal('her session', evil.request('account.end', end), 'not-found'),
        await requireRefusal(
          'her handle',
          evil.request('fs.stat-handle', { session: own, handle }),
          'bad-handle',
        ),
        await requireRefusal(
          'her file by its name',
          evil.request('fs.open', { session: own, op: 5, path: ['hers.txt'], mode }),
          'not-found',
        ),
      ];
      await list(evil, other);
      return summarize(refusals);
    },
  },
  {
    id: 'out-of-the-folders',
    attack: 'names what lies outside a user’s folders, in every verb that takes a name',
    wall: 'S-08-path',
    run: async (evil) => {
      const session = await signIn(evil, 'frank');
      const refusals: string[] = [];
      const names = [
        ['..'],
        ['..', 'carol'],
        ['.'],
        ['a/b'],
        ['/etc'],
        [''],
        ['a\0'],
        ['x', '..', '..', 'carol'],
      ];
      for (const path of names) {
        const [what, to] = [JSON.stringify(path), ['new']];
        for (const attempt of [
          () => evil.request('fs.stat', { session, path, followLinks: true }),
          () => evil.request('fs.list', { session, path, limit: 10, sort: 'name' }),
          () => evil.request('fs.open', { session, op: nextOp(), path, mode: toRead }),
          () => evil.request('fs.rename', { session, op: nextOp(), from: path, to, overwrite: true }),
          () => evil.request('fs.copy', { session, op: nextOp(), from: path, to, overwrite: true }),
          () => evil.request('fs.make-folder', { session, op: nextOp(), path }),
          () => evil.request('fs.remove-folder', { session, op: nextOp(), path, recursive: true }),
          () => evil.request('fs.hash', { session, path, algorithm: 'sha256' }),
        ])
          refusals.push(await requireRefusal(what, attempt(), 'bad-path'));
      }
      return `${refusals.length} × ${summarize(refusals)}`;
    },
  },
  {
    id: 'confined',
    attack: 'uses a session that may only set up a second factor for files and the account',
    wall: 'S-05-confined',
    run: async (evil) => {
      const session = await signIn(evil, 'dave');
      const view = await evil.request('account.view', { session });
      if (view.state !== 'setup-required') throw new Error('dave must be confined');
      return summarize([
        await requireRefusal('a list', list(evil, session), 'setup-required'),
        await requireRefusal('a stream', readStream(evil, session, 1), 'setup-required'),
        await requireRefusal(
          'a step-up',
          evil.request('account.step-up', { session, purpose: 'password' }),
          'setup-required',
        ),
      ]);
    },
  },
  {
    id: 'number-used-again',
    attack: 'sends a change again, and another one under the same number',
    wall: 'S-05-number',
    run: async (evil) => {
      const session = await signIn(evil, 'frank');
      const make = { session, op: 7, path: [`folder-${nextOp()}`] };
      await evil.request('fs.make-folder', make);
      // Answered from what is remembered: done a second time it would say that it exists.
      await evil.request('fs.make-folder', make);
      const other = { ...make, path: [`folder-${nextOp()}`] };
      return requireRefusal(
        'another change, same number',
        evil.request('fs.make-folder', other),
        'bad-request',
      );
    },
  },
];

let op = 1000;
const nextOp = (): number => (op += 1);

/** Rejects with what a stream was reset with. */
async function readStream(evil: EvilDmz, session: string, handle: number): Promise<string> {
  await evil.link.waitForLane(session);
  const stream = evil.link.openStream({ kind: 'read', session, handle, offset: 0 });
  return new Promise((resolve, reject) => {
    stream.onData = (_bytes, release) => {
      release();
      resolve('bytes came');
    };
    stream.onEnd = () => resolve('it ended well');
    stream.onReset = reject;
  });
}
