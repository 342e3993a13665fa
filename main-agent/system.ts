import type { MainAgentConfig } from '#main-agent/config.ts';
import { startVaultProcess } from '#main-agent/vault/vault-process.ts';
import { startOrClose, type System } from '#shared/process/node-process.ts';
import { startAdministration } from './system/administration.ts';
import { startCertificate } from './system/certificate.ts';
import { buildExamination } from './system/examination.ts';
import type { Ground, MainAgentSurroundings } from './system/ground.ts';
import { startHealth } from './system/health.ts';
import { buildLogins } from './system/logins.ts';
import { startPeople } from './system/people.ts';
import { startReaders } from './system/readers.ts';
import { startRecords } from './system/records.ts';
import { Reloads } from './system/reload.ts';

/**
 * The main node, put together: a table of contents of `system/`, in the order of the starts. A start that fails closes
 * all that was started before it.
 */
export function startMainAgent(config: MainAgentConfig, around: MainAgentSurroundings): Promise<System> {
  const { clock, log } = around;
  return startOrClose(log, async (closing) => {
    const inForce = { ...config };
    const ground: Ground = {
      config: inForce,
      around,
      startedAtMs: clock.now(),
      part: (name) => log.child({ part: name }),
      closing,
      reloads: new Reloads(inForce, around),
    };
    ground.reloads.on(['log.level'], (next) => () => void (log.level = next.log.level));
    // Begun first, as it takes a while; closed last, as everybody asks it.
    const vault = startVaultProcess({
      keyFile: config.vaultKey,
      credentials: around.credentials,
      users: config.users,
      log: ground.part('vault'),
    });
    closing.defer(() => vault.close());
    ground.reloads.unless('vault_key', () => vault.isSameFile());
    const records = await startRecords(ground);
    await vault.opened();
    const people = await startPeople(ground, records, vault);
    const logins = await buildLogins(ground, records, people, vault);
    const readers = await startReaders(ground, records, people, logins.nodes);
    await logins.login.start();
    await logins.nodes.admin.start();
    people.files.surveys.keepFresh();
    const certificate = await startCertificate(ground, records, logins.nodes, vault);
    const doctor = buildExamination(ground, records, people, logins, readers, certificate, vault);
    const administration = await startAdministration(ground, records, people, logins, certificate, doctor);
    await startHealth(ground, { records, people, logins, readers, administration, doctor });
    logins.nodes.links.start();
    log.info({ nodes: config.dmzNodes.length, users: [...people.users.list()].length }, 'started');
    return {
      reload: () => ground.reloads.run(),
      async close() {
        log.info('stopping');
        await ground.reloads.close();
        await closing.disposeAsync();
      },
    };
  });
}
