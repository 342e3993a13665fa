import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { LoginHandlers } from '#main-agent/link/handlers.ts';
import type { Change } from '#main-agent/state/state-store.ts';
import { isSallyportError } from '#shared/error.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import type { CodeMethod, Protocol } from '#shared/login.ts';
import { buildMemoryLink, type MemoryLink } from '#test/harness/memory-link.ts';
import { type MemoryState } from '#test/harness/memory-state.ts';
import { buildRandom } from '#test/harness/random.ts';
import {
  buildRig,
  buildUser,
  password,
  signAnswer,
  withFactor,
  type PlayedNode,
  type Rig,
} from '#test/main-agent/login/rig.ts';

/**
 * S-03 under faults: one user logs in many times at once through two nodes with few codes, while links are cut, main
 * dies at any of its waits for the state (before a change is durable, or after it and before anybody hears of it) and
 * the clock jumps. Whatever happens, each piece of evidence has opened at most one session, and none opened without.
 *
 * Faults and logins follow from the seed; how threads interleave does not, so a seed that failed is worth a few runs:
 * CHAOS_SEED=… vitest run test/chaos/one-use.test.ts
 */

const seeds = 24;
const loginsPerSeed = 60;
const minute = 60_000;
const why = { actor: 'test', reason: 'chaos' };

async function waitTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** What one change spends; undefined for those that spend nothing. */
function nameEvidence(change: Change): string | undefined {
  if (change.kind === 'use-time-step') return `step ${change.enrolment} ${change.step}`;
  if (change.kind === 'use-code' || change.kind === 'use-bypass-code') return `${change.kind} ${change.id}`;
  return change.kind === 'use-lease' ? 'lease' : undefined;
}

class World {
  readonly #random: (below: number) => number;
  readonly #durable: MemoryState;
  #rig: Rig;
  #links: readonly MemoryLink[] = [];
  /** Counts up with each main; what belongs to an older one is dead. */
  #life = 0;
  #isDown = false;
  /** One in so many waits for the state kills main; 0: none does. */
  crashOneIn = 0;
  crashes = 0;
  /** What opened sessions, as made durable. */
  readonly opened: (readonly string[])[] = [];

  private constructor(seed: number, rig: Rig, durable: MemoryState) {
    this.#random = buildRandom(seed);
    this.#rig = rig;
    this.#durable = durable;
  }

