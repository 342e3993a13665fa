import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { checkMainAgentConfig, openMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { acceptRestoredOption } from '#main-agent/restored/limits.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { runNodeProgram } from '#shared/process/node-process.ts';
import { holdFileName } from './hold-file.ts';

const holdPollMs = 50;

/** What main-agent/main.ts does, after something of a test's was put in place. */
export function runMainAgent(prepare?: (configFile: string) => void): Promise<void> {
  return runNodeProgram<MainAgentConfig>({
    name: 'main-agent',
    check: (file) => checkMainAgentConfig(file),
    options: { [acceptRestoredOption]: 'REASON', watched: 'FOLDER' },
    start: async (config, file, { [acceptRestoredOption]: acceptRestored, watched }) => {
      while (existsSync(join(dirname(file), holdFileName))) await wait(holdPollMs);
      prepare?.(file);
      const source = await openMainAgentConfig(file);
      return startMainAgent(config, {
        ...(acceptRestored !== undefined && { acceptRestored }),
        ...(watched !== undefined && { watched }),
        clock: systemClock,
        log: buildLog(config.log.level, { main: config.name }),
        inherited: new Map(),
        reread: () => source.reread(),
        onStateFailure: () => process.exit(1),
      });
    },
  });
}
