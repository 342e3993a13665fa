/** The DMZ node's process: `node dmz/main.ts --config FILE [--check-config] [--watched FOLDER]`. */
import { availableParallelism } from 'node:os';
import { checkDmzConfig, openDmzConfig, type DmzConfig } from '#dmz/config.ts';
import { gatherNodeSetup, nodeSetupChecks } from '#dmz/health/node-checks.ts';
import { startDmz } from '#dmz/system.ts';
import { countWorkers } from '#dmz/workers/count.ts';
import { formatFaults } from '#shared/command-line/findings.ts';
import { credentialsOf } from '#shared/config/file-path.ts';
import { systemClock } from '#shared/clock.ts';
import { examine } from '#shared/health/check.ts';
import { buildLog } from '#shared/log.ts';
import { readInheritedSockets } from '#shared/process/inherited-sockets.ts';
import { isJournal } from '#shared/process/journal.ts';
import { runNodeProgram } from '#shared/process/node-process.ts';

const options = credentialsOf(process.env);

await runNodeProgram<DmzConfig>({
  name: 'dmz',
  check: (file) => checkDmzConfig(file, options),
  examine: async (config) =>
    formatFaults(
      await examine(nodeSetupChecks, await gatherNodeSetup(config, options.credentials, Date.now())),
    ),
  options: { watched: 'FOLDER' },
  start: async (config, file, { watched }) => {
    const source = await openDmzConfig(file, options);
    const inherited = readInheritedSockets(process.env, process.pid);
    const around = {
      inherited,
      configFile: file,
      ...(watched !== undefined && { watched }),
      log: buildLog(config.log.level, { node: config.node }, { toJournal: isJournal(process.env, 1) }),
      reread: () => source.reread(),
      ...options,
    };
    const workers = countWorkers(config, {
      cores: availableParallelism(),
      inherited,
      mayStartProcesses: process.permission?.has('child') ?? true,
    });
    if (workers === 1) return startDmz(config, { ...around, clock: systemClock });
    // Not before it is needed: one process is all there is nearly everywhere.
    const { startWorkers } = await import('#dmz/workers/node.ts');
    return startWorkers(config, { ...around, workers, env: process.env });
  },
});
