import { once } from 'node:events';
import net from 'node:net';
import { z } from 'zod';

/**
 * One demo in a folder: two would have the same keys and ports, and end each other's link. Held by an abstract Unix
 * socket, which ends with its process however that ends, and tells who asks what runs there.
 */

const holderSchema = z.object({ pid: z.number(), isShort: z.boolean() });

/** A self-check on a loaded machine, and its end. */
const waitMs = 180_000;

/**
 * Resolves when the folder is this process's until it ends. Waits for one that will be over soon (`--once`); rejects
 * while one stays.
 */
export async function lockFolder(dir: string, isShort: boolean): Promise<void> {
  const end = performance.now() + waitMs;
  while (!(await tryLock(nameOf(dir), isShort))) {
    const holder = await waitForHolder(nameOf(dir), end - performance.now());
    if (holder === 'stays' || performance.now() > end)
      throw new Error(`a demo is running in ${dir}. hint: --dir names another folder`);
  }
}

const nameOf = (dir: string): string => `\0sallyport-demo ${dir}`;

async function tryLock(name: string, isShort: boolean): Promise<boolean> {
  const server = net.createServer((socket) => {
    // It stays open: its end is ours.
    socket.on('error', () => undefined);
    socket.write(`${JSON.stringify({ pid: process.pid, isShort })}\n`);
    socket.unref();
  });
  server.listen(name);
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.unref();
  return true;
}

/** `gone`: there is none, or there is none any more. */
async function waitForHolder(name: string, patienceMs: number): Promise<'gone' | 'stays'> {
  const socket = net.connect(name);
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => resolve()).once('error', () => resolve());
  });
  const timer = setTimeout(() => socket.destroy(), Math.max(0, patienceMs));
  try {
    const said = await Promise.race([once(socket, 'data'), ended]).catch(() => undefined);
    if (said === undefined) return 'gone';
    const holder = holderSchema.safeParse(JSON.parse(String(said[0])));
    if (holder.success && !holder.data.isShort) return 'stays';
    await ended;
    return 'gone';
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
