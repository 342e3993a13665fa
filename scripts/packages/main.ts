/**
 * `node scripts/packages/main.ts [--architecture amd64|arm64] [--out FOLDER] [--version VERSION] [--compression xz|gzip]
 * [SIDE…]`: packages of the nodes, for this architecture if none is named, in a folder that apt can install from. The
 * time in them is $SOURCE_DATE_EPOCH, or that of the commit.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { version as ownVersion } from '#shared/version.ts';
import { makeDebian, makeTar, writeIndex } from './archive.ts';
import { listRelease, nodePackages, projectRoot, text, type Architecture, type Side } from './contents.ts';
import { listDebianTree, packageName } from './debian.ts';
import { writePages } from './pages.ts';
import { buildSbom } from './sbom.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    architecture: { type: 'string', default: process.arch === 'arm64' ? 'arm64' : 'amd64' },
    out: { type: 'string', default: join(projectRoot, 'dist') },
    version: { type: 'string', default: ownVersion },
    compression: { type: 'string', default: 'xz' },
  },
});
const sides: readonly Side[] = (['dmz', 'main-agent'] as const).filter(
  (side) => positionals.length === 0 || positionals.includes(side),
);
const architecture = (Object.keys(nodePackages) as Architecture[]).find((one) => one === values.architecture);
if (architecture === undefined)
  throw new Error(`no package for ${values.architecture}. hint: ${Object.keys(nodePackages).join(', ')}`);
const making = { epoch: readEpoch(), compression: values.compression === 'gzip' ? 'gzip' : 'xz' } as const;

mkdirSync(values.out, { recursive: true });
for (const side of sides) {
  const release = { side, version: values.version, architecture };
  const file = join(values.out, `${packageName(side)}_${release.version}_${architecture}`);
  makeDebian(`${file}.deb`, listDebianTree(release, await writePages(side), making.epoch), making);
  const tar = `${file}.tar.${making.compression === 'xz' ? 'xz' : 'gz'}`;
  makeTar(
    tar,
    `${packageName(side)}-${release.version}`,
    [...listRelease(release), text('sbom.cdx.json', buildSbom(packageName(side), release))],
    making,
  );
  process.stdout.write(`${file}.deb\n${tar}\n`);
}
writeIndex(values.out);

function readEpoch(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  const seconds =
    given ??
    execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: projectRoot, encoding: 'utf8' }).trim();
  if (!/^\d{1,10}$/.test(seconds)) throw new Error(`SOURCE_DATE_EPOCH is no number of seconds: ${seconds}`);
  return Number(seconds);
}
