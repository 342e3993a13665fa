/**
 * `node scripts/state.ts CONFIG`, for scripts/release: where main keeps its state by this configuration, and in a line of
 * its own the newest schema that this release's code reads.
 */
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { schemaVersion } from '#main-agent/state/sqlite/schema.ts';

const { state } = await loadMainAgentConfig(process.argv[2] ?? '');
process.stdout.write(`${state.file}\n${schemaVersion}\n`);
