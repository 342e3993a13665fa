/**
 * main-agent/main.ts that is killed right after a transaction with a used time step is durable and before anybody is
 * answered, if the file `die-after-code` lies beside its configuration; the file is removed first, so it dies once.
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { runMainAgent } from './main-program.ts';

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
            if (changes.some((change) => change.kind === 'use-time-step') && existsSync(trigger)) {
              rmSync(trigger);
              process.kill(process.pid, 'SIGKILL');
            }
            return result;
          };
        },
      }),
  };
});
