import { replaceFile } from '#shared/command-line/write-files.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { configError } from '#shared/config/problem.ts';
import { SallyportError } from '#shared/error.ts';
import type { MainPairing } from '#shared/pairing/pairing-line.ts';
import { readFileSync } from 'node:fs';
import { nobody } from '#dmz/config.ts';

/** Writes main's identity into dmz.yaml: from then on exactly that key gets past the link's handshake. */

const identityPath = ['link', 'main', 'identity'];

/** Rejects `conflict` when another main is trusted and `replace` does not allow it. False: it was trusted already. */
export function trustMain(configFile: string, main: MainPairing, replace: boolean): boolean {
  const text = readConfig(configFile);
  const yaml = parseYaml(text, configFile);
  if (yaml.problems.length > 0) throw configError(yaml.problems);
  const present = yaml.document.getIn(identityPath);
  if (present === main.identity) return false;
  if (typeof present === 'string' && present !== nobody && !replace) {
    throw new SallyportError('conflict', 'This node trusts another main already', {
      detail: `trusted: ${present}, new: ${main.identity}`,
      hint: 'add --replace if main has new keys; the old ones are refused from the next start on',
    });
  }
  // The file is the admin's: exactly this value changes, no other byte.
  const { line } = yaml.locate(identityPath);
  const lines = text.split('\n');
  const changed = lines[line - 1]?.replace(String(present), main.identity);
  if (changed === undefined || typeof present !== 'string') {
    throw new SallyportError('config', 'The configuration names no main', {
      detail: `${configFile}: link.main.identity is missing`,
      hint: `add  link: { main: { identity: ${main.identity} } }`,
    });
  }
  lines[line - 1] = changed;
  replaceFile(configFile, lines.join('\n'), 0o600);
  return true;
}

function readConfig(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SallyportError('not-found', 'There is no node here', {
      detail: file,
      hint: '`sallyport node init` makes one; --dir names its folder',
      cause,
    });
  }
}
