import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { systemClock } from '#shared/clock.ts';
import { makeUsersFolder } from './users-folder.ts';

const files = {
  '_default.yaml': 'quota: 1GiB # for all\n',
  'groups/staff.yaml': '# Staff\nquota: 2GiB # more\n',
  'groups/night.yaml': 'groups: [staff]\n',
  'groups/empty.yaml': 'quota: 3GiB\n',
  'alice.yaml': 'username: alice\ngroups: [night]\n',
  'bob.yaml': 'username: bob\n+groups: [staff]\n',
};

async function setUp() {
  const folder = await makeUsersFolder(files);
  const users = await folder.open();
  return {
    folder,
    users,
    groups: new YamlGroups(users, new FileWrites(users, systemClock)),
    read: (name: string) => readFile(path.join(folder.directory, name), 'utf8'),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

describe('groups', () => {
  test('are listed with who is in them, _default first', async () => {
    await using site = await setUp();
    expect(site.groups.list()).toEqual([
      { name: '_default', groups: [], users: 2, isBroken: false },
      { name: 'empty', groups: [], users: 0, isBroken: false },
      { name: 'night', groups: ['staff'], users: 1, isBroken: false },
      { name: 'staff', groups: [], users: 2, isBroken: false },
    ]);
    expect(await site.groups.show('staff')).toMatchObject({
      fields: { quota: '2GiB' },
      users: ['alice', 'bob'],
    });
  });

  test('the first one comes with its folder', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\n' });
    const users = await folder.open();
    const groups = new YamlGroups(users, new FileWrites(users, systemClock));
    await groups.create('staff', { quota: '2GiB' });
    expect(groups.list()).toMatchObject([{ name: 'staff', isBroken: false }]);
  });

  test('keep their comments when changed, and a change counts for all in them when it resolves', async () => {
    await using site = await setUp();
    const { etag } = await site.groups.show('staff');
    await site.groups.change('staff', [{ path: ['quota'], value: '5GiB' }], etag);
    expect(await site.read('groups/staff.yaml')).toBe('# Staff\nquota: 5GiB # more\n');
    expect(site.users.find('alice')?.quotaBytes).toBe(5 * 2 ** 30);
    await site.groups.change('_default', [{ path: ['status'], value: 'disabled' }], undefined);
    expect(site.users.find('bob')?.status).toBe('disabled');
    await expect(
      site.groups.change('staff', [{ path: ['quota'], value: '6GiB' }], etag),
    ).rejects.toMatchObject({ code: 'precondition-failed' });
  });

  test('can be added, with keys and without', async () => {
    await using site = await setUp();
    const etag = await site.groups.create('new', { quota: '4GiB', groups: ['staff'] });
    expect(await site.groups.show('new')).toEqual({
      name: 'new',
      fields: { quota: '4GiB', groups: ['staff'] },
      users: [],
      etag,
    });
    expect(await site.read('groups/new.yaml')).toBe('quota: 4GiB\ngroups: [staff]\n');
    await site.groups.create('plain', {});
    expect(site.users.problems()).toEqual([]);
    await site.groups.change('plain', [{ path: ['quota'], value: '1GiB' }], undefined);
    await expect(site.groups.create('new', {})).rejects.toMatchObject({ code: 'exists' });
  });

  test.each([
    ['an unknown key', { qouta: '1GiB' }],
    ['a password', { password: null }],
    ['an unknown group', { groups: ['nobody'] }],
  ])('with %s are refused', async (_what, fields) => {
    await using site = await setUp();
    await expect(site.groups.create('new', fields)).rejects.toMatchObject({ code: 'config' });
  });

  test('that would come to contain themselves are refused', async () => {
    await using site = await setUp();
    await expect(
      site.groups.change('staff', [{ path: ['groups'], value: ['night'] }], undefined),
    ).rejects.toMatchObject({ code: 'config', detail: expect.stringContaining('contain each other') });
    expect(await site.read('groups/staff.yaml')).toBe(files['groups/staff.yaml']);
  });

  test('in use can not be deleted, and the refusal names who is in them', async () => {
    await using site = await setUp();
    await expect(site.groups.remove('staff', undefined)).rejects.toMatchObject({
      code: 'conflict',
      detail: 'staff: alice, bob, groups/night.yaml',
    });
    await expect(site.groups.remove('_default', undefined)).rejects.toMatchObject({ code: 'conflict' });
    // Named by a file that is broken, whose last good version counts.
    await site.folder.write('bob.yaml', 'username: bob\ngroups: [empty]\n');
    await site.users.refresh();
    await site.folder.write('bob.yaml', '');
    await site.users.refresh();
    await expect(site.groups.remove('empty', undefined)).rejects.toMatchObject({ detail: 'empty: bob' });
    await site.folder.write('bob.yaml', 'username: bob\n');
    await site.users.refresh();
    await site.groups.remove('empty', undefined);
    expect(site.groups.list().map(({ name }) => name)).toEqual(['_default', 'night', 'staff']);
  });

  test.each(['nobody', '../alice', '', 'a/b', '__proto__'])('called %j are not found', async (name) => {
    await using site = await setUp();
    await expect(site.groups.show(name)).rejects.toMatchObject({ code: 'not-found' });
    await expect(site.groups.change(name, [], undefined)).rejects.toMatchObject({ code: 'not-found' });
    await expect(site.groups.remove(name, undefined)).rejects.toMatchObject({ code: 'not-found' });
  });
});
