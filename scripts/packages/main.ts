/**
 * `node scripts/packages/main.ts [--out FOLDER] [--version VERSION] [--compression xz|gzip] [SIDE…]`: packages of the
 * nodes, for the architectures whose Node is installed. The time in them is $SOURCE_DATE_EPOCH, or that of the commit.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { version as ownVersion } from '#shared/version.ts';
import { makeDebian, makeTar } from './archive.ts';
import { listRelease, nodePackages, projectRoot, type Architecture, type Side } from './contents.ts';
import { listDebianTree, packageName } from './debian.ts';
import { writePages } from './pages.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: join(projectRoot, 'dist') },
    version: { type: 'string', default: ownVersion },
    compression: { type: 'string', default: 'xz' },
  },
});
const sides: readonly Side[] = (['dmz', 'main-agent'] as const).filter(
  (side) => positionals.length === 0 || positionals.includes(side),
);
const architectures = (Object.keys(nodePackages) as Architecture[]).filter((one) =>
  existsSync(join(projectRoot, 'node_modules', nodePackages[one])),
);
const making = { epoch: readEpoch(), compression: values.compression === 'gzip' ? 'gzip' : 'xz' } as const;

mkdirSync(values.out, { recursive: true });
for (const side of sides) {
  const pages = writePages(side);
  for (const architecture of architectures) {
    const release = { side, version: values.version, architecture };
    const top = `${packageName(side)}-${release.version}`;
    const file = join(values.out, `${packageName(side)}_${release.version}_${architecture}`);
    makeDebian(`${file}.deb`, listDebianTree(release, pages, making.epoch), making);
    const tar = `${file}.tar.${making.compression === 'xz' ? 'xz' : 'gz'}`;
    makeTar(tar, top, listRelease(release), making);
    process.stdout.write(`${file}.deb\n${tar}\n`);
  }
}

function readEpoch(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  const text =
    given ??
    execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: projectRoot, encoding: 'utf8' }).trim();
  if (!/^\d{1,10}$/.test(text)) throw new Error(`SOURCE_DATE_EPOCH is no number of seconds: ${text}`);
  return Number(text);
}
