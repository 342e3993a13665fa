import { expect, it } from 'vitest';
import { Bans } from '#main-agent/bans/bans.ts';
import { edgeBansPerNodeMax } from '#main-agent/bans/limits.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

it('S-09: a node that invents bans hides those of no other node, and only its own oldest', () => {
  const clock = { now: () => 0, monotonic: () => 0 };
  const bans = new Bans({
    state: buildMemoryState(),
    neverBan: () => [],
    push: () => undefined,
    endMatching: async () => undefined,
    clock,
  });
  const noteEdge = (node: string, source: string): void =>
    bans.noteEdge(node, { ban: { source, cause: 'failures', forMs: 60_000 }, atMs: 0 });
  noteEdge('honest', '203.0.113.1');
  for (let n = 0; n <= edgeBansPerNodeMax; n += 1) noteEdge('evil', `198.51.${n >> 8}.${n & 255}`);
  expect(bans.findEdge('203.0.113.1')).toMatchObject({ node: 'honest' });
  expect(bans.findEdge('198.51.0.0')).toBeUndefined();
  expect(bans.listEdge()).toHaveLength(edgeBansPerNodeMax + 1);
});
