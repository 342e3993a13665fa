import { dirname } from 'node:path';
import { checkDmzConfig, type DmzConfig } from '#dmz/config.ts';
import {
  gatherNodeSetup,
  judgeMainLink,
  nodeRunningChecks,
  nodeSetupChecks,
} from '#dmz/health/node-checks.ts';
import { examineBox, type Surroundings } from '#shared/command-line/look-around.ts';
import { listen, type Listen } from '#shared/config/value-types.ts';
import { boxChecks, curesOfBox } from '#shared/health/box-checks.ts';
import {
  examine,
  leaveUnlooked,
  mergeExaminations,
  type Examination,
  type Finding,
  type HealthCheck,
  type Said,
} from '#shared/health/check.ts';
import { readAnswer } from '#shared/health/report.ts';
import { readLinkSocket } from './link-socket.ts';

/**
 * What is not as it should be on this DMZ box, each with what to do about it. Reads files, asks the system's programs and
 * the kernel's tables, and what the watch last heard from the node: nothing of this box dials (S-06).
 */
export async function examineNodeBox(
  configFile: string,
  around: { readonly nowMs: number; readonly here: Surroundings; readonly watched: string },
): Promise<Examination> {
  const found = await examineHere(configFile, around);
  const { watched, nowMs } = around;
  const said = await readAnswer(watched, {
    checks: nodeRunningChecks,
    known: [...curesOfBox('dmz'), ...nodeSetupChecks, ...nodeRunningChecks, ...kernelChecks],
    timer: 'dmz-watch.timer',
    nowMs,
  });
  return mergeExaminations([found, said]);
}

/** Without what the running node says. */
export async function examineHere(
  configFile: string,
  { nowMs, here }: { readonly nowMs: number; readonly here: Surroundings },
): Promise<Examination> {
  const checked = await checkDmzConfig(configFile);
  if (!checked.ok) {
    // The modes of key files are among what the check looks at.
    const findings = checked.problems.map(({ file, line, column, message, hint }): Finding => ({
      check: 'configuration',
      state: 'bad',
      affects: 'both',
      detail: `${file}:${line}:${column}: ${message}`,
      hint,
    }));
    const rest = leaveUnlooked([...nodeSetupChecks, ...boxChecks], 'the configuration can not be read');
    return mergeExaminations([{ findings, unlooked: [] }, rest]);
  }
  const { config } = checked;
  const sockets = here.sockets();
  const linkSocket = readLinkSocket(dirname(configFile));
  const link = linkSocket === undefined ? config.link.listen : listen.parse(linkSocket);
  const detail = `${configFile}; its key files are its owner's alone`;
  return mergeExaminations([
    { findings: [{ check: 'configuration', state: 'good', affects: 'both', detail }], unlooked: [] },
    await examine(nodeSetupChecks, await gatherNodeSetup(config, undefined, nowMs)),
    await examineBox('dmz', configFile, { ports: listPorts(config), written: [] }, here),
    await examine(kernelChecks, { link, ports: [...listPorts(config), portOf('link', link)], sockets }),
  ]);
}

interface KernelFacts {
  readonly link: Listen;
  readonly ports: readonly ({ readonly what: string; readonly port: number } | undefined)[];
  readonly sockets: ReturnType<Surroundings['sockets']>;
}

/** What the kernel's table of sockets says of the running node. */
export const kernelChecks: readonly HealthCheck<KernelFacts>[] = [
  {
    id: 'listeners',
    looksAt: 'whether the doors are listened on',
    cure: 'is the node running? `journalctl -u dmz` says why not',
    affects: 'both',
    look: ({ ports, sockets }) =>
      ports.flatMap((one): Said[] => {
        if (one === undefined) return [];
        const { what, port } = one;
        if (port === 0)
          return [{ state: 'warning', detail: `${what} takes a free port at each start`, hint: 'name one' }];
        if (sockets.listening.has(port)) return [];
        return [
          {
            state: 'bad',
            detail: `nobody listens on port ${port} (${what})`,
            hint: 'is the node running? journalctl -u dmz says why not',
          },
        ];
      }),
  },
  {
    id: 'main-link',
    looksAt: 'whether main is connected',
    cure: 'does main run, does it dial this address, does the firewall let it in? `sallyport doctor` on main',
    affects: 'ready',
    look: ({ link, sockets }) =>
      link.type === 'systemd'
        ? { unlooked: 'the port of the link is systemd’s' }
        : [judgeMainLink(sockets.connected.has(link.port))],
  },
];

function listPorts({ https, sftp, health }: DmzConfig) {
  return [
    portOf('https', https.listen),
    portOf('sftp', sftp.listen),
    ...(health.listen === undefined ? [] : [portOf('health', health.listen)]),
  ].filter((one) => one !== undefined);
}

/** Undefined: systemd's. */
function portOf(what: string, at: Listen): { readonly what: string; readonly port: number } | undefined {
  return at.type === 'tcp' ? { what, port: at.port } : undefined;
}
