import type { Socket } from 'node:net';
import type { Protocol } from '#shared/login.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';

/** What strangers reach: the doors, and port 80 beside them. */
export type DoorName = Protocol | 'plain';

/** Connections that another process took from the listening socket and hands over, before a byte of them was read. */
export interface HandedOver {
  /** Called once, when the door can take them. */
  onConnection(take: (socket: Socket) => void): void;
}

/** Where a door has its connections from: its own listening socket, or the process that holds it (D-133). */
export type DoorListen = ListenAt | HandedOver;

export function isHandedOver(listen: DoorListen): listen is HandedOver {
  return 'onConnection' in listen;
}
