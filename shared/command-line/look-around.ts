import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { boxChecks, type BoxCheckFacts } from '#shared/health/box-checks.ts';
import { lookAtBox, type Run } from '#shared/health/box.ts';
import { examine, type Examination } from '#shared/health/check.ts';
import { findListener, readKernelSockets } from '#shared/health/kernel-sockets.ts';

/** How an administrator's command sees the box: it may ask the programs of the system, which no node may. */

/** Each answers at once, or not at all. */
const patienceMs = 10_000;
const answerBytesMax = 1024 * 1024;

const runHere: Run = (command, args) => {
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: patienceMs,
    maxBuffer: answerBytesMax,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return error === undefined ? { status: status ?? 1, stdout, stderr } : undefined;
};

export interface Surroundings {
  readonly run: Run;
  readonly sockets: typeof readKernelSockets;
  readonly ownerOf: BoxCheckFacts['ownerOf'];
}

export const hereAround: Surroundings = { run: runHere, sockets: readKernelSockets, ownerOf: findListener };

/** Looks at the box for a node with this configuration. */
export function examineBox(
  side: 'dmz' | 'main-agent',
  configFile: string,
  configured: Pick<BoxCheckFacts, 'ports' | 'written'>,
  { run, sockets, ownerOf }: Surroundings,
): Promise<Examination> {
  const texts = listTexts(parseYaml(readFileSync(configFile, 'utf8'), configFile).value);
  const named = (prefix: string): string[] => [
    ...new Set(texts.filter((text) => text.startsWith(prefix)).map((text) => text.slice(prefix.length))),
  ];
  return examine(boxChecks, {
    box: lookAtBox(side, run),
    credentials: named('credential:'),
    sockets: named('systemd:'),
    ...configured,
    listening: sockets().listening,
    ownerOf,
  });
}

function listTexts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(listTexts);
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(listTexts);
  return [];
}
