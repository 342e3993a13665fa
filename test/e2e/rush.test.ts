import { argon2Sync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

/**
 * More logins a second than main can hash. `RUSH_SECONDS=60` rushes for a minute at twice the rate, through one node
 * and through two; otherwise it is short, and at four times the rate so that the queue is full at once.
 */
const fullSeconds = Number(process.env['RUSH_SECONDS'] ?? 0);
const isFull = fullSeconds > 0;
const [seconds, factor] = isFull ? [fullSeconds, 2] : [3, 4];
const roundsMax = 4;
const people = Array.from({ length: 6 }, (_, index) => `user-${index}`);
const password = 'all of them have this one';
/** As much work as hashes may ask for without memory being the bound: a few logins a second are too many. */
const cost = { memory: 65_536, passes: 4, parallelism: 1 } as const;

function hashOf(text: string): string {
  const nonce = randomBytes(16);
  const tag = argon2Sync('argon2id', { ...cost, message: text, nonce, tagLength: 32 });
  const plain = (octets: Buffer): string => octets.toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$${plain(nonce)}$${plain(tag)}`;
}

interface Answer {
  readonly status: number;
  readonly reason: unknown;
  readonly afterMs: number;
}

describe('more logins than main can hash', () => {
  let product: Product;
  let sources = 0;
  let wrongBefore = 0;
  const wrong = (): number => product.audit().filter(({ event }) => event === 'login.refused').length;
  beforeAll(async () => {
    product = await startProduct({
      nodes: 2,
      moreUsers: people.map((name) => ({
        name,
        displayName: name,
        hasPassword: true,
        hasKey: false,
        isEnrolled: false,
        requiredOn: [],
        registration: false,
        forceSetup: false,
      })),
    });
    const hash = hashOf(password);
    for (const name of people) {
      const file = join(product.site.files.main.users, `${name}.yaml`);
      writeFileSync(file, readFileSync(file, 'utf8').replace(/\$argon2id\$\S+?(?=["']?$)/m, hash));
    }
    // Before main has read the files this is a wrong password.
    await waitUntil(async () => (await logIn(1)).status === 200, 20_000);
    wrongBefore = wrong();
  });
  afterAll(() => product.close());

  /** Somebody new each time, from an address of their own. */
  async function logIn(nodes: number): Promise<Answer> {
    const number = (sources += 1);
    const { files } = product.site;
    const node = product.site.nodes[number % nodes];
    const address = `127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
    const session = new HttpsSession(node?.https ?? '', files.ca, address);
    const startMs = performance.now();
    const username = people[number % people.length];
    const { status, body } = await session.json('POST', '/api/login', { username, password });
    return { status, reason: body['reason'], afterMs: performance.now() - startMs };
  }

  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${product.site.mainHealth}/metrics`)).text();
    return Number(new RegExp(`^${name}\\S* (\\d+)$`, 'm').exec(text)?.[1]);
  };

  /** Logins a second with as many at work as main takes, and one that waits. */
  async function measure(ms: number): Promise<number> {
    const startMs = performance.now();
    let served = 0;
    const ask = async (): Promise<void> => {
      while (performance.now() - startMs < ms) if ((await logIn(1)).status === 200) served += 1;
    };
    await Promise.all([ask(), ask(), ask()]);
    return served / ((performance.now() - startMs) / 1000);
  }

  for (const nodes of isFull ? [1, 2] : [2])
    it(`through ${nodes} nodes: main works for people who wait all the time, and after the rush everybody gets in`, async () => {
      const before = await measure(isFull ? 10_000 : 1_500);
      const turnsBefore = await metric('sallyport_password_checks_total');
      const answers: Promise<Answer>[] = [];
      const startMs = performance.now();
      let servedInRush = 0;
      let isTurningAway = false;
      for (;;) {
        const nowMs = performance.now() - startMs;
        const round = Math.floor(nowMs / (seconds * 1000));
        // A measurement beside other work says too little: then more of them, until they are too many.
        if (round > 0 && (isFull || isTurningAway || round > roundsMax)) break;
        while (answers.length < (nowMs / 1000) * before * factor * 2 ** round)
          answers.push(
            logIn(nodes).then((answer) => {
              if (answer.status === 200 && performance.now() - startMs < seconds * 1000) servedInRush += 1;
              isTurningAway ||= answer.status === 503;
              return answer;
            }),
          );
        await wait(20);
      }
      const overMs = performance.now();
      const all = await Promise.all(answers);
      const drainedMs = performance.now() - overMs;
      const turns = (await metric('sallyport_password_checks_total')) - turnsBefore;
      expect(await metric('sallyport_password_checks_waiting')).toBe(0);
      // Whoever comes once it is over.
      const late = await Promise.all(product.site.nodes.map(() => logIn(2)));

      const served = all.filter(({ status }) => status === 200);
      const turnedAway = all.filter(({ status, reason }) => status === 503 && reason === 'busy');
      let share = 1;
      if (isFull) {
        const capacity = ((before + (await measure(10_000))) / 2) * seconds;
        share = servedInRush / capacity;
        const longestMs = Math.max(...served.map(({ afterMs }) => afterMs));
        process.stdout.write(
          `${nodes} nodes, ${seconds} s: capacity ${capacity.toFixed(0)}, asked ${all.length}, served ${servedInRush} in the rush (${(100 * share).toFixed(0)} %), ${served.length} in all of ${turns} turns, turned away ${turnedAway.length}, longest wait ${longestMs.toFixed(0)} ms, all in ${drainedMs.toFixed(0)} ms after it\n`,
        );
      }
      expect(share).toBeGreaterThanOrEqual(0.8);
      expect(served.length + turnedAway.length, JSON.stringify(all)).toBe(all.length);
      expect(turnedAway.length).toBeGreaterThan(0);
      expect(served.length / turns).toBeGreaterThan(0.8);
      for (const { status, reason } of late) expect([status, reason]).toEqual([200, undefined]);
    }, 300_000);

  it('is told in the audit as what it was, and nobody’s password was called wrong', async () => {
    // Fewer where the audit has begun the file of a new day.
    expect(wrong()).toBeLessThanOrEqual(wrongBefore);
    expect(await metric('sallyport_logins_without_turn_total')).toBeGreaterThan(0);
  });
});
