import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Door } from '#test/dmz/https/door.ts';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';
import { RawClient } from '#test/dmz/sftp/fakes/raw-client.ts';
import { startTestServer, type TestServer } from '#test/dmz/sftp/fakes/test-server.ts';
import { startWebBrowser, type WebBrowser } from '#test/harness/web-browser.ts';

/** Both doors with one guard; the inside is played. */
let https: Door;
let sftp: TestServer;
let browser: WebBrowser;

beforeAll(async () => {
  [https, browser] = await Promise.all([Door.open(), startWebBrowser()]);
  const users = { frank: { password: rightPassword, next: 'admit' } } as const;
  sftp = await startTestServer(users, { guard: https.inside.guard });
});
afterAll(async () => {
  await browser.close();
  await sftp.close();
  await https.close();
});

describe('a foreign page', () => {
  it('with 50 images whose addresses are too long costs its visitor nothing, at neither door', async () => {
    const images = Array.from(
      { length: 50 },
      (_, number) => `<img src="https://127.0.0.1:${https.port}/${'x'.repeat(17_000)}${number}">`,
    );
    const foreign = createServer((_request, response) => {
      response.setHeader('Content-Type', 'text/html').end(`<!doctype html>${images.join('')}`);
    }).listen(0, 'localhost');
    await once(foreign, 'listening');
    const page = await browser.visit({ ignoreHTTPSErrors: true });
    // Answered, and not shown: no answer of the door is for other sites.
    let answered = 0;
    page.on('requestfailed', (request) => {
      if (request.failure()?.errorText.startsWith('net::ERR_BLOCKED_BY_RESPONSE') === true) answered += 1;
    });
    await page.goto(`http://localhost:${(foreign.address() as AddressInfo).port}/`);
    await expect.poll(() => answered).toBe(images.length);
    foreign.close();

    const login = { username: 'frank', password: rightPassword };
    expect((await https.client().post('/api/login', login)).json['state']).toBe('signed-in');
    const ssh = await RawClient.connect({ port: sftp.port });
    await ssh.startAuthentication();
    ssh.password('frank', rightPassword);
    expect((await ssh.next())?.type).toBe(52);
    ssh.socket.destroy();
  });
});
