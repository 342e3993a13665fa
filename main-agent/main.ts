/** The main node's process: `node main-agent/main.ts --config FILE [--check-config] [--watched FOLDER] [--accept-restored-state REASON]`. */
import { checkMainAgentConfig, openMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { gatherSetup, setupChecks } from '#main-agent/doctor/setup-checks.ts';
import { acceptRestoredOption } from '#main-agent/restored/limits.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { askKeyFile } from '#main-agent/vault/process/keeper.ts';
import { formatFaults } from '#shared/command-line/findings.ts';
import { credentialsOf } from '#shared/config/file-path.ts';
import { systemClock } from '#shared/clock.ts';
import { examine } from '#shared/health/check.ts';
import { buildLog } from '#shared/log.ts';
import { readInheritedSockets } from '#shared/process/inherited-sockets.ts';
import { isJournal } from '#shared/process/journal.ts';
import { runNodeProgram } from '#shared/process/node-process.ts';
import { resolve } from 'node:path';

const options = credentialsOf(process.env);

await runNodeProgram<MainAgentConfig>({
  name: 'main-agent',
  check: (file) => checkMainAgentConfig(file, options),
  examine: async (config) =>
    formatFaults(
      await examine(
        setupChecks,
        await gatherSetup(
          config,
          options.credentials,
          Date.now(),
          askKeyFile(config.vaultKey, { credentials: options.credentials }),
        ),
      ),
    ),
  options: { [acceptRestoredOption]: 'REASON', watched: 'FOLDER' },
  start: async (config, file, { [acceptRestoredOption]: acceptRestored, watched }) => {
    const source = await openMainAgentConfig(file, options);
    return startMainAgent(config, {
      ...options,
      ...(acceptRestored !== undefined && { acceptRestored }),
      ...(watched !== undefined && { watched }),
      configFile: resolve(file),
      clock: systemClock,
      log: buildLog(config.log.level, { main: config.name }, { toJournal: isJournal(process.env, 1) }),
      inherited: readInheritedSockets(process.env, process.pid),
      reread: () => source.reread(),
      // A supervisor starts it again; until then nobody logs in.
      onStateFailure: () => process.exit(1),
    });
  },
});
