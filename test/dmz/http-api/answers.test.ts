import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calls, type Call } from '#dmz/http-api/calls.ts';
import { buildRoutes } from '#dmz/https/routes.ts';
import { problemSchema } from '#shared/problem.ts';
import { type Answer, type Client, Door } from '../https/door.ts';
import { goodLink, rightCode, rightPassword } from '../https/fake-inside.ts';

/**
 * The public HTTP API held against its one schema from the server's end: good calls of a real door, each body compared
 * key by key, and no key of the schema that no answer had. The page's end is held by the compiler: it reads the types.
 */

let door: Door;
/** By call and status, every body that came. */
const bodies = new Map<string, unknown[]>();
const wrong: string[] = [];

beforeAll(async () => {
  door = await Door.open();
  door.inside.files.set('/docs/plan.txt', { type: 'file', content: Buffer.from('plan'), mtimeMs: 0 });
  for (const folder of ['/', '/docs']) door.inside.unserved.set(folder, { count: 1, names: ['pipe'] });
  door.inside.files.set('/docs/note.txt', { type: 'file', content: Buffer.from('note'), mtimeMs: 0 });
  await signIn();
  await setUp();
  await callAsUser(await door.signedIn('frank'));
});
afterAll(() => door.close());

const nameOf = ({ method, path }: Call): string => `${method} ${path}`;

/** One good call: its answer has a status of the table, and the body that the table says, without a key more. */
async function good(name: string, sent: Promise<Answer>): Promise<Answer> {
  const answer = await sent;
  const call = calls.find((one) => nameOf(one) === name);
  const said = call?.answers.find(({ status }) => status === answer.status);
  const text = answer.body.toString();
  if (said === undefined) wrong.push(`${name}: ${answer.status} ${text}`);
  else if (said.body !== undefined && answer.headers['content-type'] === 'application/json') {
    const key = `${name} ${answer.status}`;
    bodies.set(key, [...(bodies.get(key) ?? []), answer.json]);
    const parsed = said.body.safeParse(answer.json);
    if (!parsed.success) wrong.push(`${key}: ${z.prettifyError(parsed.error)}`);
    else if (!isDeepStrictEqual(parsed.data, answer.json)) wrong.push(`${key}: unknown keys in ${text}`);
  } else if (said.bytes === undefined && text !== '') wrong.push(`${name}: a body: ${text}`);
  return answer;
}

async function signIn(): Promise<void> {
  const stranger = door.client();
  await good('GET /api/openapi.json', stranger.get('/api/openapi.json'));
  const linked = { token: goodLink, password: 'a new long one' };
  await good('POST /api/password/set', stranger.post('/api/password/set', linked));
  for (const username of ['alice', 'bob', 'dave', 'frank', 'gail', 'hugo']) {
    const client = door.client();
    const login = client.post('/api/login', { username, password: rightPassword });
    const { json } = await good('POST /api/login', login);
    if (json['state'] === 'code-required') await good('GET /api/login/code', client.get('/api/login/code'));
    if (username === 'alice')
      await good('POST /api/login/code', client.post('/api/login/code', { code: rightCode }));
    await good('POST /api/logout', client.post('/api/logout'));
  }
}

async function setUp(): Promise<void> {
  const dave = await door.signedIn('dave');
  const setup = '/api/two-factor/setup';
  await good(`GET ${setup}`, dave.get(setup));
  await good(`POST ${setup}`, dave.post(setup, { ticket: 'given' }));
  await good(`POST ${setup}/confirm`, dave.post(`${setup}/confirm`));
  await good(`GET ${setup}`, dave.get(setup));
  await good(`POST ${setup}/prove`, dave.post(`${setup}/prove`, { code: rightCode }));
}

