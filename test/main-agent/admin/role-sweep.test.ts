import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NewToken } from '#main-agent/admin/access/tokens.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { AdminRole } from '#main-agent/administrator.ts';
import { noAnswer, statusOf, type Route } from '#main-agent/admin/http/route.ts';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { roleCovers } from '#main-agent/administrator.ts';
import { goodRequests } from './good-requests.ts';
import { binId, startPlayedMain, type PlayedMain } from './played-main.ts';

/** Every route of `/openapi.json` against everybody who may not, over the socket and over TLS, on a started server. */

interface Operation {
  readonly method: string;
  readonly pattern: string;
  readonly role: AdminRole;
  /** What a group administrator gets of it; undefined: nothing. */
  readonly groupAdmin: unknown;
  readonly needsEtag: boolean;
}

/** Each covers the ones before; a group administrator is beside them. */
const roles = ['viewer', 'helpdesk', 'admin'] as const;
/** What each parameter of a path is, where it must be something that is there. */
const samples: Readonly<Record<string, string>> = {
  user: 'alice',
  group: 'partners',
  node: 'dmz1',
  key: 'k-alice',
};

let main: PlayedMain;
const doors: { readonly name: string; readonly client: OutboundClient; readonly base: string }[] = [];
let operations: Operation[] = [];

beforeAll(async () => {
  main = await startPlayedMain({}, { socketTokens: 'required' });
  const overSocket = buildOutboundClient({ socketPath: main.socket });
  const overTls = buildOutboundClient({ ca: main.certificate });
  doors.push(
    { name: 'socket', client: overSocket, base: 'http://main' },
    { name: 'TLS', client: overTls, base: main.url },
  );
  const { body } = await overSocket.send({ url: new URL('http://main/openapi.json'), method: 'GET' });
  operations = readOperations(body);
});
afterAll(async () => {
  for (const { client } of doors) await client.close();
  await main.close();
});

function readOperations(json: string): Operation[] {
  const { paths } = JSON.parse(json) as { paths: Record<string, Record<string, Record<string, unknown>>> };
  return Object.entries(paths).flatMap(([pattern, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      pattern,
      role: roles.find((role) => role === operation['x-role']) ?? 'admin',
      groupAdmin: operation['x-group-admin'],
      needsEtag: JSON.stringify(operation['parameters']).includes('If-Match'),
    })),
  );
}

interface Sent {
  readonly status: number;
  readonly code: unknown;
  readonly body: string;
}

async function send(
  door: (typeof doors)[number],
  { method, pattern }: Operation,
  token: string | undefined,
  headers: Readonly<Record<string, string>> = {},
  instead: Readonly<Record<string, string>> = {},
): Promise<Sent> {
  const sample = { ...samples, ...instead };
  const named = pattern.replaceAll(/\{([^}]+)\}/g, (_all, name: string) =>
    encodeURIComponent(sample[name] ?? 'x'),
  );
  const isOfUser = method === 'DELETE' && pattern === '/v1/sessions' && 'user' in instead;
  const path = isOfUser ? `${named}?user=${encodeURIComponent(sample['user'] ?? '')}` : named;
  // A wait for records is not what is asked here.
  const answer = await door.client.send({
    url: new URL(path, door.base),
    method,
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
  });
  const json = answer.body === '' ? {} : (JSON.parse(answer.body) as Record<string, unknown>);
  return { status: answer.status, code: json['code'], body: answer.body };
}

/** `METHOD /path over door: …` of each that did not answer as it must. */
async function listWrong(
  token: string | undefined,
  isRight: (operation: Operation, sent: Sent) => boolean,
  options: {
    readonly headers?: Readonly<Record<string, string>>;
    readonly only?: (operation: Operation) => boolean;
  } = {},
): Promise<string[]> {
  const wrong: string[] = [];
  for (const door of doors) {
    for (const operation of operations.filter(options.only ?? (() => true))) {
      // More wrong tokens than one address may show: each gets a minute of its own.
      main.pass(61_000);
      const sent = await send(door, operation, token, options.headers);
      if (isRight(operation, sent)) continue;
      wrong.push(
        `${operation.method} ${operation.pattern} over ${door.name}: ${sent.status} ${String(sent.code)}`,
      );
    }
  }
  return wrong;
}

