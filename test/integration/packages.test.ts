import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { makeDebian, makeTar, writeIndex, writeTree } from '#scripts/packages/archive.ts';
import { listRelease, unitsOf, type Release } from '#scripts/packages/contents.ts';
import { libraries, listDebianTree, packageName } from '#scripts/packages/debian.ts';
import { writePages } from '#scripts/packages/pages.ts';
import { buildSbom } from '#scripts/packages/sbom.ts';
import { runProgram } from '#test/harness/clients/process.ts';

/** The packages of both nodes, as dpkg, lintian and Node itself see them. */

const epoch = 1_790_000_000;
const making = { epoch, compression: 'none' } as const;
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
const sides = ['dmz', 'main-agent'] as const;

let folder: string;
let pages: ReadonlyMap<Release['side'], Awaited<ReturnType<typeof writePages>>>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-packages-'));
  pages = new Map([
    ['dmz', await writePages('dmz')],
    ['main-agent', await writePages('main-agent')],
  ]);
  for (const side of sides) {
    const { files, control } = treeOf(side);
    writeTree(join(folder, side), files);
    writeTree(join(folder, side, 'DEBIAN'), control);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the package of a node is made of. */
function treeOf(side: Release['side'], time = epoch): ReturnType<typeof listDebianTree> {
  return listDebianTree(releaseOf(side), pages.get(side) ?? [], time);
}
function releaseOf(side: Release['side'], version = '0.9.1'): Release {
  return { side, version, architecture };
}
/** A file of an unpacked package. */
const unpacked = (side: Release['side'], ...parts: string[]): string => join(folder, side, ...parts);
const payload = (side: Release['side'], ...parts: string[]): string =>
  unpacked(side, 'usr/lib', packageName(side), ...parts);

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

describe.each(sides)('the package of %s', (side) => {
  const other = side === 'dmz' ? 'main-agent' : 'dmz';

  it('holds what its node runs: every module of it loads, with its own Node, from its own folder', () => {
    const modules = listRelease(releaseOf(side))
      .map(({ path }) => path)
      .filter(
        (path) => path.endsWith('.ts') && !/(^|\/)(main|writer|look-thread|watch|state)\.ts$/.test(path),
      );
    expect(modules.length).toBeGreaterThan(100);
    const script = `for (const path of ${JSON.stringify(modules)}) await import('./' + path);
      console.log(process.execPath);`;
    const { stdout, stderr } = spawnSync(
      payload(side, 'node_modules/.bin/node'),
      ['--input-type=module', '-e', script],
      { cwd: payload(side), encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(stdout.trim()).toContain(payload(side, 'node_modules'));
  });

  it('checks its example configuration', () => {
    const { status, stderr } = spawnSync(
      payload(side, 'node_modules/.bin/node'),
      [payload(side, side, 'main.ts'), '--config', payload(side, `configs/${side}.yaml`), '--check-config'],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('holds nothing of the other node, of the tests, or of the tools', () => {
    for (const path of [other, 'test', 'node_modules/vite', 'node_modules/typescript', 'dmz/web/main.tsx'])
      expect(existsSync(payload(side, path)), path).toBe(false);
    const foreign = side === 'dmz' ? ['otplib', 'qrcode', 'nodemailer', 'undici'] : ['ssh2'];
    for (const name of foreign) expect(existsSync(payload(side, 'node_modules', name)), name).toBe(false);
    expect(existsSync(payload(side, 'dmz/web/dist/index.html'))).toBe(side === 'dmz');
    const native = listRelease(releaseOf(side)).filter(({ path }) => path.endsWith('.node'));
    expect(native).toEqual([]);
  });

  it('starts what is current, with its version', () => {
    for (const unit of unitsOf(side)) {
      const text = readFileSync(payload(side, 'configs/systemd', unit), 'utf8');
      // The DMZ node sees what is current where a checkout would lie.
      const bound = text.replaceAll(
        /(?<=\/opt\/sallyport\/current\/(\S+)):\/opt\/sallyport\/\1(?= |$)/gm,
        '',
      );
      expect(bound !== text, unit).toBe(unit === 'dmz.service');
      const seen = bound === text ? [text] : (bound.match(/^Bind.*$/gm) ?? []);
      expect(
        seen.join('\n').replaceAll(/\/opt\/sallyport\/(current\/|\.switching)/g, ''),
        unit,
      ).not.toContain('/opt/sallyport/');
    }
    expect(readFileSync(payload(side, 'shared/version.ts'), 'utf8')).toContain(`version = '0.9.1'`);
    const { stdout } = spawnSync(payload(side, 'scripts/release'), ['version'], { encoding: 'utf8' });
    expect(stdout).toBe('0.9.1\n');
  });

  it('depends on each library that its Node is linked with, at least as new as its symbols', () => {
    const node = payload(side, 'node_modules/.bin/node');
    const read = (option: string): string =>
      execFileSync('readelf', ['-W', option, node], { encoding: 'utf8', maxBuffer: 2 ** 26 });
    const linked = [...read('-d').matchAll(/NEEDED.*\[([^\].]+)\.so/g)].map(([, name = '']) => name);
    expect(linked).toContain('libc');
    const known = Object.values(libraries).join(' ').split(' ');
    expect(linked.filter((name) => !known.includes(name))).toEqual([]);
    const [depends] = /^Depends: .*$/m.exec(readFileSync(unpacked(side, 'DEBIAN/control'), 'utf8')) ?? [''];
    for (const one of Object.keys(libraries)) expect(depends).toContain(one);
    const symbols = [...read('-V').matchAll(/Name: GLIBC_([0-9.]+)/g)].map(([, version = '']) => version);
    const [newest = ''] = symbols.toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }));
    expect(depends).toContain(`libc6 (>= ${newest})`);
  });

  it('asks before it replaces rules that were edited, and is not on a box with the other', () => {
    const control = readFileSync(unpacked(side, 'DEBIAN/control'), 'utf8');
    expect(readFileSync(unpacked(side, 'DEBIAN/conffiles'), 'utf8')).toBe(`/etc/sallyport/${side}.nft\n`);
    expect(control).toContain(`Conflicts: ${packageName(other)}\n`);
  });

  it('names the licence of each package in it', () => {
    const copyright = readFileSync(unpacked(side, `usr/share/doc/${packageName(side)}/copyright`), 'utf8');
    const packages = new Set(
      listRelease(releaseOf(side)).flatMap(
        ({ path }) => /^node_modules\/(?:@[^/]+\/)?[^/.][^/]*/.exec(path) ?? [],
      ),
    );
    expect(packages.size).toBeGreaterThan(10);
    for (const name of packages) expect(copyright).toContain(`Files: usr/lib/*/${name}/*\n`);
  });

  it('lists as a CycloneDX bill of materials what others wrote of it, in the versions that are in it, and nothing else', () => {
    const text = readFileSync(unpacked(side, 'usr/share/doc', packageName(side), 'sbom.cdx.json'), 'utf8');
    const bom = sbomSchema.parse(JSON.parse(text));
    expect(bom.metadata.component).toMatchObject({ name: packageName(side), version: '0.9.1' });
    const { commit, lock } = {
      commit: bom.metadata.properties.find(({ name }) => name === 'sallyport:commit')?.value,
      lock: bom.metadata.properties.find(({ name }) => name === 'sallyport:package-lock-sha256')?.value,
    };
    expect(commit).toMatch(/^([0-9a-f]{40}(-dirty)?|unknown)$/);
    expect(lock).toBe(hashOf('package-lock.json'));

    const packed = listRelease(releaseOf(side))
      .map(({ path }) => path)
      .filter((path) => /(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(path))
      .map((path) =>
        z
          .object({ name: z.string(), version: z.string() })
          .parse(JSON.parse(readFileSync(payload(side, path), 'utf8'))),
      )
      .map(({ name, version }) => `${name}@${version}`);
    const bundled = bom.components.filter(({ properties }) => properties[0]?.value === 'dmz/web/dist');
    expect(bundled.map(({ name }) => name)).toEqual(
      side === 'dmz' ? ['@preact/signals', '@preact/signals-core', 'preact'] : [],
    );
    const listed = bom.components.filter((one) => !bundled.includes(one)).map((one) => one['bom-ref']);
    expect(listed.toSorted()).toEqual([...new Set(packed)].toSorted());
    const node = bom.components.find(({ type }) => type === 'platform');
    expect(node?.cpe).toBe(`cpe:2.3:a:nodejs:node.js:${process.versions.node}:*:*:*:*:*:*:*`);

    const refs = [bom.metadata.component['bom-ref'], ...bom.components.map((one) => one['bom-ref'])];
    expect(new Set(refs).size).toBe(refs.length);
    expect(bom.dependencies.map(({ ref }) => ref)).toEqual(refs);
    expect(
      bom.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !refs.includes(ref)),
    ).toEqual([]);
    expect(text).toBe(buildSbom(packageName(side), releaseOf(side)));
  });

  it('has a manual page of every command, which man reads without a warning', () => {
    const page = unpacked(side, 'usr/share/man/man1/sallyport.1.gz');
    const { stdout, stderr } = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', page], {
      encoding: 'utf8',
      env: { ...process.env, MANWIDTH: '200', LC_ALL: 'C.UTF-8' },
    });
    expect(stderr).toBe('');
    for (const words of side === 'dmz'
      ? ['sallyport node init', '--public-url']
      : ['sallyport users add', '--reason'])
      expect(stdout).toContain(words);
    expect(stdout).toContain('sallyport rollback');
  });
});

/** Both packages with a small program instead of Node, in a folder of their own. */
function makeSmallPackages(): { readonly folder: string; readonly debs: readonly string[] } {
  const own = join(folder, 'small');
  mkdirSync(own);
  const debs = sides.map((side) => {
    const { files, control } = treeOf(side);
    const small = files.map((entry) => (isSmall(entry) ? entry : { ...entry, file: '/bin/true' }));
    const file = join(own, `${packageName(side)}_0.9.1_${architecture}.deb`);
    makeDebian(file, { files: small, control }, { epoch, compression: 'gzip' });
    return file;
  });
  return { folder: own, debs };
}

it('no package has an error for lintian, and their folder is one that apt reads', async () => {
  // Lintian reads Node for 15 s; `npm run package` has it read that, too.
  const { folder: own, debs } = makeSmallPackages();
  writeIndex(own);
  mkdirSync(join(own, 'apt/lists/partial'), { recursive: true });
  writeFileSync(join(own, 'here.list'), `deb [trusted=yes] file:${own} ./\n`);
  writeFileSync(join(own, 'status'), '');
  const options = [
    `Dir::Etc::SourceList=${own}/here.list`,
    'Dir::Etc::SourceParts=-',
    `Dir::State=${own}/apt`,
    `Dir::State::Status=${own}/status`,
    `Dir::Cache=${own}/apt`,
    'APT::Sandbox::User=root',
  ].flatMap((one) => ['-o', one]);
  expect(await runProgram('apt-get', [...options, 'update'])).toMatchObject({ status: 0 });
  const asked = await runProgram('apt-cache', [...options, 'show', ...sides.map(packageName)]);
  for (const side of sides) expect(asked.stdout).toContain(`Filename: ./${packageName(side)}_0.9.1_`);

  const { stdout, stderr } = await runProgram('lintian', ['--allow-root', '--show-overrides', ...debs]);
  const told = stdout.split('\n');
  expect(
    told.filter((line) => line.startsWith('E:')),
    stderr,
  ).toEqual([]);
  const overridden = new Set(told.flatMap((line) => /^O: \S+ (\S+)/.exec(line)?.[1] ?? []));
  expect([...overridden], 'each is a decision, with its reason beside it').toEqual([]);
  for (const side of sides)
    expect(stdout, 'it looked').toContain(`W: ${packageName(side)}: non-standard-file-perm`);
});

it('a package is the same bytes whoever makes it, also where the clock is behind the time in it', () => {
  const how = { ...making, epoch: 4_000_000_000 };
  const made = [0o022, 0o077].map((mask) => {
    const file = join(folder, `same-${mask}`);
    const umask = process.umask(mask);
    try {
      const { files, control } = treeOf('dmz', how.epoch);
      makeDebian(`${file}.deb`, { files: files.filter(isOwn), control }, how);
      makeTar(`${file}.tar`, 'top', listRelease(releaseOf('dmz')).filter(isOwn), how);
    } finally {
      process.umask(umask);
    }
    return [hashOf(`${file}.deb`), hashOf(`${file}.tar`)];
  });
  expect(made[1]).toEqual(made[0]);
});

it('two packages of one release differ by a changed byte', () => {
  const small = join(folder, 'three');
  mkdirSync(small);
  for (const [name, bytes] of [
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'y'],
  ] as const)
    makeTar(join(small, name), 'top', [{ path: 'file', mode: 0o644, bytes }], making);
  expect(hashOf(join(small, 'a'))).toBe(hashOf(join(small, 'b')));
  expect(hashOf(join(small, 'a'))).not.toBe(hashOf(join(small, 'c')));
});

