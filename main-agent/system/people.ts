import path from 'node:path';
import { buildFileService } from '#main-agent/files/service.ts';
import { openStorages } from '#main-agent/files/storages.ts';
import { Deliveries } from '#main-agent/notify/deliveries.ts';
import { openNotify } from '#main-agent/notify/notify.ts';
import { notifyUser } from '#main-agent/two-factor/code-delivery.ts';
import { UsersOfGroupAdmin } from '#main-agent/users/administered-users.ts';
import { Departures } from '#main-agent/users/departures.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { startForgettingRemovedKeys } from '#main-agent/users/removed-keys.ts';
import { UserRenames } from '#main-agent/users/user-renames.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { openYamlUsers } from '#main-agent/users/yaml-users.ts';
import { askForUserFiles } from '#main-agent/vault/asked-user-files.ts';
import type { VaultAccess } from '#main-agent/vault/calls.ts';
import type { Ground } from './ground.ts';
import type { Records } from './records.ts';

/** Users and who they were before, how they are told something, and their files. */
export async function startPeople(ground: Ground, records: Records, vault: VaultAccess) {
  const { config, around, part, closing, reloads } = ground;
  const { clock, credentials } = around;
  const { state, audit, enrolments, voided } = records;
  const { directory: usersFolder, lastGoodDirectory } = config.users;
  const users = await openYamlUsers({
    directory: usersFolder,
    lastGoodDirectory,
    files: askForUserFiles(vault.ask),
    storages: Object.keys(config.storages),
    defaultUploads: config.uploads.default,
    defaultBinMs: config.binMs,
    brokenUserFile: config.users.brokenUserFile,
    log: part('users'),
  });
  closing.defer(() => users.close());
  reloads.alsoLookAt('users', () => lookAtUsers(users));
  // What was not seen while it was away.
  vault.onOpened(async () => void users.refresh());
  const departures = new Departures({
    state,
    users,
    enrolments,
    alsoRemembered: () => files.bins.owners(),
    clock,
    log: part('users'),
  });
  const writes = new FileWrites(users, clock);
  const notify = await openNotify(config, {
    ...(credentials === undefined ? {} : { credentials }),
    log: part('notify'),
  });
  closing.defer(() => notify.close());
  const deliveries = new Deliveries(notify.delivery, () => clock.now());
  reloads.on(['smtp', 'sms', 'branding.name'], async (next) => {
    const send = await notify.prepare(next);
    return () => {
      send();
      deliveries.forgetLast();
    };
  });
  const files = buildFileService({
    storages: await openStorages(config.storages, {
      ...config.uploads,
      formerUntilMs: (username) => departures.formerUntilMs(username),
      clock,
      log: part('files'),
    }),
    uploads: config.uploads,
    audit,
    retention: {
      users: () => users.list(),
      usersProblem: () => describeUsersProblem(users),
      file: path.join(path.dirname(config.state.file), 'retention.list'),
    },
    findUser: (username) => users.find(username),
    clock,
    log: part('files'),
  });
  closing.defer(() => files.close());
  closing.defer(() => departures.close());
  const renames = new UserRenames({
    users,
    writes,
    departures,
    enrolments,
    state,
    files,
    clock,
    log: part('users'),
  });
  // Before it is looked whose users are gone: a name in the middle of a rename is nobody's.
  await renames.start();
  await departures.start();
  const removedKeys = startForgettingRemovedKeys({ state, users, clock, log: part('state') });
  closing.defer(() => removedKeys.close());
  for (const { username, kind } of voided) {
    const user = users.find(username);
    if (user !== undefined) notifyUser({ notifier: notify.notifier, clock }, user, kind);
  }
  const directory = new YamlUserDirectory(users, writes);
  return {
    users,
    writes,
    directory,
    administered: (administrator: string) =>
      new UsersOfGroupAdmin(
        {
          users,
          writes,
          directory,
          isRemembered: (username) => departures.isNoted(username),
          isOccupied: (folder) => files.isOccupied(folder),
          clock,
        },
        administrator,
      ),
    departures,
    renames,
    notify,
    deliveries,
    files,
  };
}

/** Their folder is followed anyway; whether there are some that were not in force before. */
async function lookAtUsers(users: UserSource & { refresh(): Promise<unknown> }): Promise<boolean> {
  let isAnother = false;
  const stop = users.onChange((names) => {
    isAnother ||= [...names].length > 0;
  });
  try {
    await users.refresh();
  } finally {
    stop();
  }
  return isAnother;
}

/** Why the mounts in force may not be all there are. */
function describeUsersProblem(users: UserSource): string | undefined {
  if (!users.isLoaded()) return 'the users could not be read yet';
  const [first] = users.problems();
  return first === undefined
    ? undefined
    : `a user file is broken: ${first.file}:${first.line} ${first.message}`;
}

export type People = Awaited<ReturnType<typeof startPeople>>;
