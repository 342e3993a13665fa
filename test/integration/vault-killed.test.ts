import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultTotpSettings, stepAt } from '#main-agent/two-factor/totp.ts';
import { isSallyportError } from '#shared/error.ts';
import { type EvilDmz, startEvilDmz } from '#test/harness/evil-dmz.ts';
import { waitUntil } from '#test/harness/product.ts';
import { formatCheapHash } from '../main-agent/login/rig.ts';

/** The vault's process dies again and again while people sign in through a node. */

const kills = 100;
const people = 24;
/** 50 a second. */
const loginEveryMs = 20;
const backMs = 30_000;

let evil: EvilDmz;
beforeAll(async () => {
  evil = await startEvilDmz({
    people: people + 1,
    links: 1,
    // What a password costs is not what this is about: as cheap as the format allows.
    prepare: ({ main }, users) => {
      for (const [name, { password }] of Object.entries(users)) {
        if (password === undefined) continue;
        const file = join(main.users, `${name}.yaml`);
        const cheap = readFileSync(file, 'utf8').replace(
          /^password: .*$/m,
          () => `password: ${formatCheapHash(password)}`,
        );
        writeFileSync(file, cheap);
      }
    },
  });
});
afterAll(() => evil.close());

describe('a vault that is killed a hundred times while fifty a second sign in', () => {
  it('S-03, S-14: no code is good twice, nothing is counted against anybody, sessions live', async () => {
    const names = Array.from({ length: people }, () => evil.person());
    const session = await signInOnce('alice');
    const tally = new Tally(names);
    const timer = setInterval(() => tally.begin(), loginEveryMs);
    let listed = 0;
    try {
      for (let killed = 0; killed < kills; killed += 1) {
        const pid = await findVault();
        const before = tally.answered;
        await waitUntil(() => Promise.resolve(tally.answered > before), backMs);
        dead.add(pid);
        process.kill(pid, 'SIGKILL');
        // Who is signed in is served in this very moment.
        await evil.request('fs.list', { session, path: [], limit: 10, sort: 'name' });
        listed += 1;
      }
    } finally {
      clearInterval(timer);
    }
    await tally.settled();
    expect(listed).toBe(kills);
    expect(tally.twice).toEqual([]);
    expect([...tally.outcomes.keys()].filter((one) => !expected.has(one))).toEqual([]);
    expect(tally.outcomes.get('admitted')).toBeGreaterThan(people);
    expect(tally.outcomes.get('busy')).toBeGreaterThan(0);
    const rules = new Set(refusalsIn(readFileSync(evil.files.main.audit, 'utf8')));
    expect([...rules].filter((rule) => rule !== 'used-code')).toEqual([]);
    // And then, with nobody killing it, people get in.
    const last = evil.person();
    await waitUntil(
      () =>
        signInOnce(last).then(
          () => true,
          (error: unknown) => {
            if (!isSallyportError(error, 'busy')) throw error;
            return false;
          },
        ),
      backMs,
    );
  });
});

/** `again used-code`: the code of an earlier login of this test. */
const expected: ReadonlySet<string> = new Set(['admitted', 'busy', 'again used-code']);

/** Each login gives the newest code that its person may still use, or one that was used before where there is none. */
class Tally {
  readonly outcomes = new Map<string, number>();
  /** Codes that two logins were admitted with. */
  readonly twice: string[] = [];
  answered = 0;
  readonly #names: readonly string[];
  readonly #admitted = new Set<string>();
  readonly #lastStep = new Map<string, number>();
  readonly #running = new Set<Promise<void>>();
  #next = 0;

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  begin(): void {
    // In pairs: two at once for each person, with the same code.
    const name = this.#names[Math.floor(this.#next / 2) % this.#names.length] ?? '';
    this.#next += 1;
    const running = this.#login(name).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #login(name: string): Promise<void> {
    const outcome = await this.#try(name).catch((error: unknown) =>
      isSallyportError(error) ? error.code : String(error),
    );
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
    if (outcome !== 'busy') this.answered += 1;
  }

  async #try(name: string): Promise<string> {
    const challenge = await evil.begin(name);
    const current = stepAt(Date.now(), defaultTotpSettings);
    const unused = Math.max((this.#lastStep.get(name) ?? 0) + 1, current);
    const step = unused <= current + 1 ? unused : unused - 1;
    const answer = await evil.assert(challenge, { code: evil.authenticator(name).at(step) });
    const told = await evil.request('login.assert', answer);
    if (told.outcome !== 'admitted') return `again ${told.reason}`;
    const used = `${name} ${step}`;
    if (this.#admitted.has(used)) this.twice.push(used);
    this.#admitted.add(used);
    this.#lastStep.set(name, Math.max(step, this.#lastStep.get(name) ?? 0));
    return 'admitted';
  }
}

async function signInOnce(name: string): Promise<string> {
  const challenge = await evil.begin(name);
  const answer = await evil.assert(challenge, {
    code: evil.authenticator(name).at(stepAt(Date.now(), defaultTotpSettings)),
  });
  const told = await evil.request('login.assert', answer);
  if (told.outcome !== 'admitted') throw new Error(told.outcome);
  return told.view.session;
}

/** Main runs in this process; its vault is a child of it. */
const dead = new Set<number>();
async function findVault(): Promise<number> {
  const found: number[] = [];
  await waitUntil(() => {
    found.splice(0, found.length, ...childrenOf(process.pid).filter((pid) => !dead.has(pid) && isVault(pid)));
    return Promise.resolve(found.length === 1);
  }, backMs);
  return found[0] ?? 0;
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter((one) => one !== '')
      .map(Number),
  );
}

function isVault(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('main-agent/vault/process/main.ts');
  } catch {
    return false;
  }
}

/** Rules of all refusals of sign-ins; each of them is counted but `used-code`. */
function refusalsIn(audit: string): string[] {
  return audit
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((one) =>
      ['login.refused', 'login.code-refused', 'login.throttled'].includes(String(one['event'])),
    )
    .map((one) => String(one['rule']));
}