/** What the schema of CycloneDX 1.6 demands of the parts that are used, and no others. */
const bomRef = z.string().min(1);
const property = z.strictObject({ name: z.string(), value: z.string() });
const sbomSchema = z.strictObject({
  $schema: z.literal('http://cyclonedx.org/schema/bom-1.6.schema.json'),
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.literal('1.6'),
  version: z.literal(1),
  metadata: z.strictObject({
    component: z.strictObject({
      'bom-ref': bomRef,
      type: z.literal('application'),
      name: z.string(),
      version: z.string(),
      licenses: z.array(z.strictObject({ license: z.strictObject({ id: z.string() }) })),
    }),
    properties: z.array(property),
  }),
  components: z.array(
    z.strictObject({
      'bom-ref': bomRef,
      type: z.enum(['library', 'platform']),
      name: z.string(),
      version: z.string().regex(/^\d+\.\d+\.\d+/),
      scope: z.literal('required'),
      hashes: z
        .array(z.strictObject({ alg: z.literal('SHA-512'), content: z.string().regex(/^[0-9a-f]{128}$/) }))
        .length(1),
      licenses: z
        .array(z.strictObject({ expression: z.string() }))
        .max(1)
        .optional(),
      purl: z.string().regex(/^pkg:npm\/(%40[^/@]+\/)?[^/@]+@[^/@]+$/),
      cpe: z.string().optional(),
      properties: z.array(property),
    }),
  ),
  dependencies: z.array(z.strictObject({ ref: bomRef, dependsOn: z.array(bomRef) })),
});

/** Node is one file like the others, of 120 MB. */
function isSmall({ path }: { readonly path: string }): boolean {
  return !path.endsWith('/bin/node');
}

/** What others wrote are two thousand files more. */
function isOwn({ path }: { readonly path: string }): boolean {
  return !path.includes('node_modules/');
}
