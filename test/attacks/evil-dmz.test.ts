import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireHonestLogin, startDrill } from '#test/drill/drill.ts';
import { tries } from '#test/drill/tries.ts';
import { removalOf, walls, isWall } from '#test/drill/walls.ts';
import type { EvilDmz } from '#test/harness/evil-dmz.ts';

/** S-01, S-03, S-04, S-05, S-07, S-08, S-09, S-10, S-13, S-14: the tries of the drill, in their order, on one main. */
describe('a DMZ node that was broken into, with its real keys', () => {
  let evil: EvilDmz;
  beforeAll(async () => {
    evil = await startDrill(tries);
  });
  afterAll(() => evil.close());

  it('the honest login of the same node works, so what is refused is refused for its reason', async () => {
    await expect(requireHonestLogin(evil)).resolves.toBeUndefined();
  });

  for (const { id, attack, wall, run } of tries)
    it(`${wall}: ${attack} (${id})`, async () => {
      expect(await run(evil)).not.toBe('');
    });

  it('every try has a name of its own, and every wall is tried', () => {
    const ids = tries.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)]);
    const tried = new Set<string>(tries.map(({ wall }) => wall));
    expect(Object.keys(walls).filter((wall) => !tried.has(wall))).toEqual([]);
    expect(
      Object.keys(walls).filter((wall) => isWall(wall) && removalOf(wall) !== undefined).length,
    ).toBeGreaterThan(20);
  });
});
