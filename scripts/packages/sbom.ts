import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  listBundledPackages,
  listPackages,
  nodePackages,
  projectRoot,
  read,
  type Manifest,
  type Release,
} from './contents.ts';

/**
 * The bill of materials of the package of that name (CycloneDX 1.6, JSON): what others wrote of what is in it, from the
 * same lists that the package is made of. Without a serial number and a time, which the format leaves free, so that the
 * same sources give the same bytes.
 */
export function buildSbom(name: string, { side, version, architecture }: Release): string {
  const lock = lockSchema.parse(JSON.parse(read('package-lock.json')));
  const bundled = side === 'dmz' ? listBundledPackages() : new Map<string, Manifest>();
  const libraries = [...listPackages(side), ...bundled].toSorted(([one], [other]) => (one < other ? -1 : 1));
  const components = libraries.map(([path, manifest]) =>
    describe(path, manifest, lock, bundled.has(path) ? 'dmz/web/dist' : path),
  );
  const nodePath = `node_modules/${nodePackages[architecture]}`;
  const nodeVersion = lock.packages[nodePath]?.version ?? '';
  const node = {
    ...describe(nodePath, { name: nodePackages[architecture], version: nodeVersion }, lock, nodePath),
    type: 'platform',
    // What vulnerabilities of Node are told under.
    cpe: `cpe:2.3:a:nodejs:node.js:${nodeVersion}:*:*:*:*:*:*:*`,
  };
  const own = `${name}@${version}`;
  const isPacked = new Set(components.map((one) => one['bom-ref']));
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        'bom-ref': own,
        type: 'application',
        name,
        version,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
      properties: [
        { name: 'sallyport:commit', value: commitOf() },
        { name: 'sallyport:package-lock-sha256', value: sha256(read('package-lock.json')) },
        { name: 'sallyport:architecture', value: architecture },
      ],
    },
    components: [...components, node],
    dependencies: [
      { ref: own, dependsOn: [...isPacked, node['bom-ref']].toSorted() },
      ...libraries.map(([path, { dependencies, name: of, version: is }]) => ({
        ref: `${of}@${is}`,
        dependsOn: Object.keys(dependencies)
          .map((needed) => refOf(needed, path, lock))
          .filter((ref) => isPacked.has(ref))
          .toSorted(),
      })),
      { ref: node['bom-ref'], dependsOn: [] },
    ],
  };
  return `${JSON.stringify(bom, undefined, 2)}\n`;
}

const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.looseObject({ version: z.string().optional(), integrity: z.string().optional() }),
  ),
});
type Lock = z.output<typeof lockSchema>;

function describe(
  path: string,
  { name, version, license }: { name: string; version: string; license?: string | undefined },
  lock: Lock,
  where: string,
) {
  const integrity = /^sha512-([A-Za-z0-9+/=]+)$/.exec(lock.packages[path]?.integrity ?? '')?.[1];
  if (integrity === undefined) throw new Error(`${path} has no SHA-512 in package-lock.json`);
  return {
    'bom-ref': `${name}@${version}`,
    type: 'library',
    name,
    version,
    scope: 'required',
    hashes: [{ alg: 'SHA-512', content: Buffer.from(integrity, 'base64').toString('hex') }],
    ...(license !== undefined && { licenses: [{ expression: license }] }),
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    properties: [{ name: 'sallyport:path', value: where }],
  };
}

/** What a package finds under a name: its own copy, or the nearest one out of it. */
function refOf(name: string, from: string, { packages }: Lock): string {
  for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf('node_modules')).replace(/\/$/, '')) {
    const path = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    const version = packages[path]?.version;
    if (version !== undefined) return `${name}@${version}`;
    if (folder === '') return `${name}@`;
  }
}

/** With `-dirty` where the tree is not what was committed; of a tree without git nobody knows. */
function commitOf(): string {
  try {
    const args = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude', '*'];
    return execFileSync('git', args, { cwd: projectRoot, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return 'unknown';
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
