/** main-agent/state/sqlite/store.ts as dying-main.ts has it: a commit that spends a code is the last thing main does. */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openSqliteState as open } from '#main-agent/state/sqlite/store.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';

const spending: ReadonlySet<Change['kind']> = new Set(['use-time-step', 'use-code', 'use-bypass-code']);

export const openSqliteState: typeof open = async (options) => {
  const trigger = join(dirname(options.file), 'die-after-code');
  return new Proxy(await open(options), {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (property !== 'commit') return typeof value === 'function' ? value.bind(target) : value;
      return async (changes: Parameters<StateStore['commit']>[0]) => {
        const result = await target.commit(changes);
        if (changes.some((change) => spending.has(change.kind)) && existsSync(trigger)) {
          rmSync(trigger);
          process.kill(process.pid, 'SIGKILL');
        }
        return result;
      };
    },
  });
};
