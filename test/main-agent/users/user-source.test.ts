import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { randomId } from '#shared/random-id.ts';
import { buildMemoryUsers } from '#test/harness/memory-users.ts';
import { userOf } from '#test/main-agent/files/rig.ts';
import { makeUsersFolder } from './users-folder.ts';
import { describeUserSource } from './user-source-conformance.ts';

describeUserSource('the YAML folder', async () => {
  const folder = await makeUsersFolder();
  const source = await folder.open();
  return {
    source,
    async put(username, fields) {
      await folder.write(`${username}.yaml`, JSON.stringify({ username, ...fields }));
      await source.refresh();
    },
    async remove(username) {
      await folder.remove(`${username}.yaml`);
      await source.refresh();
    },
    reopen: () => folder.open(),
    dispose: () => folder[Symbol.asyncDispose](),
  };
});

// What the other tests stand on must behave as the real one does.
describeUserSource('the memory users', async () => {
  const users = new Map<string, EffectiveUser>();
  const source = buildMemoryUsers(users);
  return {
    source,
    async put(username, fields) {
      source.put(userOf(username, [], { ...fields, version: randomId() }));
    },
    async remove(username) {
      source.remove(username);
    },
    reopen: async () => buildMemoryUsers(new Map(users)),
    dispose: () => source.close(),
  };
});
