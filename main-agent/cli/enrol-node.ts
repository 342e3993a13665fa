import { replaceFile } from '#shared/command-line/write-files.ts';
import { configError } from '#shared/config/problem.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { SallyportError } from '#shared/error.ts';
import type { NodePairing } from '#shared/pairing/pairing-line.ts';
import type { RotationLine } from '#shared/pairing/rotation-line.ts';
import { readFileSync } from 'node:fs';

/** Writes a DMZ node into main-agent.yaml: whom main dials, which key must answer, which key signs its assertions. */

/** Rejects `conflict` when a node of that name has other keys and `replace` does not allow it. */
export function enrolNode(
  configFile: string,
  pairing: NodePairing,
  replace: boolean,
): 'added' | 'same' | 'replaced' {
  const yaml = parseYaml(readFileSync(configFile, 'utf8'), configFile);
  if (yaml.problems.length > 0) throw configError(yaml.problems);
  const { document } = yaml;
  const entry = {
    name: pairing.name,
    address: pairing.address,
    identity: pairing.identity,
    signing_key: pairing.signing_key,
    host_key: pairing.host_key === 'main' ? 'main' : 'local',
  };
  const nodes = readNodes(yaml.value);
  const index = nodes.findIndex(({ name }) => name === pairing.name);
  const present = nodes[index];
  if (present !== undefined) {
    // One that was enrolled before there was the choice has its keys itself.
    const before: Readonly<Record<string, unknown>> = { host_key: 'local', ...present };
    const same = Object.entries(entry).every(([key, value]) => before[key] === value);
    if (same) return 'same';
    if (!replace) {
      throw new SallyportError('conflict', 'A node of this name is enrolled with other keys', {
        detail: `${pairing.name}: enrolled ${String(present['identity'])}, new ${pairing.identity}`,
        hint: 'add --replace if that box was set up anew; its old keys are refused from the next start on',
      });
    }
    document.setIn(['dmz_nodes', index], document.createNode(entry));
  } else if (nodes.length === 0) document.setIn(['dmz_nodes'], document.createNode([entry]));
  else document.addIn(['dmz_nodes'], document.createNode(entry));
  replaceFile(configFile, document.toString({ lineWidth: 0, flowCollectionPadding: true }), 0o600);
  return present === undefined ? 'added' : 'replaced';
}

/** Puts the keys that main has approved where it reads them at its next start. False: no node with the old key is there. */
export function rotateNode(
  configFile: string,
  { name, identity, signing_key, signedBy }: RotationLine,
): boolean {
  const yaml = parseYaml(readFileSync(configFile, 'utf8'), configFile);
  const { document } = yaml;
  const index = readNodes(yaml.value).findIndex(
    (node) => node['name'] === name && node['identity'] === signedBy,
  );
  if (yaml.problems.length > 0 || index === -1) return false;
  document.setIn(['dmz_nodes', index, 'identity'], identity);
  document.setIn(['dmz_nodes', index, 'signing_key'], signing_key);
  replaceFile(configFile, document.toString({ lineWidth: 0, flowCollectionPadding: true }), 0o600);
  return true;
}

function readNodes(config: unknown): readonly Readonly<Record<string, unknown>>[] {
  const list =
    typeof config === 'object' && config !== null && 'dmz_nodes' in config ? config.dmz_nodes : undefined;
  if (!Array.isArray(list)) return [];
  return list.map((node: unknown) => (typeof node === 'object' && node !== null ? { ...node } : {}));
}
