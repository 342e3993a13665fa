/**
 * `npm run drill`: somebody owns a DMZ box with its real keys and tries everything; each try is a line with its refusal.
 * Starts a main of its own with two nodes in a temporary folder, on loopback. Ends with 0 when everything was refused,
 * else with 1, and names what got through and the wall that should have held.
 *
 * `--only TEXT`: tries whose id or wall contains it. `--without WALL`: main is loaded without that wall, to see that the
 * drill would notice. `--walls`: what there is.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isWall, removalOf, walls, type Wall } from './walls.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    without: { type: 'string' },
    walls: { type: 'boolean', default: false },
  },
});

const names = Object.keys(walls).filter(isWall);
if (values.walls) process.stdout.write(names.map(describeWall).join(''));
else if (values.without === undefined) await drill();
else removeAndDrill(values.without);

function describeWall(wall: Wall): string {
  const mark = removalOf(wall) === undefined ? ' ' : '-';
  return `${wall.padEnd(18)} ${mark} ${walls[wall].keeps}\n`;
}

async function drill(): Promise<void> {
  // What does not even begin has not failed at a wall.
  process.exitCode = 2;
  const { runDrill } = await import('./drill.ts');
  const words = { refused: 'refused    ', 'got through': 'GOT THROUGH', unclear: 'UNCLEAR    ' };
  const done = await runDrill(values.only, ({ one, outcome, detail }) =>
    process.stdout.write(
      `${words[outcome]} ${one.wall.padEnd(16)} ${one.id.padEnd(30)} ${one.attack}\n${' '.repeat(12)}${detail}\n`,
    ),
  );
  const failed = done.filter(({ outcome }) => outcome !== 'refused');
  process.stdout.write(`\nTried ${done.length}, refused ${done.length - failed.length}.\n`);
  for (const { one, outcome, detail } of failed)
    process.stdout.write(
      `${one.id} ${outcome === 'unclear' ? 'is unclear' : 'got through'}: ${one.wall} (${walls[one.wall].keeps}): ${detail}\n`,
    );
  process.exitCode = failed.length === 0 ? 0 : 1;
}

/** In a process of its own: the wall must be gone before anything of the product is loaded, in its threads too. */
function removeAndDrill(wall: string): void {
  if (!isWall(wall) || removalOf(wall) === undefined) {
    const removable = names.filter((name) => removalOf(name) !== undefined);
    process.stderr.write(`No wall that can be removed: ${wall}\nThere are: ${removable.join(', ')}\n`);
    process.exitCode = 2;
    return;
  }
  process.stdout.write(`Without ${wall}: ${walls[wall].keeps}.\n`);
  const own = fileURLToPath(import.meta.url);
  const removal = new URL(`remove-wall.ts?wall=${wall}`, import.meta.url).href;
  const { status } = spawnSync(process.execPath, ['--import', removal, own, '--only', values.only], {
    stdio: 'inherit',
  });
  process.exitCode = status ?? 2;
}
