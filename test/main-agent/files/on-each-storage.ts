/**
 * The conformance suite of storages: each of its tests is run over every medium there is, through the file service as
 * sessions use it. What only a disk has (links, modes, other programs, a process that is killed) is tested beside it.
 */
import { test } from 'vitest';
import { LocalMedium, MemoryMedium, type TestMedium } from './media.ts';
import { type RigOptions, startOn, StorageRig } from './rig.ts';

const media: readonly (readonly [where: string, make: () => Promise<TestMedium>])[] = [
  ['on a disk', () => LocalMedium.make()],
  ['in memory', async () => new MemoryMedium()],
];

export type Start = (options?: RigOptions) => Promise<StorageRig>;

/** `start`: a rig of its own each time, all on one kind of medium. */
export function onEachStorage(title: string, body: (start: Start) => Promise<void>): void {
  for (const [where, make] of media) {
    // oxlint-disable-next-line vitest/expect-expect -- its body has them
    test(`${title} (${where})`, () =>
      body(async (options) => {
        const medium = await make();
        return startOn(medium, new StorageRig(medium, options));
      }));
  }
}
