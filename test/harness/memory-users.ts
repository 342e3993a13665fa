import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import { foldUsername } from '#main-agent/users/username.ts';

/** UserSource without files, for tests of what stands on it: what is put into it is in force at once. */
export interface MemoryUsers extends UserSource {
  put(user: EffectiveUser): void;
  remove(username: string): void;
}

export function buildMemoryUsers(users = new Map<string, EffectiveUser>()): MemoryUsers {
  const listeners = new Set<(names: readonly string[]) => void>();
  const tell = (username: string): void => {
    for (const listener of listeners) listener([username]);
  };
  return {
    find: (name) => users.get(name),
    resolve: (name) => {
      const form = foldUsername(name);
      if (users.has(name) || form === name) return users.get(name);
      const [one, ...more] = [...users.values()].filter(({ username }) => foldUsername(username) === form);
      return more.length > 0 ? undefined : one;
    },
    list: () => users.values(),
    isGiven: (name) => users.has(name),
    isLoaded: () => true,
    problems: () => {
      const names = [...users.keys()];
      const twins = names.filter((name) =>
        names.some((one) => one !== name && foldUsername(one) === foldUsername(name)),
      );
      const message = `users whose names differ only in case: ${twins.join(', ')}`;
      return twins.map((file) => ({ file, line: 1, column: 1, message }));
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => undefined,
    put: (user) => {
      users.set(user.username, user);
      tell(user.username);
    },
    remove: (username) => {
      users.delete(username);
      tell(username);
    },
  };
}
