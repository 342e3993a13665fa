import { Certificates } from '#main-agent/acme/certificates.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import { sealOwn, type VaultAccess } from '#main-agent/vault/calls.ts';
import { readPublicFile } from '#shared/config/file-path.ts';
import type { Ground } from './ground.ts';
import type { Nodes } from './nodes.ts';
import type { Records } from './records.ts';

/** The certificate of the nodes' HTTPS doors, where an authority issues it. Undefined: they have their own. */
export async function startCertificate(
  { config, around, part, closing }: Ground,
  { state }: Records,
  { doors }: Nodes,
  { ask }: Pick<VaultAccess, 'ask'>,
): Promise<Pick<Certificates, 'problem' | 'standing' | 'renew'> | undefined> {
  const { acme } = config.https;
  if (acme === undefined) return undefined;
  const { clock } = around;
  const ca = acme.ca === undefined ? {} : { ca: (await readPublicFile(acme.ca)).toString('utf8') };
  const http = buildOutboundClient(ca);
  closing.defer(() => http.close());
  const certificates = new Certificates({
    ...acme,
    http,
    challenges: doors.challenges,
    isReachable: () => doors.isReachable(),
    state,
    sealer: sealOwn(ask),
    onCertificate: (certificate) => doors.serve(certificate),
    clock,
    log: part('https'),
  });
  closing.defer(() => certificates.close());
  await certificates.start();
  if (certificates.current !== undefined) doors.serve(certificates.current);
  doors.whenJoined(() => void certificates.look());
  return certificates;
}

export type DoorCertificate = Awaited<ReturnType<typeof startCertificate>>;