  static async build(seed: number): Promise<World> {
    const first = await buildRig();
    first.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] })));
    await first.enrol('alice');
    const world = new World(seed, first, first.state);
    await world.revive();
    world.#links = await Promise.all([first.node, first.otherNode].map((node) => world.#join(node)));
    return world;
  }

  get rig(): Rig {
    return this.#rig;
  }

  /** Another main over what is durable, if the last one died. */
  async revive(): Promise<void> {
    if (this.#life > 0 && !this.#isDown) return;
    this.#life += 1;
    this.#isDown = false;
    await this.inPeace(async () => {
      this.#rig = await this.#rig.restart({ state: this.#mortal(this.#life) });
      for (const link of this.#links) await link.join();
    });
  }

  /** Main does not die meanwhile. */
  async inPeace<T>(work: () => Promise<T>): Promise<T> {
    const { crashOneIn } = this;
    this.crashOneIn = 0;
    const result = await work();
    this.crashOneIn = crashOneIn;
    return result;
  }

  async cut(which: number): Promise<void> {
    this.#links[which]?.cut();
    await this.#links[which]?.join();
  }

  makeBypassCode(): Promise<string> {
    return this.inPeace(async () => {
      await this.revive();
      const { twoFactor } = this.#rig.login.admin;
      const options = { ...why, ttlMs: 15 * minute, reEnrol: false };
      return (await twoFactor.makeBypassCode('alice', options)).expose();
    });
  }

  /** A login from begin to end; the method that let it in, or why it was not. */
  async logIn(options: {
    readonly node: number;
    readonly protocol: Protocol;
    readonly evidence: { readonly code: string; readonly method: CodeMethod };
    readonly pause: number;
    readonly answers: number;
  }): Promise<string> {
    const { node, protocol, evidence, pause, answers } = options;
    const link = this.#links[node];
    const played = node === 0 ? this.#rig.node : this.#rig.otherNode;
    if (link === undefined) throw new Error('two nodes');
    try {
      const view: ChallengeView = await link.link.request('login.begin', {
        user: 'alice',
        protocol,
        listener: protocol,
        client: { ip: '203.0.113.9', port: 50_000, agent: 'test client' },
        factor: { type: 'password', password },
      });
      await waitTurns(pause);
      const asked = view.next === 'code' ? evidence : {};
      let outcome = '';
      for (let answer = 0; answer < answers && outcome !== 'admitted'; answer += 1) {
        const { exporter } = link.connection();
        const signed = await signAnswer(view, { ...asked, protocol, exporter }, played, this.#rig.now());
        const result = await link.link.request('login.assert', { challenge: view.challenge, ...signed });
        outcome = result.outcome === 'admitted' ? 'admitted' : result.reason;
      }
      return outcome === 'admitted' && view.next !== 'code' ? (view.admitAs ?? 'none') : outcome;
    } catch (error) {
      if (isSallyportError(error)) return error.code;
      throw error;
    }
  }

  close(): void {
    for (const link of this.#links) link.close();
    this.#rig.close();
  }

  #join(node: PlayedNode): Promise<MemoryLink> {
    return buildMemoryLink({
      node: node.link.node,
      login: new Proxy({} as LoginHandlers, {
        get: (_target, verb) => Reflect.get(this.#rig.login.loginHandlers, verb) as unknown,
      }),
    });
  }

  #die(): void {
    this.#isDown = true;
    this.crashes += 1;
    for (const link of this.#links) link.cut('main died');
  }

  /** The state as one main sees it: once that main is dead nothing of it gets through, and nothing comes back. */
  #mortal(life: number): MemoryState {
    const isDead = (): boolean => this.#isDown || life !== this.#life;
    const never = new Promise<never>(() => undefined);
    const mayDie = (): boolean => {
      if (!isDead() && this.crashOneIn > 0 && this.#random(this.crashOneIn) === 0) this.#die();
      return isDead();
    };
    return new Proxy(this.#durable, {
      get: (state, name) => {
        const value: unknown = Reflect.get(state, name, state);
        if (typeof value !== 'function' || name === 'onAudit') return value;
        return async (...params: unknown[]): Promise<unknown> => {
          await waitTurns(this.#random(3));
          if (mayDie()) return never;
          const result: unknown = await Reflect.apply(value, state, params);
          if (name === 'commit') this.#note(params[0] as readonly Change[], result as { ok: boolean });
          return mayDie() ? never : result;
        };
      },
    });
  }

  #note(changes: readonly Change[], { ok }: { readonly ok: boolean }): void {
    if (!ok || !changes.some((change) => change.kind === 'open-session')) return;
    this.opened.push(changes.map(nameEvidence).filter((name) => name !== undefined));
  }
}

async function run(seed: number): Promise<{ admitted: number; crashes: number; outcomes: Set<string> }> {
  const random = buildRandom(seed ^ 0x5eed);
  const world = await World.build(seed);
  const outcomes = new Set<string>();
  try {
    const logins: Promise<string>[] = [];
    world.crashOneIn = 20 + random(200);
    let evidence: { readonly code: string; readonly method: CodeMethod } | undefined;
    for (let count = 0; count < loginsPerSeed; count += 1) {
      await world.revive();
      const fault = random(24);
      if (fault === 0) await world.cut(random(2));
      if (fault === 1) world.rig.jump((random(2) === 0 ? -1 : 1) * (1 + random(3)) * minute);
      if (fault === 2) world.rig.advance(random(2) * 20_000 + 15_000);
      // Few codes for many logins: a new one now and then.
      if (evidence === undefined || count % 6 === 0) {
        evidence =
          random(4) === 0
            ? { code: await world.makeBypassCode(), method: 'bypass' }
            : { code: world.rig.code('alice', random(3) - 1), method: 'totp' };
      }
      logins.push(
        world.logIn({
          node: random(2),
          protocol: random(2) === 0 ? 'https' : 'sftp',
          evidence,
          pause: random(12),
          answers: 1 + random(2),
        }),
      );
      await waitTurns(random(6));
    }
    // Who waits for a dead main hears of its end when the link is cut; then the faults are over.
    world.crashOneIn = 0;
    await world.revive();
    for (const outcome of await Promise.all(logins)) outcomes.add(outcome);

    const used = world.opened.flat().filter((name) => name !== 'lease');
    expect(used.toSorted(), 'each piece of evidence once').toEqual([...new Set(used)].toSorted());
    expect(
      world.opened.filter((evidenceOfOne) => evidenceOfOne.length === 0),
      'no session without',
    ).toEqual([]);

    // Not refused because everything is broken: without faults the next code is good.
    const { login } = world.rig;
    world.rig.advance(3 * 60 * minute);
    await login.admin.confirmClock(why);
    await login.admin.twoFactor.unlock('alice', why);
    const fresh = { code: world.rig.code('alice', 1), method: 'totp' as const };
    const calm = { node: 0, protocol: 'https' as const, evidence: fresh, pause: 0, answers: 1 };
    expect(await world.logIn(calm)).toBe('admitted');
    return { admitted: world.opened.length, crashes: world.crashes, outcomes };
  } finally {
    world.close();
  }
}

describe('one use of each code', () => {
  const first = Number(process.env['CHAOS_SEED'] ?? randomInt(2 ** 31));
  it(`S-03: holds under crashes, cuts and clock jumps (seeds from ${first})`, async () => {
    let [admitted, crashes] = [0, 0];
    const outcomes = new Set<string>();
    for (let seed = first; seed < first + seeds; seed += 1) {
      const result = await run(seed).catch((error: unknown) => {
        throw new Error(`CHAOS_SEED=${seed}`, { cause: error });
      });
      admitted += result.admitted;
      crashes += result.crashes;
      for (const outcome of result.outcomes) outcomes.add(outcome);
    }
    // The faults were there, and so were the logins.
    expect(crashes).toBeGreaterThan(seeds);
    expect(admitted).toBeGreaterThan(seeds);
    expect([...outcomes]).toEqual(expect.arrayContaining(['admitted', 'used-code', 'link-down', 'lease']));
  });
});
