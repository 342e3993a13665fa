/** main-agent/main.ts with every byte it sends over the link appended to `link-sent` beside its configuration. */
import { openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MainAgentSurroundings } from '#main-agent/system.ts';
import { runMainAgent } from './main-program.ts';

await runMainAgent((configFile): Partial<MainAgentSurroundings> => {
  const sent = openSync(join(dirname(configFile), 'link-sent'), 'a', 0o600);
  return { tap: (_kind, bytes) => void writeSync(sent, withoutZeroTail(bytes)) };
});

/** Load tests send gigabytes of zeros, which no canary ends in; without them the record stays small. */
function withoutZeroTail(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return bytes.subarray(0, end);
}
