import { newestOf } from '#shared/config/file-path.ts';
import { describeReload, frozenKeys, isBelow, isFrozen, type Reread } from '#shared/config/reload.ts';
import type { Log } from '#shared/log.ts';
import { namedFiles, type DmzConfig } from './config.ts';

/** What a node takes without a restart: certificate and key, while they are its own, and the level of the log. */
export function withReloaded(before: DmzConfig, now: DmzConfig): DmzConfig {
  const { certificate, key } = now.https;
  return {
    ...before,
    log: now.log,
    https: isOwnInBoth(before, now) ? { ...before.https, certificate, key } : before.https,
  };
}

function isOwnInBoth(before: DmzConfig, now: DmzConfig): boolean {
  return before.https.certificate !== undefined && now.https.certificate !== undefined;
}

interface Place {
  readonly log: Log;
  readonly configFile: string;
  readonly credentials?: string;
  readonly renewed?: string;
}

/** After it was done: says what took effect, and what only a restart takes. */
export function tellReload(
  { config, changed, take }: Reread<DmzConfig>,
  before: DmzConfig,
  { log, configFile, ...handedOver }: Place,
): void {
  log.level = config.log.level;
  const own = ['https.certificate', 'https.key'];
  const taken = ['log.level', ...(isOwnInBoth(before, config) ? own : [])];
  const effective = changed.filter((one) => isBelow(one, taken));
  take(effective);
  const { credentials } = handedOver;
  const told = {
    changed: effective,
    restart: changed.filter((one) => !effective.includes(one)),
    frozen: [
      ...(isFrozen(newestOf(configFile, handedOver), credentials) ? ['dmz.yaml'] : []),
      ...frozenKeys(namedFiles(config), own, credentials),
    ],
  };
  log.info(told, describeReload(told));
}
