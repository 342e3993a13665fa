import { expect, test } from 'vitest';
import { HandleTable, type Handle } from '#main-agent/files/handles.ts';
import { handlesPerSessionMax } from '#main-agent/files/limits.ts';
import type { Caller } from '#main-agent/files/caller.ts';

const alive = new AbortController().signal;
const session = (key: string) => ({ key, ended: alive, processGone: alive }) as unknown as Caller;
const handle = {} as Handle;
const tooMany = expect.objectContaining({ code: 'too-many' }) as Error;

test('S-09: a session that has as many open as it may is refused before another file is opened', () => {
  const table = new HandleTable();
  const alice = session('alice');
  for (let number = 1; number < handlesPerSessionMax; number += 1) table.add(alice, number, handle);
  table.reserve(alice)();
  table.add(alice, handlesPerSessionMax, handle);
  expect(() => table.reserve(alice)).toThrow(tooMany);
  expect(() => table.add(alice, handlesPerSessionMax + 1, handle)).toThrow(tooMany);
  table.reserve(session('bob'))();
});
