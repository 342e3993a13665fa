/**
 * What a node tells of its edge, signed with its signing key: main's audit keeps the signature, so that what stands
 * there is known to be what the node said. Each process of a node counts its events from 1; one that is missing shows.
 */
import { sign, verify, type KeyObject } from 'node:crypto';
import type { EventBody } from './messages.ts';

export type EdgeEvent = EventBody<'edge.event'>;
export type UnsignedEdgeEvent = Omit<EdgeEvent, 'signature'>;

/** Whose event it is; the link says the same to main. */
interface EdgeEventSource {
  readonly node: string;
  readonly worker: number;
}

export function signEdgeEvent(
  event: UnsignedEdgeEvent,
  source: EdgeEventSource,
  privateKey: KeyObject,
): EdgeEvent {
  return { ...event, signature: sign(null, signedOctets(event, source), privateKey).toString('base64url') };
}

export function isEdgeEventOf(event: EdgeEvent, source: EdgeEventSource, publicKey: KeyObject): boolean {
  const { signature, ...unsigned } = event;
  return verify(null, signedOctets(unsigned, source), publicKey, Buffer.from(signature, 'base64url'));
}

/** The first line keeps this signature from meaning anything else this key signs. */
function signedOctets(event: UnsignedEdgeEvent, { node, worker }: EdgeEventSource): Buffer {
  const { boot, sequence, kind, atMs, clientIp, protocol, detail, reference } = event;
  const fields = [
    node,
    worker,
    boot,
    sequence,
    kind,
    atMs,
    clientIp ?? null,
    protocol ?? null,
    detail,
    ...(reference === undefined ? [] : [reference]),
  ];
  return Buffer.from(`sallyport edge event 1\n${JSON.stringify(fields)}`, 'utf8');
}
