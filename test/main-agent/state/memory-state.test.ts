import { buildMemoryState } from '#test/harness/memory-state.ts';
import { describeStateStore } from './conformance.ts';

// What the other tests stand on must behave as the real one does.
describeStateStore('the memory state', async () => buildMemoryState());
