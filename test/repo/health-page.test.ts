import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { kernelChecks } from '#dmz/cli/doctor.ts';
import { nodeChecks } from '#dmz/health/node-checks.ts';
import { mainChecks } from '#main-agent/doctor/doctor.ts';

const page = new URL('../../HEALTH.md', import.meta.url);

interface Row {
  readonly id: string;
  readonly looksAt: string;
  readonly cure: string;
  readonly affects: string;
}

const effects: Readonly<Record<string, string>> = {
  ready: 'users are not served: `/readyz`',
  health: 'something is wrong, users are served: `/healthz`',
  both: 'something is wrong, users are not served: both',
};

function describeChecks(checks: readonly Row[]): string {
  const once = new Map(checks.toReversed().map((check) => [check.id, check]));
  return [...once.values()]
    .toReversed()
    .map(
      ({ id, looksAt, cure, affects }) =>
        `### ${id}\n\nLooks at ${looksAt}. When it is bad, ${effects[affects] ?? ''}.\n\nCure: ${cure}.\n`,
    )
    .join('\n');
}

function writePage(): string {
  return `# What is looked at

One list of checks for each node. \`sallyport status\`, \`sallyport doctor\` and \`sallyport config check\` on main, \`sallyport node doctor\` on a DMZ box, \`/healthz\` and \`/readyz\` of both, and main's \`status\` for its nodes say what these checks find, in the same words, each with its cure.

- \`BAD\` is to be mended now: \`status\` and \`doctor\` end with 1, \`/healthz\` or \`/readyz\` with 503. \`warn\` is to be known or mended soon.
- All is well only of what was looked at. What could not be looked at is named, with the reason.
- What only root can see of a box, the timers \`dmz-watch\` and \`main-agent-watch\` look at every five minutes, and every half minute while something is wrong; the node tells what they found. A node that was started by hand has no such timer, and says so.
- \`config check\` fails by what another configuration mends, and tells the rest.

Made from the lists in the code; \`UPDATE_HEALTH=1 npx vitest run --project unit test/repo/health-page.test.ts\` writes it again.

## Main

${describeChecks(mainChecks)}
## A DMZ node

${describeChecks([...nodeChecks, ...kernelChecks])}`;
}

describe('the lists of checks', () => {
  it('are what HEALTH.md says', () => {
    if (process.env['UPDATE_HEALTH'] === '1') writeFileSync(page, writePage());
    expect(readFileSync(page, 'utf8'), 'write it again with UPDATE_HEALTH=1').toBe(writePage());
  });

  it('have each name once, which a node may say to main', () => {
    for (const checks of [mainChecks, nodeChecks]) {
      const ids = checks.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const id of ids) expect(id).toMatch(/^[a-z0-9-]{1,64}$/);
    }
  });
});
