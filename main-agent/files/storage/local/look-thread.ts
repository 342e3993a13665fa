/** The other side of `Looks`: asks the kernel for one name after another, and waits for the disk as long as that takes. */
import { lstatSync, readlinkSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { SortedBy } from '../storage.ts';

/** An open folder of this process by its number, and names in it with slashes between them. */
export interface LookRequest {
  readonly descriptor: number;
  readonly names: string;
  readonly by: SortedBy;
}

/** Of each name, NaN where there is nothing; undefined: one could not be looked at. */
export type LookReply = Float64Array | undefined;

// The kernel finds a process sooner by its number than by the link that means "this one".
const descriptors = `/proc/${readlinkSync('/proc/self')}/fd/`;
const options = { throwIfNoEntry: false } as const;

function look({ descriptor, names, by }: LookRequest): LookReply {
  const folder = `${descriptors}${descriptor}/`;
  try {
    return Float64Array.from(
      names.split('/'),
      (name) => lstatSync(folder + name, options)?.[by] ?? Number.NaN,
    );
  } catch {
    return undefined;
  }
}

const port = parentPort;
port?.on('message', (request: LookRequest) => port.postMessage(look(request)));
