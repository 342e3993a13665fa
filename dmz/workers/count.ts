import type { DmzConfig } from '#dmz/config.ts';
import { SallyportError } from '#shared/error.ts';
import type { InheritedSockets } from '#shared/process/inherited-sockets.ts';

/** Past eight, one main behind them is the narrow place. */
const autoMax = 8;

interface Box {
  readonly cores: number;
  readonly inherited: InheritedSockets;
  /** The permission to start a process; without `--permission` everybody has it. */
  readonly mayStartProcesses: boolean;
}

/** How many processes serve the doors. Throws `config` where the box can't give as many as were asked for. */
export function countWorkers(
  config: Pick<DmzConfig, 'workers' | 'https' | 'sftp' | 'link'>,
  box: Box,
): number {
  const sockets = linkSocketsOf(config, box.inherited);
  // The client's address is in the first bytes then, and which worker it belongs to would be known too late (D-133).
  const isBehindBalancer = [config.https, config.sftp].some(({ proxiesFrom = [] }) => proxiesFrom.length > 0);
  if (config.workers === 'auto')
    return isBehindBalancer || !box.mayStartProcesses
      ? 1
      : Math.max(1, Math.min(box.cores - 1, autoMax, sockets));
  if (config.workers === 1) return 1;
  const refuse = (detail: string, hint: string): never => {
    throw new SallyportError('config', `workers: ${config.workers} can not be had`, { detail, hint });
  };
  if (isBehindBalancer)
    refuse(
      'proxy_protocol is set',
      'behind a balancer, set up more nodes instead: it spreads connections over them',
    );
  if (!box.mayStartProcesses)
    refuse('this process may start no other', 'configs/systemd/workers.conf says how a unit allows it');
  if (config.workers > sockets)
    refuse(
      `${sockets} sockets for main were handed over`,
      'one ListenStream line a worker in dmz-link.socket.d; main and both firewalls must reach each port',
    );
  return config.workers;
}

function linkSocketsOf({ link: { listen } }: Pick<DmzConfig, 'link'>, inherited: InheritedSockets): number {
  if (listen.type === 'tcp') return Number.POSITIVE_INFINITY;
  let count = 0;
  while (inherited.has(linkName(listen.name, count))) count += 1;
  return count;
}

/** As `readInheritedSockets` names several of one name. */
export function linkName(name: string, worker: number): string {
  return worker === 0 ? name : `${name}-${worker}`;
}