/** One good call of a main of its own; what is wrong with its answer. */
async function callForReal(route: Route, role: AdminRole): Promise<string | undefined> {
  const name = `${route.method} ${route.pattern}`;
  const request = goodRequests[name];
  if (request === undefined) return 'has no good request in good-requests.ts';
  const played = await startPlayedMain({}, { socketTokens: 'required' });
  const client = buildOutboundClient({ socketPath: played.socket });
  try {
    const id = await request.before?.(played);
    const token = role === 'group-admin' ? await addGroupAdmin(played) : await played.makeToken({ role });
    const { status, body } = await client.send({
      url: new URL(request.path.replace('{id}', id ?? ''), 'http://main'),
      method: route.method,
      headers: {
        authorization: `Bearer ${token}`,
        'if-match': '*',
        ...(request.body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
    });
    if (role !== 'group-admin' && !roleCovers(role, route.role))
      return status === 403 ? undefined : `${status} ${body}`;
    if (status !== statusOf(route)) return `${status} ${body}`;
    if (route.answer === noAnswer) return body === '' ? undefined : `a body: ${body}`;
    return compare(route, JSON.parse(body));
  } finally {
    await client.close();
    await played.close();
  }
}

/** A token of gina, who has the users of `partners`: alice. */
async function addGroupAdmin(played: PlayedMain): Promise<string> {
  const { users } = played;
  const partner = { groups: ['partners'] };
  const alice = users.get('alice') ?? played.userOf('alice');
  users.set('alice', { ...alice, ...partner, adminRole: undefined });
  users.set('gina', {
    ...played.userOf('gina'),
    ...partner,
    adminRole: 'group-admin',
    administers: ['partners'],
  });
  return played.makeToken({ owner: { user: 'gina' }, role: 'group-admin', lifeMs: 365 * 24 * 3_600_000 });
}

/** The schema takes unknown keys away, so what it gives is the body itself only when there are none. */
function compare(route: Route, body: unknown): string | undefined {
  const parsed = route.answer.safeParse(body);
  if (!parsed.success) return z.prettifyError(parsed.error);
  return isDeepStrictEqual(parsed.data, body) ? undefined : `unknown keys in ${JSON.stringify(body)}`;
}

const isUnauthenticated = (_operation: Operation, { status }: Sent): boolean => status === 401;
const life = { lifeMs: 365 * 24 * 3_600_000 };

describe('the role sweep', () => {
  it('knows every route', () => {
    expect(operations.length).toBeGreaterThan(40);
  });

  it('nobody without a token, with half of one, or with one of another maker', async () => {
    expect(await listWrong(undefined, isUnauthenticated)).toEqual([]);
    expect(await listWrong(`slp_${'0'.repeat(12)}_${'A'.repeat(43)}`, isUnauthenticated)).toEqual([]);
    expect(await listWrong('eyJhbGciOiJub25lIn0.e30.', isUnauthenticated)).toEqual([]);
  });

  it('no expired token', async () => {
    const token = await main.makeToken({ lifeMs: 60_000 });
    main.pass(60_000);
    expect(await listWrong(token, isUnauthenticated)).toEqual([]);
  });

  it('no revoked token', async () => {
    const token = await main.makeToken(life);
    await main.ports.tokens.revoke(token.split('_')[1] ?? '');
    expect(await listWrong(token, isUnauthenticated)).toEqual([]);
  });

  it('no token of a person who is disabled, gone or without admin_role', async () => {
    for (const change of ['disabled', 'gone', 'no role'] as const) {
      main.users.set('dan', { ...main.userOf('dan'), adminRole: 'admin' });
      const token = await main.makeToken({ ...life, owner: { user: 'dan' } });
      if (change === 'gone') main.users.delete('dan');
      else if (change === 'disabled')
        main.users.set('dan', { ...main.userOf('dan'), adminRole: 'admin', status: 'disabled' });
      else main.users.set('dan', main.userOf('dan'));
      expect(await listWrong(token, isUnauthenticated), change).toEqual([]);
    }
  });

  it.each(roles)('%s may do what its role covers, and nothing else', async (role) => {
    const token = await main.makeToken({ ...life, role });
    const rank = roles.indexOf(role);
    const wrong = await listWrong(token, (operation, { status }) =>
      roles.findIndex((one) => one === operation.role) > rank
        ? status === 403
        : status !== 401 && status !== 403,
    );
    expect(wrong).toEqual([]);
  });

  it.each([...roles, 'group-admin'] as const)(
    '%s: each route it may call answers what openapi.json says, and not a key more',
    async (role) => {
      const wrong: string[] = [];
      for (const route of buildAdminRoutes(main.ports)) {
        // That there is no other for a group administrator is looked at below, without a main for each.
        if (role === 'group-admin' && route.groupAdmin === undefined) continue;
        const problem = await callForReal(route, role);
        if (problem !== undefined) wrong.push(`${route.method} ${route.pattern}: ${problem}`);
      }
      expect(wrong).toEqual([]);
    },
  );

  it('a token never does more than the admin_role of its person', async () => {
    main.users.set('eva', { ...main.userOf('eva'), adminRole: 'admin' });
    const token = await main.makeToken({ ...life, owner: { user: 'eva' } });
    main.users.set('eva', { ...main.userOf('eva'), adminRole: 'viewer' });
    const wrong = await listWrong(token, (operation, { status }) =>
      operation.role === 'viewer' ? status !== 403 : status === 403,
    );
    expect(wrong).toEqual([]);
  });

  it('what was taken back from a node only an admin puts back', async () => {
    const [door] = doors;
    if (door === undefined) throw new Error('no door');
    const putBack = async (user: string, token: string): Promise<number> => {
      const { status } = await door.client.send({
        url: new URL(`/v1/users/${encodeURIComponent(user)}/bin/${binId}/restore`, door.base),
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'a test' }),
      });
      return status;
    };
    const helpdesk = await main.makeToken({ ...life, role: 'helpdesk' });
    const statuses = ['alice', 'node dmz1', 'node dmz1 ', '../node dmz1'].map((user) =>
      putBack(user, helpdesk),
    );
    expect(await Promise.all(statuses)).toEqual([200, 403, 403, 403]);
    expect(await putBack('node dmz1', await main.makeToken(life))).toBe(200);
  });

  it('a helpdesk of another group changes nothing, and reads', async () => {
    const foreign: Partial<NewToken> = { ...life, role: 'helpdesk', groups: ['others'] };
    const wrong = await listWrong(await main.makeToken(foreign), (operation, { status }) =>
      operation.method === 'GET' && operation.role !== 'admin' ? status !== 403 : status === 403,
    );
    expect(wrong).toEqual([]);
  });

  it('a group administrator acts on users of the group, and nothing else is there', async () => {
    const token = await addGroupAdmin(main);
    const asGina = await listWrong(token, ({ groupAdmin }, { status }) =>
      groupAdmin === undefined ? status === 403 : status !== 401 && status !== 403,
    );
    expect(asGina).toEqual([]);
    const partner = { groups: ['partners'] };
    main.users.set('erin', { ...main.userOf('erin'), ...partner, adminRole: 'viewer' });
    main.users.set('hugo', {
      ...main.userOf('hugo'),
      ...partner,
      adminRole: 'group-admin',
      administers: ['partners'],
    });
    main.users.set('olga', { ...main.userOf('olga'), groups: ['partners', 'others'] });
    main.users.set('ugo', { ...main.userOf('ugo'), groups: ['others'] });
    const onOneOfTheirs = operations.filter(
      ({ groupAdmin }) => groupAdmin === 'theirs' || groupAdmin === 'judged',
    );
    expect(onOneOfTheirs.length).toBeGreaterThan(8);
    const differing: string[] = [];
    for (const door of doors)
      for (const operation of onOneOfTheirs) {
        const withoutReference = async (user: string) => {
          const sent = await send(door, operation, token, {}, { user, key: `k-${user}` });
          return `${sent.status} ${sent.body}`.replace(/"reference":"[^"]*"/, '');
        };
        const ofNobody = await withoutReference('nobody');
        expect(ofNobody).toMatch(/^404 /);
        for (const user of ['bob', 'erin', 'hugo', 'gina', 'olga', 'ugo', 'ALICE', 'alice ', 'ａlice']) {
          const answer = await withoutReference(user);
          if (answer !== ofNobody)
            differing.push(`${operation.method} ${operation.pattern} of ${user}: ${answer}`);
        }
      }
    expect(differing).toEqual([]);
  });

  it('428 without an etag and 412 with a stale one, wherever people edit the same thing', async () => {
    const token = await main.makeToken(life);
    const only = (operation: Operation): boolean => operation.needsEtag;
    expect(operations.filter(only).length).toBeGreaterThan(2);
    expect(await listWrong(token, (_operation, { status }) => status === 428, { only })).toEqual([]);
    const stale = { headers: { 'if-match': '"stale"' }, only };
    expect(await listWrong(token, (_operation, { status }) => status === 412, stale)).toEqual([]);
    const weak = { headers: { 'if-match': 'W/"etag1"' }, only };
    expect(await listWrong(token, (_operation, { status }) => status === 412, weak)).toEqual([]);
  });

  it('every refusal is in the audit with who and what, and no token in it', async () => {
    const token = await main.makeToken({ ...life, role: 'viewer' });
    const before = main.state.audit.length;
    const [door] = doors;
    if (door === undefined) throw new Error('no door');
    await send(
      door,
      {
        method: 'DELETE',
        pattern: '/v1/sessions/{key}',
        role: 'helpdesk',
        groupAdmin: 'theirs',
        needsEtag: false,
      },
      token,
    );
    await send(
      door,
      { method: 'GET', pattern: '/v1/users', role: 'viewer', groupAdmin: 'scoped', needsEtag: false },
      undefined,
    );
    expect(main.state.audit.slice(before)).toMatchObject([
      {
        event: 'admin.call',
        outcome: 'refused',
        actor: expect.stringMatching(/^token:service\.test:/),
        rule: 'DELETE /v1/sessions/{key}',
      },
      { event: 'admin.refused', outcome: 'refused', actor: 'nobody', detail: 'no token' },
    ]);
    expect(JSON.stringify(main.state.audit)).not.toContain(token);
    expect(JSON.stringify(main.state.audit)).not.toMatch(/slp_/);
  });
});