async function callAsUser(user: Client): Promise<void> {
  await good('GET /api/me', user.get('/api/me'));
  const current = rightPassword;
  await good('POST /api/two-factor/recovery-codes', user.post('/api/two-factor/recovery-codes', { current }));
  await good('POST /api/me/password', user.post('/api/me/password', { current, new: 'another long one' }));
  await good('POST /api/me/ssh-keys', user.post('/api/me/ssh-keys', { key: 'ssh-ed25519 AAAA', current }));
  for (const what of ['ssh-keys', 'sessions', 'leases', 'devices'])
    await good(`GET /api/me/${what}`, user.get(`/api/me/${what}`));

  await good('GET /api/files', user.get('/api/files'));
  const files = '/api/files/{path}';
  await good(`GET ${files}`, user.get('/api/files/docs?limit=1'));
  await good(`GET ${files}`, user.get('/api/files/docs?unserved=1'));
  await good(`GET ${files}`, user.get('/api/files/hello.txt'));
  await good(`GET ${files}`, user.get('/api/files/hello.txt', { Range: 'bytes=0-1' }));
  await good(`PUT ${files}`, user.send('PUT', '/api/files/new.txt', 'new'));
  await good('GET /api/files', user.get('/api/files?limit=1'));
  await good(`POST ${files}`, user.post('/api/files/made?op=mkdir'));
  await good(`POST ${files}`, user.post('/api/files/new.txt?op=copy', { to: '/copy.txt' }));
  await good(`POST ${files}`, user.post('/api/files/copy.txt?op=rename', { to: '/moved.txt' }));

  const binned: unknown[] = [];
  for (const name of ['moved.txt', 'new.txt']) {
    const gone = await good(`DELETE ${files}`, user.send('DELETE', `/api/files/${name}`));
    binned.push(gone.headers['sallyport-bin']);
  }
  await good('GET /api/bin', user.get('/api/bin?limit=1'));
  const ids = [binned[0], 'A'.repeat(22)];
  await good('POST /api/bin/restore', user.post('/api/bin/restore', { ids, conflict: 'keep-both' }));
  await good('POST /api/bin/empty', user.post('/api/bin/empty', { ids: [binned[1]] }));

  const download = { folder: '/docs', names: [] };
  const ready = await good('POST /api/downloads', user.post('/api/downloads', download));
  await good('GET /api/downloads/{ticket}', user.get(String(ready.json['address'])));

  const made = await good(
    'POST /api/uploads',
    user.send('POST', '/api/uploads', undefined, {
      'Tus-Resumable': '1.0.0',
      'Upload-Length': '4',
      'Upload-Metadata': `path ${btoa('/up.bin')},mtime ${btoa('2026-01-15T08:30:00Z')}`,
    }),
  );
  const upload = made.headers.location ?? '';
  await good('OPTIONS /api/uploads', user.send('OPTIONS', '/api/uploads'));
  await good('GET /api/uploads', user.get('/api/uploads'));
  await good('GET /api/uploads/{id}', user.get(upload));
  await good('DELETE /api/uploads/{id}', user.send('DELETE', upload));
}

/** `challenge.attempts_left`, `entries[].name`: of a value, or of all that a schema allows. */
function keysOf(value: unknown, at = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keysOf(item, `${at}[]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [
    `${at}.${name}`,
    ...keysOf(inner, `${at}.${name}`),
  ]);
}

function keysAllowed(schema: z.core.JSONSchema.BaseSchema, at = ''): string[] {
  const { properties = {}, items, anyOf = [], oneOf = [] } = schema;
  const isSchema = (one: unknown): one is z.core.JSONSchema.BaseSchema =>
    typeof one === 'object' && one !== null;
  return [
    ...[...anyOf, ...oneOf].filter(isSchema).flatMap((one) => keysAllowed(one, at)),
    ...(isSchema(items) && !Array.isArray(items) ? keysAllowed(items, `${at}[]`) : []),
    ...Object.entries(properties).flatMap(([name, inner]) => [
      `${at}.${name}`,
      // A problem in a list has of its many members what it needs.
      ...(isSchema(inner) && name !== 'problem' ? keysAllowed(inner, `${at}.${name}`) : []),
    ]),
  ];
}

describe('the public HTTP API', () => {
  it('has exactly the routes of its table, for the same visitors', () => {
    const toPattern = (path: string): string => path.replace(/\{[a-z]+\}$/, '*');
    const said = calls.map(({ method, path, access }) => `${method} ${toPattern(path)} ${access}`);
    const served = buildRoutes(door.inside)
      .filter(({ pattern }) => pattern.startsWith('/api/'))
      .map(({ method, pattern, access }) => `${method} ${pattern} ${access}`);
    expect(said.toSorted()).toEqual(served.toSorted());
  });

  it('answers good calls as its schema says, and not a key more', () => {
    expect(wrong).toEqual([]);
  });

  it('has no answer and no key in its schema that was never seen', () => {
    const unseen = calls.flatMap((call) =>
      call.answers.flatMap(({ status, body }) => {
        if (body === undefined) return [];
        const seen = new Set((bodies.get(`${nameOf(call)} ${status}`) ?? []).flatMap((one) => keysOf(one)));
        if (seen.size === 0) return [`${nameOf(call)} ${status}`];
        return [...new Set(keysAllowed(z.toJSONSchema(body)))]
          .filter((key) => !seen.has(key))
          .map((key) => `${nameOf(call)} ${status}: ${key}`);
      }),
    );
    expect(unseen).toEqual([]);
  });

  it('S-07: a sign-in that is over is refused in the word of every refusal, as code and as reason', async () => {
    const frank = await door.signedIn('frank');
    const { json } = await frank.post('/api/login/code', { code: rightCode });
    expect(json).toMatchObject({ status: 401, code: 'refused', reason: 'refused' });
  });

  it('refuses in one form', async () => {
    const frank = await door.signedIn('frank');
    const refusals = [
      await door.client().get('/api/me'),
      await frank.get('/api/files/nope'),
      await frank.post('/api/login', {}),
      await frank.post('/api/me/password', { current: 'wrong', new: 'another long one' }),
      await frank.post('/api/me/password', { current: rightPassword, new: 'short' }),
      await frank.send('DELETE', '/api/me'),
      await frank.send('DELETE', '/api/files/docs'),
    ];
    for (const { status, json } of refusals) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(problemSchema.strict().parse(json)).toEqual(json);
    }
  });
});
