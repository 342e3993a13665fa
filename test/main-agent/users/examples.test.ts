import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { buildUserSchemas } from '#main-agent/users/user-schema.ts';
import { buildEditorSchema } from '#test/shared/config/editor-schema.ts';
import { allKeyPaths } from '#shared/config/schema-keys.ts';
import { makeUsersFolder } from './users-folder.ts';

const schemas = buildUserSchemas(['local']);

test('the example users load as they stand', async () => {
  await using folder = await makeUsersFolder();
  const users = await folder.open({ directory: 'configs/users' });
  expect(users.problems()).toEqual([]);
  expect(users.find('alice')).toMatchObject({
    groups: ['partners'],
    twoFactor: { requiredOn: ['https', 'sftp'], registration: true },
    mounts: [{ root: ['alice'] }, { root: ['shared', 'partners'] }],
  });
});

test('the example users show every key', () => {
  const text = ['_default.yaml', 'groups/partners.yaml', 'alice.yaml']
    .map((file) => readFileSync(`configs/users/${file}`, 'utf8'))
    .join('\n');
  const keys = allKeyPaths(schemas.user).map((path) => path.split('.').at(-1) ?? '');
  expect(keys.filter((key) => !key.startsWith('+') && !text.includes(`${key}:`))).toEqual([]);
});

test.each([
  ['user', schemas.user],
  ['user-default', schemas.default],
  ['user-group', schemas.group],
] as const)('configs/%s.schema.json is up to date (write it with UPDATE_SCHEMAS=1)', async (name, schema) => {
  // Which storages there are is main-agent.yaml's word; the editor takes any name.
  const json = buildEditorSchema(schema, `Sallyport ${name} file`);
  const file = `configs/${name}.schema.json`;
  if (process.env['UPDATE_SCHEMAS'] === '1') await writeFile(file, json);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(json));
});
