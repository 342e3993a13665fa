import { once } from 'node:events';
import net from 'node:net';
import { expect, it } from 'vitest';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { bindListeners } from '#scripts/demonstration/inherited-listeners.ts';
import { readServiceCommand } from '#scripts/demonstration/service-command.ts';

it('a bound socket is taken over by who listens on its descriptor, and its port is free after close', async () => {
  const port = findFreePort();
  const listeners = bindListeners({ https: port });
  const server = net.createServer((socket) => socket.end()).listen({ fd: listeners.descriptors[0] });
  await once(server, 'listening');
  expect(server.address()).toMatchObject({ address: '127.0.0.1', port });
  server.close();
  await once(server, 'close');
  listeners.close();
  const next = net.createServer().listen(port, '127.0.0.1');
  await once(next, 'listening');
  next.close();
});

it('a port that is taken is an error here, not another port there', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  expect(() => bindListeners({ https: port })).toThrow(`port ${port} for https`);
  taken.close();
});

it('a node is started with the arguments and the environment of its unit file', () => {
  const dmz = readServiceCommand('dmz', { '/opt/sallyport/': '/here/', '%d': '/etc/node' });
  expect(dmz.args.slice(-5)).toEqual([
    '/here/dmz/main.ts',
    '--config',
    '/etc/node/dmz.yaml',
    '--watched',
    '/run/dmz-watch',
  ]);
  expect(dmz.args).toEqual(
    expect.arrayContaining(['--permission', '--allow-fs-read=/here/shared/', '--allow-fs-read=/etc/node/']),
  );
  expect(dmz.args.join(' ')).not.toMatch(/--allow-(fs-write|worker|child-process|addons|wasi|inspector)/);
  const main = readServiceCommand('main-agent', {});
  expect(main.env).toEqual({
    MALLOC_ARENA_MAX: '2',
    MALLOC_MMAP_THRESHOLD_: '4194304',
    MALLOC_TRIM_THRESHOLD_: '134217728',
    MALLOC_TOP_PAD_: '8388608',
    RENEWED_CREDENTIALS_DIRECTORY: '/run/main-agent-renewed',
  });
});
