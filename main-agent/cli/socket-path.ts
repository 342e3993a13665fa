import { parseYaml } from '#shared/config/yaml-text.ts';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Where the admin socket is, and which configuration is meant, when nobody says. */

const installedConfig = '/etc/sallyport/main-agent.yaml';
const installedSocket = '/run/sallyport/admin.sock';

/** `--config`, or main-agent.yaml in this folder, or the installed one; undefined: there is none. */
export function findConfigFile(named: string | undefined, folder: string): string | undefined {
  if (named !== undefined) return resolve(folder, named);
  return [resolve(folder, 'main-agent.yaml'), installedConfig].find((file) => readText(file) !== undefined);
}

/**
 * `--socket`, or what the configuration says. Only that one key is read: whoever may use the socket need not be able
 * to read the keys that a full check would look at.
 */
export function findSocket(
  named: string | undefined,
  configFile: string | undefined,
  folder: string,
): string {
  if (named !== undefined) return resolve(folder, named);
  const text = configFile === undefined ? undefined : readText(configFile);
  if (configFile === undefined || text === undefined) return installedSocket;
  const configured = parseYaml(text, configFile).document.getIn(['admin', 'socket']);
  return resolve(dirname(configFile), typeof configured === 'string' ? configured : 'run/admin.sock');
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
