/**
 * main-agent/main.ts that is killed right after a transaction that spends a code is durable and before anybody is
 * answered, if the file `die-after-code` lies beside its configuration; the file is removed first, so it dies once.
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { runMainAgent } from './main-program.ts';

const spending: ReadonlySet<Change['kind']> = new Set(['use-time-step', 'use-code', 'use-bypass-code']);

await runMainAgent((configFile) => {
  const trigger = join(dirname(configFile), 'die-after-code');
  return {
    wrapState: (state: StateStore): StateStore =>
      new Proxy(state, {
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
      }),
  };
});
