import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tries } from '#test/drill/tries.ts';
import { isWall, removalOf, type Wall, walls } from '#test/drill/walls.ts';
import { runProgram } from '#test/harness/clients/process.ts';

import { readText } from '#test/repo/source-tree.ts';

const program = fileURLToPath(new URL('../drill/main.ts', import.meta.url));

async function drill(...args: readonly string[]): Promise<{ status: number | null; lines: string[] }> {
  const { status, stdout, stderr } = await runProgram(process.execPath, [program, ...args]);
  return { status, lines: `${stdout}${stderr}`.trimEnd().split('\n') };
}

const removable = Object.keys(walls)
  .filter(isWall)
  .filter((wall) => removalOf(wall) !== undefined);
/** Each takes a main of its own. DRILL_WALLS=all by hand takes away all of them, one after the other. */
const removed: readonly Wall[] =
  process.env['DRILL_WALLS'] === 'all'
    ? removable
    : ['S-01-link', 'S-03-once', 'S-04-node', 'S-05-table', 'S-14-revoked'];

describe('npm run drill', () => {
  // All tries are run by evil-dmz.test.ts, on one main.
  it('prints each try with what refused it, and ends with 0', async () => {
    const { status, lines } = await drill('--only', 'S-04');
    const chosen = tries.filter(({ wall }) => wall.startsWith('S-04'));
    expect(lines.filter((line) => !/^(refused {5}S-04-| {12}\S|$|Tried )/.test(line))).toEqual([]);
    for (const { id, wall, attack } of chosen)
      expect(
        lines.some((line) => [wall, id, attack].every((word) => line.includes(word))),
        id,
      ).toBe(true);
    expect(lines.at(-1)).toBe(`Tried ${chosen.length}, refused ${chosen.length}.`);
    expect(status).toBe(0);
  });

  it.for(removed)('without %s it names the wall and what got through, and ends with 1', async (wall) => {
    const { status, lines } = await drill('--without', wall, '--only', wall);
    expect(lines.some((line) => line.startsWith('GOT THROUGH ') && line.includes(wall))).toBe(true);
    expect(lines.at(-1)).toContain(` got through: ${wall} (${walls[wall].keeps})`);
    expect(status).toBe(1);
  });

  it('takes away nothing that is no wall, and says which there are', async () => {
    const { status, lines } = await drill('--without', 'S-99-none');
    expect(status).toBe(2);
    expect(lines.join('\n')).toContain('S-03-once');
  });

  it('the text of every wall that can be removed is in the product, once', () => {
    for (const { file, find } of removable.flatMap((wall) => removalOf(wall) ?? []))
      expect(readText(file).split(find).length - 1, `${file}: ${find}`).toBe(1);
  });
});
