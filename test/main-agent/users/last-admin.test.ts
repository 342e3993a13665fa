import { describe, expect, test } from 'vitest';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { isAdmin, requireAdminLeft } from '#main-agent/users/last-admin.ts';
import { StorePlans, type StoreFiles } from '#main-agent/users/store-plan.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { playedUser } from '#test/main-agent/admin/played-main.ts';
import { makeUsersFolder } from './users-folder.ts';

const lastDay = '2027-12-31';
const nowMs = Date.parse('2027-12-31T23:59:59.999Z');

async function setUp(files: StoreFiles) {
  const clock = { now: () => nowMs + site.passedMs };
  const folder = await makeUsersFolder(files);
  const users = await folder.open();
  const writes = new FileWrites(users, clock);
  const site = {
    folder,
    users,
    passedMs: 0,
    directory: new YamlUserDirectory(users, writes),
    groups: new YamlGroups(users, writes),
    plans: new StorePlans(users, writes, clock),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
  return site;
}

const set = (key: string, value: unknown) => [{ path: [key], value }];
const refused = { code: 'not-allowed', hint: expect.stringContaining('admin_role=admin') as string };
/** Eva by her own file; Leo is an ordinary user. */
const eva = { 'eva.yaml': 'username: eva\nadmin_role: admin\n', 'leo.yaml': 'username: leo\n' };
/** Eva by a group of a group. */
const inherited = {
  'groups/it.yaml': 'admin_role: admin\n',
  'groups/staff.yaml': 'groups: [it]\n',
  'eva.yaml': 'username: eva\ngroups: [staff]\n',
  'leo.yaml': 'username: leo\n',
};

test('an admin is active, not expired and has the role', () => {
  const admin = { ...playedUser('eva'), adminRole: 'admin' as const };
  expect(isAdmin({ ...admin, expires: lastDay }, nowMs)).toBe(true);
  expect(isAdmin({ ...admin, expires: lastDay }, nowMs + 1)).toBe(false);
  expect(isAdmin({ ...admin, status: 'disabled' }, nowMs)).toBe(false);
  expect(isAdmin({ ...admin, adminRole: 'helpdesk' }, nowMs)).toBe(false);
  expect(() => requireAdminLeft([], [], nowMs)).not.toThrow();
  expect(() => requireAdminLeft([admin], [{ ...admin, expires: lastDay }], nowMs)).not.toThrow();
});

describe('the last admin', () => {
  test.each([
    ['disabled', set('status', 'disabled')],
    ['without the role', set('admin_role', undefined)],
    ['of a lower role', set('admin_role', 'viewer')],
    ['expired', set('expires', '2027-12-30')],
  ])('can not be made one who is %s', async (_what, changes) => {
    await using site = await setUp(eva);
    await expect(site.directory.change('eva', changes, undefined)).rejects.toMatchObject({
      ...refused,
      detail: 'active users with admin_role: admin are eva now, and would be none',
    });
    expect(site.users.find('eva')).toMatchObject({ adminRole: 'admin', status: 'active' });
    await site.directory.change('eva', set('expires', lastDay), undefined);
    await site.directory.change('eva', set('email', 'eva@example.com'), undefined);
    await site.directory.change('leo', set('status', 'disabled'), undefined);
    await site.directory.change('leo', set('status', undefined), undefined);
    await site.directory.change('leo', set('admin_role', 'admin'), undefined);
    await site.directory.change('eva', changes, undefined);
  });

  test('can not be deleted, until there is another one', async () => {
    await using site = await setUp(eva);
    await expect(site.directory.remove('eva', undefined)).rejects.toMatchObject(refused);
    expect(site.users.find('eva')).toBeDefined();
    await site.directory.create('ida', { admin_role: 'admin' });
    await site.directory.remove('eva', undefined);
    await expect(site.directory.remove('ida', undefined)).rejects.toMatchObject(refused);
  });

  test('counts with a role from a group of a group, and keeps it when that group is changed', async () => {
    await using site = await setUp(inherited);
    await expect(site.groups.change('it', set('admin_role', 'viewer'), undefined)).rejects.toMatchObject(
      refused,
    );
    await expect(site.groups.change('it', set('status', 'disabled'), undefined)).rejects.toMatchObject(
      refused,
    );
    await expect(site.groups.change('staff', set('groups', []), undefined)).rejects.toMatchObject(refused);
    await expect(site.directory.change('eva', set('groups', []), undefined)).rejects.toMatchObject(refused);
    await expect(site.directory.remove('eva', undefined)).rejects.toMatchObject(refused);
    await expect(site.groups.create('_default', { status: 'disabled' })).rejects.toMatchObject(refused);
    expect(site.users.find('eva')).toMatchObject({ adminRole: 'admin', status: 'active' });
    await site.groups.change('it', set('quota', '1GiB'), undefined);
    await site.directory.change('leo', set('groups', ['it']), undefined);
    await site.directory.change('eva', set('groups', []), undefined);
  });

  test('is not one of two of whom the other expired', async () => {
    await using site = await setUp({
      ...eva,
      'ida.yaml': `username: ida\nadmin_role: admin\nexpires: ${lastDay}\n`,
    });
    await site.directory.change('eva', set('status', 'disabled'), undefined);
    await site.directory.change('eva', set('status', 'active'), undefined);
    site.passedMs = 1;
    await expect(site.directory.change('eva', set('status', 'disabled'), undefined)).rejects.toMatchObject(
      refused,
    );
    await expect(site.directory.remove('eva', undefined)).rejects.toMatchObject(refused);
    await site.directory.remove('ida', undefined);
  });

  test('counts as she is in force while her file, or another’s, is broken', async () => {
    await using site = await setUp(inherited);
    await site.folder.write('eva.yaml', 'username: eva\ngroups: [nobody]\n');
    await site.folder.write('leo.yaml', 'broken');
    await site.users.refresh();
    expect(site.users.find('eva')?.adminRole).toBe('admin');
    await site.groups.change('it', set('quota', '1GiB'), undefined);
    await expect(site.groups.change('it', set('admin_role', undefined), undefined)).rejects.toMatchObject(
      refused,
    );
  });

  test('stays in a store that is applied whole, and may be nobody where nobody was', async () => {
    await using site = await setUp(inherited);
    const without = { ...inherited, 'groups/it.yaml': 'admin_role: viewer\n' };
    await expect(site.plans.plan(without)).rejects.toMatchObject(refused);
    await expect(
      site.plans.plan({ ...inherited, 'eva.yaml': 'username: eva\ngroups: [staff]\nexpires: 2027-12-30\n' }),
    ).rejects.toMatchObject(refused);
    // An editor may, and from then on there is nothing to keep.
    await site.folder.write('groups/it.yaml', 'admin_role: viewer\n');
    await site.users.refresh();
    await site.plans.plan(without);
    await site.directory.remove('eva', undefined);
  });
});
