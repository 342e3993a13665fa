/** A worker's process. The node's process starts it (`fork.ts`), tells it what it is, and outlives it. */
import { Socket } from 'node:net';
import { z } from 'zod';
import { credentialsOf } from '#shared/config/file-path.ts';
import { foldUncaught, isJournal } from '#shared/process/journal.ts';
import type { ToWorker } from './messages.ts';
import { buildWorker } from './worker.ts';

const toWorker = z.custom<ToWorker>(
  (message) => typeof message === 'object' && message !== null && 'type' in message,
);

foldUncaught('dmz worker');
const worker = buildWorker((message) => void process.send?.(message, undefined, undefined, () => undefined), {
  handedOver: credentialsOf(process.env),
  toJournal: isJournal(process.env, 1),
  exit: (code) => process.exit(code),
});
process.on('message', (message, handle) =>
  worker.receive(toWorker.parse(message), handle instanceof Socket ? handle : undefined),
);
// However the node's process ended: without it nothing counts for the node, and a new one has workers of its own.
process.on('disconnect', () => process.exit(1));
// systemd and a terminal tell every process of the node; what is to be done, the node's process says.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.send?.({ type: 'ready' });
