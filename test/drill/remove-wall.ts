/**
 * Loaded before everything else (`--import`) in a drill that is to fail: the product is loaded without the wall that
 * `?wall=` of its own address names, in every thread and process that main starts. Ends the process where the text of
 * the wall is not there once: a drill that removed nothing would prove nothing.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isWall, removalOf } from './walls.ts';

const name = new URL(import.meta.url).searchParams.get('wall') ?? '';
const removal = isWall(name) ? removalOf(name) : undefined;
if (removal === undefined) throw new Error(`no wall that can be removed: ${name}`);
const root = fileURLToPath(new URL('../../', import.meta.url));
const files = new Map<string, string>();
for (const { file, find, replace } of removal) {
  const source = files.get(file) ?? readFileSync(root + file, 'utf8');
  if (source.split(find).length !== 2) throw new Error(`${name}: ${file} has not once: ${find}`);
  files.set(
    file,
    source.replace(find, () => replace),
  );
}

registerHooks({
  load: (url, context, nextLoad) => {
    const source = url.startsWith(`file://${root}`)
      ? files.get(fileURLToPath(url).slice(root.length))
      : undefined;
    return source === undefined
      ? nextLoad(url, context)
      : { format: 'module-typescript', source, shortCircuit: true };
  },
});
