import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '#dmz/http-api/account.ts';
import { Http } from '#dmz/web/api/http.ts';
import { FileSamples } from '#dmz/web/state/file-samples.ts';
import { Folder } from '#dmz/web/state/folder.ts';
import { Notices } from '#dmz/web/state/notices.ts';
import { Preferences } from '#dmz/web/state/preferences.ts';
import { Selection } from '#dmz/web/state/selection.ts';
import { Session } from '#dmz/web/state/session.ts';
import { Uploads } from '#dmz/web/state/uploads.ts';
import { watchUser } from '#dmz/web/state/watch-user.ts';

/** As much of a browser as the state behind the pages needs. */
const browser = {
  localStorage: undefined,
  navigator: { languages: ['en'] },
  document: { documentElement: { dataset: {}, lang: '' } },
};

type Answer = () => Promise<Response>;

/** A server that answers when the test says so. */
class Server {
  readonly asked: string[] = [];
  /** Whose cookie the browser has. */
  user = '';
  readonly answers = new Map<string, Answer>();

  readonly fetch = async (path: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const call = `${init?.method ?? 'GET'} ${path instanceof Request ? path.url : path.toString()}`;
    this.asked.push(`${this.user}: ${call}`);
    return (this.answers.get(call) ?? (() => this.#usual(call)))();
  };

  async #usual(call: string): Promise<Response> {
    if (call === 'GET /api/me') return this.user === '' ? refusal(401) : json(accountOf(this.user));
    if (call === 'GET /api/uploads') return json({ uploads: [storedBy(this.user)] });
    if (call.startsWith('GET /api/files/'))
      return json({
        entries: [{ name: `${this.user}'s`, type: 'file', size: 1, mtime: '2026-01-01T00:00:00Z' }],
      });
    if (call === 'POST /api/login') return json({ state: 'signed-in' });
    return new Response(null, { status: 204 });
  }
}

const json = (body: unknown): Response => new Response(JSON.stringify(body));
const refusal = (status: number): Response =>
  new Response(JSON.stringify({ reason: 'no-session' }), { status });

function accountOf(username: string): Account {
  return {
    username,
    display_name: username,
    state: 'signed-in',
    two_factor: {
      enrolled: true,
      required_on: [],
      registration: false,
      may_set_up: false,
      recovery_codes_left: 0,
    },
    may: { password: true, ssh_keys: true },
    quota: { used_bytes: 0 },
    files: [],
    session: { started_at: '', method: 'none', idle_seconds: 900, expires_in: 3600 },
  };
}
function storedBy(user: string) {
  const expires = '2030-01-01T00:00:00Z';
  return { id: `of-${user}`, path: `/${user}.bin`, length: 10, offset: 1, overwrite: false, expires };
}

function build(channel?: BroadcastChannel) {
  const server = new Server();
  const http = new Http({
    fetch: server.fetch,
    onAnswer: () => undefined,
    onProblem: (problem, askedAtMs) => session.observe(problem, askedAtMs),
  });
  const session = new Session(http, channel);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a browser is far more than this
  const preferences = new Preferences(browser as unknown as Window);
  const folder = new Folder(http, preferences, { released: () => Promise.resolve() });
  const selection = new Selection();
  const notices = new Notices();
  const uploads = new Uploads({
    http,
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
    samples: new FileSamples(browser as unknown as Window),
    folder,
    onProblem: (problem) => session.observe(problem),
    onFinished: () => undefined,
  });
  const forgotten = vi.fn<() => void>();
  const views = { forget: forgotten };
  watchUser({
    bin: { close: () => undefined },
    session,
    uploads,
    folder,
    selection,
    notices,
    preferences,
    views,
  });
  const signIn = async (user: string): Promise<void> => {
    server.user = user;
    await session.signIn(user, 'password');
    await vi.waitUntil(() => uploads.items.value.length > 0);
  };
  const signOut = async (): Promise<void> => {
    server.user = '';
    await session.signOut();
  };
  const shown = (): string[] => uploads.items.value.map(({ originalName }) => originalName);
  return { server, session, folder, selection, notices, uploads, forgotten, signIn, signOut, shown };
}

/** A file from a disk; sending it takes XMLHttpRequest, which here only notes that it was asked. */
const sent: string[] = [];
class NoRequest extends EventTarget {
  open(method: string, path: string): void {
    sent.push(`${method} ${path}`);
  }
  setRequestHeader(): void {
    // Nothing is sent.
  }
  send(): void {
    // Nothing is sent.
  }
  abort(): void {
    this.dispatchEvent(new Event('abort'));
    this.dispatchEvent(new Event('loadend'));
  }
}
vi.stubGlobal('XMLHttpRequest', NoRequest);
afterEach(() => {
  sent.length = 0;
});
const fileOf = (name: string) => ({ file: new File(['content'], name), folder: [] });

describe('people who follow each other on one page', () => {
  it('each see their own unfinished uploads and nobody else’s', async () => {
    const page = build();
    await page.signIn('alice');
    expect(page.shown()).toEqual(['alice.bin']);
    await page.signOut();
    await page.signIn('bob');
    await vi.waitUntil(() => page.shown().includes('bob.bin'));
    expect(page.shown()).toEqual(['bob.bin']);
  });

  it('do not get the list of the one before, however late it comes', async () => {
    const page = build();
    const late = Promise.withResolvers<Response>();
    page.server.answers.set('GET /api/uploads', () => late.promise);
    page.server.user = 'alice';
    await page.session.signIn('alice', 'password');
    await page.signOut();
    page.server.answers.delete('GET /api/uploads');
    await page.signIn('bob');
    late.resolve(json({ uploads: [storedBy('alice')] }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(page.shown()).toEqual(['bob.bin']);
  });

  it('send nothing that the one before began, not even before the page knows who is here', async () => {
    const page = build();
    await page.signIn('alice');
    const making = Promise.withResolvers<Response>();
    page.server.answers.set('POST /api/files/new?op=mkdir', () => making.promise);
    await page.uploads.add([fileOf('waits.txt')], ['new', 'inner']);
    await page.uploads.add([fileOf('a.txt')], []);
    await vi.waitUntil(() => sent.includes('PUT /api/files/a.txt'));
    await page.signOut();
    sent.length = 0;

    // The cookie is bob's before the page has asked who that is.
    page.server.user = 'bob';
    const me = Promise.withResolvers<Response>();
    page.server.answers.set('GET /api/me', () => me.promise);
    const signing = page.session.signIn('bob', 'password');
    making.resolve(new Response(null, { status: 201 }));
    page.uploads.resumeAll();
    await new Promise((resolve) => setImmediate(resolve));
    me.resolve(json(accountOf('bob')));
    await signing;
    await vi.waitUntil(() => page.shown().length > 0);
    expect(sent).toEqual([]);
    expect(
      page.server.asked.filter((call) => /^bob: (POST|PUT|PATCH) \/api\/(files|uploads)/.test(call)),
    ).toEqual([]);
    expect(page.shown()).toEqual(['bob.bin']);
  });

  it('go on with what they began themselves', async () => {
    const page = build();
    await page.signIn('alice');
    await page.uploads.add([fileOf('a.txt')], []);
    await vi.waitUntil(() => sent.length === 1);
    await page.signOut();
    await page.signIn('alice');
    await vi.waitUntil(() => sent.length === 2);
    expect(sent).toEqual(['PUT /api/files/a.txt', 'PUT /api/files/a.txt']);
    expect(page.shown()).toContain('a.txt');
  });

  it('see no folder, selection or message of the one before', async () => {
    const page = build();
    await page.signIn('alice');
    await page.folder.open([]);
    expect(page.folder.lists(["alice's"])).toBe(true);
    page.selection.all(page.folder.entries.value);
    page.notices.info('alice did something');
    page.notices.say('alice heard something');
    page.forgotten.mockClear();
    await page.signOut();
    expect(page.forgotten).toHaveBeenCalled();
    expect(page.folder.entries.value).toEqual([]);
    expect(page.folder.state.value.name).toBe('loading');
    expect(page.selection.names.value.size).toBe(0);
    expect([page.notices.current.value, page.notices.spoken.value]).toEqual([undefined, '']);
  });

  it('do not see what was on its way to the one before', async () => {
    const page = build();
    await page.signIn('alice');
    const late = Promise.withResolvers<Response>();
    page.server.answers.set('GET /api/me', () => late.promise);
    const asking = page.session.refresh();
    await page.signOut();
    page.server.answers.delete('GET /api/me');
    late.resolve(json(accountOf('alice')));
    await asking;
    expect(page.session.state.value.name).toBe('signed-out');
  });

  it('are not signed out by a late refusal of the one before', async () => {
    const page = build();
    await page.signIn('alice');
    const late = Promise.withResolvers<Response>();
    page.server.answers.set('POST /api/files/slower?op=mkdir', () => late.promise);
    const making = page.uploads.makeFolder(['slower']).catch(() => undefined);
    await vi.waitUntil(() => page.server.asked.includes('alice: POST /api/files/slower?op=mkdir'));
    await page.signOut();
    await page.signIn('bob');
    late.resolve(refusal(401));
    await making;
    expect(page.session.state.value).toMatchObject({ name: 'signed-in', account: { username: 'bob' } });
  });

  it('are noticed when they signed in on another page of the browser', async () => {
    const [here, there] = [new BroadcastChannel('test'), new BroadcastChannel('test')];
    try {
      const page = build(here);
      await page.signIn('alice');
      await page.folder.open([]);
      page.server.user = 'bob';
      there.postMessage('signed-in');
      await vi.waitUntil(() => page.shown().includes('bob.bin'));
      expect(page.session.state.value).toMatchObject({ name: 'signed-in', account: { username: 'bob' } });
      expect(page.folder.lists(["alice's"])).toBe(false);
      expect(page.shown()).toEqual(['bob.bin']);
    } finally {
      here.close();
      there.close();
    }
  });
});
