import type { MainAgentConfig } from '#main-agent/config.ts';
import type { NodeLink } from '#main-agent/link/handlers.ts';
import { isInNetworks } from '#shared/networks.ts';
import { endDevice, type Devices } from '#main-agent/sessions/devices.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { Clock } from '#shared/clock.ts';
import type { Params } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { WaiverUse } from './challenges.ts';
import type { FirstFactorProven } from './first-factor.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly state: StateStore;
  readonly leases: Leases;
  readonly devices: Devices;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a code need not be asked for: a trusted network, a lease, a remembered browser. */
export class Waivers {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Why the code need not be asked, if it need not (S-01: the only exceptions). */
  async find(
    params: Params<'login.begin'>,
    link: NodeLink,
    proven: FirstFactorProven,
  ): Promise<WaiverUse | undefined> {
    const { config, leases } = this.#parts;
    const { ip, agent } = params.client;
    const network = config.twoFactor.trustedNetworks.find(
      (one) => one.nodes.includes(link.node) && isInNetworks(ip, [one.cidr]),
    );
    if (network !== undefined) return { kind: 'trusted-network', cidr: network.cidr };

    const { username } = proven.user;
    const { credential } = proven;
    const binding = { username, credential, protocol: params.protocol, node: link.node, clientIp: ip, agent };
    const lease = leases.find(binding);
    if (lease !== undefined) return { kind: 'lease', lease: lease.id };
    if (params.device === undefined || params.protocol !== 'https') return undefined;
    return this.#findDevice(params.device, proven, params, link);
  }

  async #findDevice(
    value: string,
    { user, credential }: FirstFactorProven,
    params: Params<'login.begin'>,
    link: NodeLink,
  ): Promise<WaiverUse | undefined> {
    const { devices, log, state } = this.#parts;
    const { username } = user;
    const verdict = await devices.find(value, { username, node: link.node, credential });
    if (verdict.kind === 'known')
      return { kind: 'device', device: verdict.device.id, valueHash: verdict.valueHash };
    if (verdict.kind === 'copied') {
      log.error(
        { alarm: 'device-copied', user: username, node: link.node },
        'a device cookie has two holders',
      );
      await state.commit([
        endDevice(verdict.device.id),
        {
          kind: 'audit',
          record: buildRecord(this.#parts, 'device.revoked', 'ok', {
            user: username,
            node: link.node,
            clientIp: params.client.ip,
            rule: 'a replaced device cookie was shown again',
          }),
        },
      ]);
      notifyUser(this.#parts, user, 'device-copied', { node: link.node, clientIp: params.client.ip });
    }
    return undefined;
  }
}
