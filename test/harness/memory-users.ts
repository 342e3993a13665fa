import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';

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
    list: () => users.values(),
    isGiven: (name) => users.has(name),
    isLoaded: () => true,
    problems: () => [],
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
