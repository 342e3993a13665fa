import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { residentBytes } from '#test/bench/measure.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

const downloads = 16;
const downloadBytes = 64 * 1024 * 1024;
const people = Array.from({ length: 100 }, (_, index) => `user-${index}`);
/** A rush: every one of them waits for a password hash. */
const loginsAtOnce = 25;
/** As `Retry-After` says at least, for as long as a minute. */
const busyPauseMs = 2_000;
const busyTriesMax = 30;
/** What each process may hold, buffers of all streams included. */
const residentBytesMax = 300 * 1024 * 1024;
/** Share of its file that the slowest download must have when the fastest is done; a starved one would have nothing. */
const fairShare = 0.2;

describe('many at once', () => {
  let product: Product;
  beforeAll(async () => {
    product = await startProduct({
      moreUsers: people.map((name) => ({
        name,
        displayName: name,
        hasPassword: true,
        hasKey: false,
        isEnrolled: true,
        requiredOn: ['https', 'sftp'],
        registration: false,
        forceSetup: false,
      })),
    });
    const file = join(product.site.files.files, 'frank', 'large.bin');
    await writeFile(file, '');
    await truncate(file, downloadBytes);
  });
  afterAll(() => product.close());

  it('16 downloads finish, none starves, while 100 users log in with codes, in bounded memory', async () => {
    const { https, files, dmz, main } = product.site;
    const frank = new HttpsSession(https, files.ca);
    await frank.json('POST', '/api/login', { username: 'frank', password: product.password('frank') });

    const received = Array.from({ length: downloads }, () => 0);
    let whenFirstEnded: number[] | undefined;
    const downloading = received.map(async (_, index) => {
      const status = await frank.stream('GET', '/api/files/large.bin', (piece) => {
        received[index] = (received[index] ?? 0) + piece.length;
      });
      whenFirstEnded ??= [...received];
      return status;
    });
    const largest = { dmz: 0, main: 0 };
    const watch = setInterval(() => {
      for (const [name, { pid }] of [
        ['dmz', dmz],
        ['main', main],
      ] as const)
        if (pid !== undefined) largest[name] = Math.max(largest[name], residentBytes(pid));
    }, 100);
    const signedIn: unknown[] = [];
    const waiting = [...people.entries()];
    const logIn = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, name] = next;
        const session = new HttpsSession(https, files.ca, `127.0.1.${index + 1}`);
        const password = product.password(name);
        let first = await session.json('POST', '/api/login', { username: name, password });
        // Where the machine is slow a rush is more than main can hash; who is told so comes back.
        for (let tries = 1; tries < busyTriesMax && first.body['reason'] === 'busy'; tries += 1) {
          await wait(busyPauseMs);
          first = await session.json('POST', '/api/login', { username: name, password });
        }
        const code = product.authenticator(name).now();
        const second = await session.json('POST', '/api/login/code', { code });
        signedIn[index] = second.body['state'] ?? [first.body, second.body];
      }
    };
    await Promise.all(Array.from({ length: loginsAtOnce }, logIn));
    const statuses = await Promise.all(downloading);
    clearInterval(watch);

    expect(signedIn).toEqual(people.map(() => 'signed-in'));
    expect(statuses).toEqual(received.map(() => 200));
    expect(received).toEqual(received.map(() => downloadBytes));
    expect(Math.min(...(whenFirstEnded ?? [0])) / downloadBytes, String(whenFirstEnded)).toBeGreaterThan(
      fairShare,
    );
    for (const bytes of [largest.dmz, largest.main]) {
      expect(bytes).toBeGreaterThan(0);
      expect(bytes, JSON.stringify(largest)).toBeLessThan(residentBytesMax);
    }
  });
});
