/** main-agent/main.ts with every byte it sends over the link appended to `link-sent` beside its configuration. */
import { openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { WebSocket } from 'ws';
import { SocketTransport } from '#shared/link/socket-transport.ts';
import { runMainAgent } from './main-program.ts';

await runMainAgent((configFile) => {
  const sent = openSync(join(dirname(configFile), 'link-sent'), 'a', 0o600);
  // All that main sends passes one of these, before it is encrypted: lanes the first, control the second.
  recordCalls(SocketTransport.prototype, 'write', sent);
  recordCalls(WebSocket.prototype, 'send', sent);
});

/** Writes down what a method is given, whichever object of the class is called. */
function recordCalls(prototype: object, method: string, sent: number): void {
  const original = Reflect.get(prototype, method) as (...args: unknown[]) => unknown;
  Reflect.set(prototype, method, function (this: unknown, bytes: Uint8Array | string, ...rest: unknown[]) {
    writeSync(sent, withoutZeroTail(Buffer.from(bytes)));
    return Reflect.apply(original, this, [bytes, ...rest]);
  });
}

/** Load tests send gigabytes of zeros, which no canary ends in; without them the record stays small. */
function withoutZeroTail(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return bytes.subarray(0, end);
}
