import { HostKeys } from '#main-agent/host-keys/host-keys.ts';
import { HostKeySignatures } from '#main-agent/host-keys/signatures.ts';
import type { HostKeyHandlers } from '#main-agent/link/handlers.ts';
import type { KnownNodes } from '#main-agent/link/known-nodes.ts';
import { sealOwn, type AskVault } from '#main-agent/vault/calls.ts';
import type { EventBody } from '#shared/link/messages.ts';
import type { Ground } from './ground.ts';
import type { Records } from './records.ts';

/** SSH host keys of the nodes that have none themselves, and what is signed with them. */
export async function startHostKeys(
  { config, around: { clock }, part, closing }: Ground,
  { state, audit }: Records,
  parts: {
    readonly known: KnownNodes;
    readonly ask: AskVault;
    /** Its clients are shown another one. */
    readonly tell: (node: string) => void;
  },
) {
  const { known, ask, tell } = parts;
  let isStarted = false;
  const keys = new HostKeys(config.dmzNodes, {
    state,
    sealer: sealOwn(ask),
    onChange: (node) => {
      if (isStarted) tell(node);
    },
    clock,
    log: part('host-keys'),
  });
  await keys.start();
  isStarted = true;
  const isRevoked = (node: string): boolean => known.revocationOf(node) !== undefined;
  const signatures = new HostKeySignatures({ keys, isRevoked, audit, clock, log: part('host-keys') });
  closing.defer(() => signatures.close());
  const handlers: HostKeyHandlers = {
    'hostkey.sign': (params, link) => signatures.sign(params, link),
    'hostkey.prove': (params, link) => signatures.prove(params, link),
  };
  return { keys, signatures, handlers, told: (node: string) => describe(keys, node) };
}

/** What a node is told of its keys; undefined: it has its own. */
function describe(keys: HostKeys, node: string): EventBody<'hostkeys'> | undefined {
  if (!keys.isOfMain(node)) return undefined;
  const shown = keys.list(node).filter(({ standing }) => standing !== 'retired');
  return {
    keys: shown.map(({ publicKey: { type, blob }, standing }) => ({
      type,
      blob: blob.toString('base64url'),
      signs: standing === 'signs',
    })),
  };
}

export type HostKeyParts = Awaited<ReturnType<typeof startHostKeys>>;
