import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { challengesShownWithinMs } from '#main-agent/link/limits.ts';
import { ShownChallenges } from '#main-agent/link/shown-challenges.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryLink } from '#test/harness/memory-link.ts';
import { eventually } from '#test/harness/patience.ts';

const token = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
const proof = `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;

describe('challenges that nodes answer', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  function build(joined: readonly string[]) {
    const log = buildLog('silent', {});
    const warn = vi.spyOn(log, 'warn');
    const sent: { readonly number: number; readonly tokens: readonly string[] }[] = [];
    const challenges = new ShownChallenges({
      joined: () => joined,
      send: ({ number, answers }) => sent.push({ number, tokens: answers.map((one) => one.token) }),
      log,
    });
    return { challenges, sent, warn };
  }

  /** What has become of it after all that can happen at once has. */
  async function stateOf(promise: Promise<void>): Promise<string> {
    let state = 'waits';
    promise.then(
      () => (state = 'shown'),
      (error: unknown) => (state = String(error)),
    );
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    return state;
  }

  it('are shown when every worker has said that it has this very list', async () => {
    const { challenges, sent } = build(['dmz1 0', 'dmz2 0']);
    const shown = challenges.show(token, proof);
    expect(sent).toEqual([{ number: 1, tokens: [token] }]);
    challenges.take('dmz1 0', { number: 1 });
    challenges.take('dmz1 0', { number: 1 });
    challenges.take('dmz2 0', { number: 0 });
    challenges.take('elsewhere 0', { number: 1 });
    expect(await stateOf(shown)).toBe('waits');
    challenges.take('dmz2 0', { number: 1 });
    expect(await stateOf(shown)).toBe('shown');
  });

  it('are told to whoever joins meanwhile, and not answered any more afterwards', () => {
    const { challenges, sent } = build(['dmz1 0']);
    void challenges.show(token, proof);
    expect(challenges.present().answers).toEqual([{ token, keyAuthorization: proof }]);
    challenges.hide(token);
    challenges.hide(token);
    expect(sent.slice(1)).toEqual([{ number: 2, tokens: [] }]);
    challenges.take('dmz1 0', { number: 2 });
  });

  it('are shown when one has said so and the others were waited for, who are named', async () => {
    const { challenges, warn } = build(['dmz1 0', 'dmz2 0']);
    const shown = challenges.show(token, proof);
    challenges.take('dmz1 0', { number: 1 });
    vi.advanceTimersByTime(challengesShownWithinMs - 1);
    expect(await stateOf(shown)).toBe('waits');
    vi.advanceTimersByTime(1);
    expect(await stateOf(shown)).toBe('shown');
    expect(warn.mock.calls).toEqual([
      [{ detail: expect.stringMatching(/from dmz2 0$/) }, expect.stringContaining('goes on')],
    ]);
  });

  it('are a failure that names them when none has said it in time', async () => {
    const { challenges, warn } = build(['dmz1 0', 'dmz2 0']);
    const shown = challenges.show(token, proof);
    vi.advanceTimersByTime(challengesShownWithinMs);
    expect(await stateOf(shown)).toMatch(/from dmz1 0, dmz2 0\)/);
    expect(warn).not.toHaveBeenCalled();
  });

  it('are a failure at once where no node is', async () => {
    await expect(build([]).challenges.show(token, proof)).rejects.toMatchObject({ code: 'link-down' });
  });
});

describe('a node that main gives its certificate', () => {
  it('keeps it, and what it answers an authority, while the link is away', async () => {
    const shown: number[] = [];
    const memory = await buildMemoryLink({ onChallengesShown: ({ number }) => shown.push(number) });
    const { tls } = memory.link;
    const told: string[] = [];
    tls.onCertificate(({ certificatePem }) => told.push(certificatePem));
    expect(tls.certificate).toBeUndefined();
    memory.connection().send('https.certificate', { certificatePem: 'chain', keyPem: 'key' });
    const answers = [{ token, keyAuthorization: proof }];
    memory.connection().send('acme.challenges', { number: 7, answers });
    await eventually(() => expect(shown).toEqual([7]));
    memory.cut();
    expect(told).toEqual(['chain']);
    expect(tls.certificate?.keyPem.expose()).toBe('key');
    expect(tls.keyAuthorizationOf(token)).toBe(proof);
    await memory.join();
    memory.connection().send('acme.challenges', { number: 8, answers: [] });
    await eventually(() => expect(shown).toEqual([7, 8]));
    expect(tls.keyAuthorizationOf(token)).toBeUndefined();
    memory.close();
  });
});
