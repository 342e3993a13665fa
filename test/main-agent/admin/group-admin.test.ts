import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { UsersOfGroupAdmin } from '#main-agent/users/administered-users.ts';
import { FileWrites, type WriteJudge } from '#main-agent/users/file-writes.ts';
import { usersOfGroupAdminMax } from '#main-agent/users/limits.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import type { YamlUsers } from '#main-agent/users/yaml-users.ts';
import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import {
  exampleHash,
  exampleKey,
  makeUsersFolder,
  type UsersFolder,
} from '#test/main-agent/users/users-folder.ts';
import { isSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { playedUser, startPlayedMain, type PlayedMain } from './played-main.ts';

/** Anna has the users of `sales`; what she may, and whatever she could try, against a real users folder. */

const home = '{ path: /, root: "{username}", allow: [list, read, write, mkdir] }';
const files = {
  '_default.yaml': `two_factor: { required_on: [https, sftp], registration: true }\nfiles: [${home}]\n`,
  'groups/sales.yaml':
    '+files: [{ path: /sales, root: "shared/{group}", allow: [list, read] }]\nexpires: 2030-12-31\n',
  // Without a second factor, so without the folder that sales has.
  'groups/partners.yaml': `two_factor: { required_on: [] }\n`,
  'groups/ops.yaml': '+files: [{ path: /ops, root: "shared/{group}", allow: [list, read, write, delete] }]\n',
  'groups/readers.yaml': 'admin_role: viewer\n',
  'groups/quiet.yaml': 'quota: 1GiB\n',
  // Nobody is in it yet.
  'groups/later.yaml': '+files: [{ path: /later, root: "vault/{username}", allow: [list, read] }]\n',
  'groups/rich.yaml': '+files: [{ path: /rich, root: rich, allow: [list, read] }]\n',
  'anna.yaml':
    'username: anna\ngroups: [sales, partners]\nadmin_role: group-admin\nadministers: [sales, partners, readers, rich]\n',
  'bob.yaml': `username: bob\n# of the north\ngroups: [sales]\nemail: bob@example.com\npassword: ${exampleHash}\n`,
  'fred.yaml': 'username: fred\ngroups: [sales]\ntwo_factor: { required_on: [] }\n',
  'hank.yaml': 'username: hank\ngroups: [sales]\nstatus: disabled\n',
  // Whoever is one of these, in part or wholly, is not hers.
  'carol.yaml': 'username: carol\ngroups: [ops]\n',
  'dora.yaml': 'username: dora\ngroups: [sales, ops]\n',
  'erin.yaml':
    'username: erin\ngroups: [sales]\n+files: [{ path: /reports, root: shared/ops, allow: [list, read] }]\n',
  'ewan.yaml':
    'username: ewan\ngroups: [sales]\n+files: [{ path: /sales-too, root: shared/sales, allow: [list, read, delete] }]\n',
  'gus.yaml': 'username: gus\ngroups: [sales]\nadmin_role: group-admin\nadministers: [sales]\n',
  'nina.yaml': 'username: nina\n',
  'quin.yaml': 'username: quin\ngroups: [sales, quiet]\n',
  'rex.yaml': 'username: rex\ngroups: [sales]\nadmin_role: admin\n',
  'vera.yaml': 'username: vera\ngroups: [sales, readers]\n',
};
const theirs = ['bob', 'fred', 'hank'];
const notTheirs = [
  'anna',
  'carol',
  'dora',
  'erin',
  'ewan',
  'gus',
  'nina',
  'quin',
  'rex',
  'vera',
  'nobody',
  'BOB',
];

let folder: UsersFolder;
let users: YamlUsers;
let main: PlayedMain;
let client: OutboundClient;
let token: string;
const occupied = new Set<string>();
const remembered = new Set<string>();

async function start(): Promise<void> {
  folder = await makeUsersFolder(files);
  users = await folder.open();
  const clock = { now: () => main.ports.clock.now() };
  const writes = new FileWrites(users, clock);
  const directory = new YamlUserDirectory(users, writes);
  const parts = {
    users,
    writes,
    directory,
    isRemembered: (name: string) => remembered.has(name),
    isOccupied: async ({ root }: { readonly root: readonly string[] }) => occupied.has(root.join('/')),
    clock,
  };
  main = await startPlayedMain(
    {
      users: directory,
      passwords: {
        hash: async () => new Secret(folder.book.note(exampleHash)),
        takeOver: async () => new Secret(folder.book.note(exampleHash)),
        findProblem: async () => undefined,
        boxKey: async () => folder.box.publicKey,
      },
      administered: (administrator) => new UsersOfGroupAdmin(parts, administrator),
    },
    { socketTokens: 'required' },
  );
  client = buildOutboundClient({ socketPath: main.socket });
  token = await main.makeToken({ owner: { user: 'anna' }, role: 'group-admin', lifeMs: 1e10 });
}

async function stop(): Promise<void> {
  await client.close();
  await main.close();
  await folder[Symbol.asyncDispose]();
}

interface Called {
  readonly status: number;
  readonly code: unknown;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

async function call(method: string, route: string, body?: object, as = token): Promise<Called> {
  const answer = await client.send({
    url: new URL(route, 'http://main'),
    method,
    headers: {
      authorization: `Bearer ${as}`,
      'if-match': '*',
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const json = answer.body === '' ? {} : (JSON.parse(answer.body) as Record<string, unknown>);
  const text = answer.body.replace(/"reference":"[^"]*"/, '');
  return { status: answer.status, code: json['code'], text, json };
}

const add = (username: string, fields: object, more: object = {}) =>
  call('POST', '/v1/users', { username, set: fields, ...more });

/** Of all files in the users folder. */
async function folderHash(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(folder.directory, { recursive: true })).toSorted())
    if (name.endsWith('.yaml')) hash.update(name).update(await readFile(path.join(folder.directory, name)));
  return hash.digest('hex');
}

describe('a group administrator', () => {
  beforeEach(start);
  afterEach(stop);

  it('sees the users of the group and nobody else, and acts on them', async () => {
    const listed = (await call('GET', '/v1/users')).json['users'] as { username: string }[];
    expect(listed.map(({ username }) => username)).toEqual(theirs);
    expect((await call('GET', '/v1/whoami')).json).toMatchObject({
      role: 'group-admin',
      groups: ['sales', 'partners', 'readers', 'rich'],
    });
    const sessions = (await call('GET', '/v1/sessions')).json['sessions'] as { user: string }[];
    expect(sessions.map(({ user }) => user)).toEqual(['bob']);

    const fields = { groups: ['sales'], email: 'ines@example.com', ssh_keys: [exampleKey] };
    expect(await add('ines', fields, { password: 'long enough one' })).toMatchObject({ status: 201 });
    expect(users.find('ines')).toMatchObject({
      groups: ['sales'],
      email: 'ines@example.com',
      twoFactor: { requiredOn: ['https', 'sftp'] },
      expires: '2030-12-31',
      mounts: [{ root: ['ines'] }, { root: ['shared', 'sales'] }],
    });
    expect(await add('ivan', {}, { template: 'bob' })).toMatchObject({ status: 201 });
    expect(users.find('ivan')).toMatchObject({
      groups: ['sales'],
      email: undefined,
      passwordHash: undefined,
    });

    expect((await call('PUT', '/v1/users/bob/password', { password: 'another long one' })).status).toBe(204);
    expect((await call('PATCH', '/v1/users/bob', { set: { phone: '+15551230000' } })).status).toBe(200);
    expect(await readFile(path.join(folder.directory, 'bob.yaml'), 'utf8')).toContain('# of the north');
    const reason = 'phone lost, seen in person';
    expect((await call('DELETE', '/v1/users/bob/two-factor', { reason })).status).toBe(204);
    expect((await call('POST', '/v1/users/bob/two-factor/unlock', { reason })).status).toBe(204);
    expect((await call('POST', '/v1/users/bob/two-factor/bypass-code', { reason })).status).toBe(201);
    expect((await call('POST', '/v1/users/bob/password-link', { reason })).status).toBe(201);
    expect((await call('DELETE', '/v1/sessions?user=bob')).json).toEqual({ ended: 1 });
    expect((await call('PATCH', '/v1/users/bob', { set: { status: 'disabled' } })).status).toBe(200);
    expect(users.find('bob')?.status).toBe('disabled');
    expect(main.asked.some((one) => one.startsWith('reset bob token:anna:'))).toBe(true);
    const done = main.state.audit.filter(({ event }) => event === 'admin.call');
    expect(done.length).toBeGreaterThan(10);
    expect(done.every(({ actor }) => actor?.startsWith('token:anna:'))).toBe(true);
    expect(done).toContainEqual(
      expect.objectContaining({ rule: 'PUT /v1/users/{user}/password', user: 'bob', outcome: 'ok' }),
    );
  });

  it('has no role any more from the moment it is taken, also inside a call that was let in before', async () => {
    const taken = 'username: anna\ngroups: [sales, partners]\n';
    // On the disk and not noticed yet: the call is let in, and its write looks again.
    await folder.write('anna.yaml', taken);
    expect((await call('PUT', '/v1/users/bob/password', { password: 'another long one' })).code).toBe(
      'not-found',
    );
    expect((await call('GET', '/v1/users')).status).toBe(401);
    await folder.write('anna.yaml', files['anna.yaml']);
    await users.refresh();
    expect((await call('GET', '/v1/users')).status).toBe(200);
    for (const change of [
      'administers: []',
      'status: disabled',
      'expires: 2020-01-01',
      'admin_role: helpdesk',
    ]) {
      await folder.write('anna.yaml', files['anna.yaml']);
      await users.refresh();
      expect((await call('GET', '/v1/users/bob')).status).toBe(200);
      const [key = ''] = change.split(':');
      const kept = files['anna.yaml'].split('\n').filter((line) => !line.startsWith(`${key}:`));
      await folder.write('anna.yaml', `${kept.join('\n')}${change}\n`);
      const refused = [
        await add('ines', { groups: ['sales'] }),
        await call('DELETE', '/v1/sessions?user=bob'),
      ];
      expect(
        refused.map(({ status }) => status >= 401 && status <= 404),
        change,
      ).toEqual([true, true]);
      await users.refresh();
      expect((await call('GET', '/v1/users/bob')).status, change).not.toBe(200);
    }
    expect(users.find('ines')).toBeUndefined();
    expect(main.asked).toEqual([]);
  });

  it('loses a user who is moved between the look and the deed, whatever the deed', async () => {
    const reason = 'phone lost, seen in person';
    for (const [method, route, body] of [
      ['PUT', '/v1/users/bob/password', { password: 'another long one' }],
      ['PATCH', '/v1/users/bob', { set: { email: 'anna@example.com' } }],
      ['DELETE', '/v1/users/bob/two-factor', { reason }],
      ['POST', '/v1/users/bob/two-factor/bypass-code', { reason }],
      ['POST', '/v1/users/bob/password-link', { reason }],
      ['DELETE', '/v1/sessions?user=bob', undefined],
    ] as const) {
      await folder.write('bob.yaml', files['bob.yaml']);
      await users.refresh();
      expect((await call('GET', '/v1/users/bob')).status).toBe(200);
      const moved = files['bob.yaml'].replace('[sales]', '[ops]');
      await folder.write('bob.yaml', moved);
      expect(users.find('bob')?.groups).toEqual(['sales']);
      expect((await call(method, route, body)).code, route).toBe('not-found');
      expect(await readFile(path.join(folder.directory, 'bob.yaml'), 'utf8')).toBe(moved);
    }
    expect(main.asked).toEqual([]);
  });

  it('mends no file that says more than what is in force', async () => {
    await folder.write('bob.yaml', 'username: bob\ngroups: [sales, ops]\nemail: broken\n');
    await users.refresh();
    expect(users.find('bob')?.groups).toEqual(['sales']);
    const mend = await call('PATCH', '/v1/users/bob', { set: { email: 'bob@example.com' } });
    expect(mend.code).toBe('not-allowed');
    expect(await readFile(path.join(folder.directory, 'bob.yaml'), 'utf8')).toContain('broken');
  });

  it('is in the groups that come with the group and with everybody, and in no other', async () => {
    await folder.write('groups/staff.yaml', 'quota: 1GiB\n');
    await folder.write('groups/everybody.yaml', 'limits: { sessions: 4 }\n');
    await folder.write('groups/sales.yaml', `groups: [staff]\n${files['groups/sales.yaml']}`);
    await folder.write('groups/north.yaml', 'groups: [sales]\n');
    await folder.write('_default.yaml', `groups: [everybody]\n${files['_default.yaml']}`);
    await folder.write('nils.yaml', 'username: nils\ngroups: [north]\n');
    await users.refresh();
    const listed = (await call('GET', '/v1/users')).json['users'] as { username: string }[];
    expect(listed.map(({ username }) => username)).toEqual(theirs);
    expect((await add('ines', { groups: ['sales'] })).status).toBe(201);
    // `groups` would have taken away what everybody is in.
    expect(users.find('ines')).toMatchObject({
      groups: ['everybody', 'staff', 'sales'],
      limits: { sessions: 4 },
    });
  });

  it('a group that is not there is told where it is administered, and what is in force stays', async () => {
    const wrong = files['anna.yaml'].replace('rich]', 'salse]');
    await folder.write('anna.yaml', wrong);
    await users.refresh();
    const problem = { message: 'administers: unknown group `salse`', hint: 'did you mean `sales`?' };
    expect(users.problems()).toMatchObject([problem]);
    expect((await call('GET', '/v1/users/bob')).status).toBe(200);
    await expect(
      main.ports.users.change('anna', [{ path: ['administers'], value: ['salse'] }], undefined),
    ).rejects.toMatchObject({ code: 'config', detail: expect.stringContaining(problem.message) as string });
  });

  it('a group is not removed while somebody administers it', async () => {
    const groups = new YamlGroups(users, new FileWrites(users, main.ports.clock));
    await expect(groups.remove('rich', undefined)).rejects.toMatchObject({
      code: 'conflict',
      detail: expect.stringContaining('anna') as string,
    });
  });
});

it.each([
  [usersOfGroupAdminMax - 1, 'etag'],
  [usersOfGroupAdminMax, 'too many'],
])('beside %i users one more is: %s', async (count, answer) => {
  const inSales = (username: string) => ({ ...playedUser(username), groups: ['sales'] });
  const anna = { ...inSales('anna'), groups: [], adminRole: 'group-admin' as const, administers: ['sales'] };
  const present = Array.from({ length: count }, (_one, index) => inSales(`u${index}`));
  const parts = {
    users: {
      find: () => anna,
      list: () => present.values(),
      files: () => [].values(),
      tryUser: () => inSales('ines'),
      underName: () => undefined,
      ofGroup: (_group: string, name: string) => inSales(name),
    },
    writes: { inForce: <T>(work: () => Promise<T>) => work() },
    directory: {
      change: async () => '',
      create: async (_name: string, _fields: object, _template?: string, judge?: WriteJudge) => {
        await judge?.after('');
        return 'etag';
      },
    },
    isRemembered: () => false,
    isOccupied: async () => false,
    clock: { now: () => 0 },
  };
  const adding = new UsersOfGroupAdmin(parts, 'anna').create('ines', { groups: ['sales'] });
  expect(await adding.catch((error: unknown) => isSallyportError(error, 'too-many') && 'too many')).toBe(
    answer,
  );
});

/** What somebody tries who wants to be admin, or to read what is another group's; each is refused and changes nothing. */
describe('a group administrator who wants more', () => {
  beforeAll(start);
  afterAll(stop);

  type Attempt = readonly [
    what: string,
    method: string,
    route: string,
    body: object | undefined,
    code: string,
  ];
  const sales = { groups: ['sales'] };
  const adding = (what: string, fields: object, code = 'not-allowed', username = 'mole'): Attempt => [
    `adds a user ${what}`,
    'POST',
    '/v1/users',
    { username, set: { ...sales, ...fields }, password: 'long enough one' },
    code,
  ];
  const changing = (what: string, body: object, user = 'bob', code = 'not-allowed'): Attempt => [
    `changes a user: ${what}`,
    'PATCH',
    `/v1/users/${user}`,
    body,
    code,
  ];
  const mounted = [{ path: '/', root: 'shared/ops', allow: ['list', 'read'] }];
  const reason = 'because I can';

  const attempts: readonly Attempt[] = [
    adding('with a mount of another group', { files: mounted }),
    adding('with one mount more', { '+files': mounted }),
    adding('with a mount of everything', { files: [{ path: '/', root: '.', allow: ['read'] }] }),
    adding('who is an admin', { admin_role: 'admin' }),
    adding('who is a viewer of everything', { admin_role: 'viewer' }),
    adding('who is a group administrator', { admin_role: 'group-admin', administers: ['ops'] }),
    adding('who would administer, once there is a role', { administers: ['ops'] }),
    adding('without a second factor', { two_factor: { required_on: [] } }),
    adding('with the second factor some day', { two_factor: { required_from: '2090-01-01' } }),
    adding('who may set up a factor with the password alone', { two_factor: { force_setup: true } }),
    adding('from anywhere', { allow_from: null }),
    adding('at any hour', { hours: null }),
    adding('for longer than the group', { expires: '2090-01-01' }),
    adding('without the end that the group has', { expires: null }),
    adding('by a door that the group shuts', { protocols: ['https', 'sftp'] }),
    adding('without a quota', { quota: 'none' }),
    adding('without limits', { limits: { sessions: 'none' } }),
    adding('who stays active when the group is disabled', { status: 'active' }),
    adding('with a key that is not known', { webhooks: [{ url: 'https://evil.example' }] }),
    adding('with notices to an address', { events: [{ on: ['download'], to: ['anna@evil.example'] }] }),
    adding('with the name in the fields', { username: 'rex' }, 'bad-request'),
    adding('with a hash made elsewhere', { password: exampleHash }, 'bad-request'),
    adding('in another group', { groups: ['ops'] }),
    adding('in another group, appended', { '+groups': ['ops'] }),
    adding('in another group beside', { groups: ['sales'], '+groups': ['sales', 'ops'] }),
    adding('in a group that is not there', { groups: ['no-such-group'] }),
    adding('in two of hers: the folder of one without the factor of the other', {
      groups: ['sales', 'partners'],
    }),
    adding('in two of hers, the other way round', { groups: ['partners', 'sales'] }),
    adding('in a group of hers that gives a role', { groups: ['readers'] }),
    adding('in a group of hers that has more than she', { groups: ['rich'] }),
    adding('in no group', { groups: [] }),
    adding('in a group with an odd name', { groups: ['../ops'] }),
    adding('in a group that is no list', { groups: 'sales' }),
    adding('called as the folder that has all groups', {}, 'exists', 'shared'),
    adding('called as that folder, in capitals', {}, 'exists', 'SHARED'),
    adding('called as the folder of a group in which nobody is', {}, 'exists', 'vault'),
    adding('called as a folder that somebody left', {}, 'exists', 'leaver'),
    adding('called as somebody whose factor is left', {}, 'exists', 'ghost'),
    adding('called as a group, whose folder might be called so', {}, 'exists', 'readers'),
    adding('called as somebody of another group', {}, 'exists', 'carol'),
    adding('called as somebody but for case', {}, 'exists', 'Carol'),
    adding('called as an admin', {}, 'exists', 'rex'),
    adding('called as an admin in full width', {}, 'config', 'ｒｅｘ'),
    adding('called as a path', {}, 'config', '../groups/ops'),
    adding('called as nobody seen', {}, 'config', 'rex\u200b'),
    [
      'adds a user like one of another group',
      'POST',
      '/v1/users',
      { username: 'mole', template: 'carol' },
      'not-found',
    ],
    [
      'adds a user like one with more',
      'POST',
      '/v1/users',
      { username: 'mole', template: 'erin' },
      'not-found',
    ],
    [
      'adds a user like one who needs no factor',
      'POST',
      '/v1/users',
      { username: 'mole', template: 'fred' },
      'not-allowed',
    ],
    ['adds a user like an admin', 'POST', '/v1/users', { username: 'mole', template: 'rex' }, 'not-found'],
    [
      'imports users',
      'POST',
      '/v1/users/import',
      { users: [{ username: 'mole', set: { groups: ['ops'] } }], reason },
      'not-allowed',
    ],
    ['replaces the whole store', 'POST', '/v1/users/apply', { files: {}, etag: 'x' }, 'not-allowed'],
    ['reads the whole store', 'POST', '/v1/users/plan', { files: {} }, 'not-allowed'],
    ['changes the group', 'PATCH', '/v1/groups/sales', { set: { admin_role: 'admin' } }, 'not-allowed'],
    ['reads another group', 'GET', '/v1/groups/ops', undefined, 'not-allowed'],
    ['adds a group', 'POST', '/v1/groups', { name: 'mine' }, 'not-allowed'],
    ['makes a token', 'POST', '/v1/tokens', { user: 'anna', role: 'admin' }, 'not-allowed'],
    ['makes a token of a service', 'POST', '/v1/tokens', { service: 'x', role: 'viewer' }, 'not-allowed'],
    ['reads the audit', 'GET', '/v1/audit', undefined, 'not-allowed'],
    ['reads where a value comes from', 'GET', '/v1/users/bob/effective', undefined, 'not-allowed'],
    ['looks into a bin', 'GET', '/v1/users/carol/bin', undefined, 'not-allowed'],
    [
      'brings an authenticator of her own',
      'POST',
      '/v1/two-factor/import',
      { secrets: [{ user: 'rex', secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' }], replace: true, reason },
      'not-allowed',
    ],
    [
      'keeps the factor of a name that came back',
      'POST',
      '/v1/users/bob/two-factor/keep',
      { reason },
      'not-allowed',
    ],
    [
      'renames a user into another folder',
      'POST',
      '/v1/users/bob/rename',
      { username: 'rex2', reason },
      'not-allowed',
    ],
    ['deletes a user, to have the name', 'DELETE', '/v1/users/bob', undefined, 'not-allowed'],
    changing('another mount', { set: { files: mounted } }),
    changing('a mount more', { set: { '+files': mounted } }),
    changing('a role', { set: { admin_role: 'admin' } }),
    changing('out of the group', { set: { groups: ['ops'] } }),
    changing('into another group as well', { set: { '+groups': ['ops'] } }),
    changing('into another of hers, without a factor', { set: { groups: ['partners'] } }),
    changing('out of every group', { unset: ['groups'] }),
    changing('no second factor', { set: { 'two_factor.required_on': [] } }),
    changing('no second factor, beside a mail address', {
      set: { email: 'bob@example.com', 'two_factor.required_on': [] },
    }),
    changing('active whatever the group says later', { set: { status: 'active' } }),
    changing('active again, whom somebody disabled', { set: { status: 'active' } }, 'hank'),
    changing('active again by saying nothing', { unset: ['status'] }, 'hank'),
    changing('a hash made elsewhere', { set: { password: exampleHash } }, 'bob', 'bad-request'),
    changing('a later end', { set: { expires: '2090-01-01' } }),
    changing('another name', { set: { username: 'rex' } }, 'bob', 'bad-request'),
    ...notTheirs.flatMap((user): Attempt[] => [
      changing(`mail of ${user} to her`, { set: { email: 'anna@example.com' } }, user, 'not-found'),
      changing(`a key of hers for ${user}`, { set: { '+ssh_keys': [exampleKey] } }, user, 'not-found'),
      [
        `sets a password of ${user}`,
        'PUT',
        `/v1/users/${user}/password`,
        { password: 'long enough one' },
        'not-found',
      ],
      [`resets the phone of ${user}`, 'DELETE', `/v1/users/${user}/two-factor`, { reason }, 'not-found'],
      [
        `makes a code for ${user}`,
        'POST',
        `/v1/users/${user}/two-factor/bypass-code`,
        { reason },
        'not-found',
      ],
      [`mails a link for ${user}`, 'POST', `/v1/users/${user}/password-link`, { reason }, 'not-found'],
      [`lifts the lock of ${user}`, 'POST', `/v1/users/${user}/two-factor/unlock`, { reason }, 'not-found'],
      [`ends the sessions of ${user}`, 'DELETE', `/v1/sessions?user=${user}`, undefined, 'not-found'],
    ]),
  ];

  it.each(attempts)('%s', async (_what, method, route, body, code) => {
    occupied.add('leaver');
    remembered.add('ghost');
    // Whose grace is not hers to end.
    if (main.orphans.length === 0)
      main.orphans.push({ username: 'ghost', goneAtMs: 0, returnedAtMs: undefined });
    const before = await folderHash();
    const answer = await call(method, route, body);
    expect(answer.code, answer.text).toBe(code);
    expect(await folderHash()).toBe(before);
    expect(main.asked).toEqual([]);
    expect(main.state.audit.at(-1)).toMatchObject({
      event: 'admin.call',
      outcome: 'refused',
      actor: expect.stringMatching(/^token:anna:/) as string,
    });
  });

  it('learns nothing from refusals: not who is there, not which groups are', async () => {
    const answers = async (bodies: readonly object[]) =>
      new Set(await Promise.all(bodies.map(async (body) => (await call('POST', '/v1/users', body)).text)));
    const names = ['carol', 'Carol', 'rex', 'shared', 'leaver', 'ghost'];
    expect((await answers(names.map((username) => ({ username, set: sales })))).size).toBe(1);
    const groups = ['ops', 'no-such-group', '../x'].map((group) => ({
      username: 'mole',
      set: { groups: [group] },
    }));
    expect((await answers(groups)).size).toBe(1);
    const templates = ['carol', 'rex', 'nobody', 'anna'].map((template) => ({ username: 'mole', template }));
    expect((await answers(templates)).size).toBe(1);
    expect((await call('GET', '/v1/sessions?user=alice')).json).toEqual({ sessions: [] });
    expect((await call('GET', '/v1/users?search=carol')).json).toEqual({ users: [] });
    expect((await call('GET', '/v1/users?group=ops')).json).toEqual({ users: [] });
    // The audit says why.
    expect(main.state.audit.map(({ detail }) => detail).join('\n')).toContain('carol.yaml is there');
  });

  it('no help desk and no other group administrator acts on one', async () => {
    const desk = await main.makeToken({ role: 'helpdesk' });
    expect((await call('DELETE', '/v1/users/anna/two-factor', { reason }, desk)).code).toBe('not-allowed');
    const gus = await main.makeToken({ owner: { user: 'gus' }, role: 'group-admin' });
    expect((await call('DELETE', '/v1/users/anna/two-factor', { reason }, gus)).code).toBe('not-found');
    expect(main.asked).toEqual([]);
  });

  it('has no token but as that person and in that role', async () => {
    await expect(main.makeToken({ role: 'group-admin' })).rejects.toMatchObject({ code: 'bad-request' });
    for (const role of ['viewer', 'helpdesk', 'admin'] as const)
      await expect(main.makeToken({ owner: { user: 'anna' }, role })).rejects.toMatchObject({
        code: 'conflict',
      });
    await expect(
      main.makeToken({ owner: { user: 'anna' }, role: 'group-admin', groups: ['ops'] }),
    ).rejects.toMatchObject({ code: 'bad-request' });
  });
});
