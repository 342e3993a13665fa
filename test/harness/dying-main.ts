/**
 * main-agent/main.ts that is killed right after a transaction that spends a code is durable and before anybody is
 * answered, if the file `die-after-code` lies beside its state; the file is removed first, so it dies once.
 */
import { registerHooks } from 'node:module';

const real = import.meta.resolve('#main-agent/state/sqlite/store.ts');
const dying = import.meta.resolve('./dying-state.ts');
registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    return resolved.url === real && context.parentURL !== dying ? next(dying, context) : resolved;
  },
});

const { runMainAgent } = await import('./main-program.ts');
await runMainAgent();
