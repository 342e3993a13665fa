import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  inside,
  listPackages,
  listRelease,
  nodePackages,
  projectRoot,
  read,
  text,
  type Entry,
  type Release,
  type Side,
  sysusers,
} from './contents.ts';
import { buildSbom } from './sbom.ts';

/** A release as a Debian package: where its files lie, what it needs, what happens at installation. */

const maintainer = 'Sallyport maintainers <sallyport@packages.debian.example>';

const about: Readonly<
  Record<Side, { readonly name: string; readonly other: string; readonly words: string }>
> = {
  dmz: {
    name: 'sallyport-dmz',
    other: 'sallyport-main',
    words: `exposed node of a hardened reverse proxy for HTTPS and SFTP
 Ends HTTPS and SFTP in a DMZ, runs the login conversation, dials nobody and
 keeps nothing: users, files and verdicts are with the main node, which dials
 in. It runs without a network of its own, on sockets that systemd opens.`,
  },
  'main-agent': {
    name: 'sallyport-main',
    other: 'sallyport-dmz',
    words: `trusted node of a hardened reverse proxy for HTTPS and SFTP
 Holds users, second factors, files and the audit, and dials the nodes in the
 DMZ, which hold none of it. Nobody dials it but its administrators.`,
  },
};

export function packageName(side: Side): string {
  return about[side].name;
}

/**
 * Where the files of a release lie for dpkg. What runs lies beside it in /opt/sallyport/releases, as other names of the
 * same files: dpkg takes away those of the version before.
 */
function payloadFolder(side: Side): string {
  return `usr/lib/${about[side].name}`;
}

interface DebianTree {
  readonly files: readonly Entry[];
  /** Files of the control archive. */
  readonly control: readonly Entry[];
}

/** `pages`: manual page and completions, by their paths, as the commands wrote them. `epoch`: seconds. */
export function listDebianTree(release: Release, pages: readonly Entry[], epoch: number): DebianTree {
  const { side, version } = release;
  const { name } = about[side];
  const doc = `usr/share/doc/${name}`;
  const files = [
    ...inside(payloadFolder(side), listRelease(release)),
    { ...text(`etc/sallyport/${side}.nft`, read(`configs/nftables/${side}.nft`)), mode: 0o600 },
    text('usr/bin/sallyport', '#!/bin/sh\nexec /opt/sallyport/current/scripts/sallyport "$@"\n', 0o755),
    ...(side === 'main-agent' ? [text('usr/lib/sysusers.d/sallyport-main.conf', read(sysusers))] : []),
    ...pages,
    ...['README.md', 'SECURITY.md', 'CLIENTS.md', 'ERRORS.md', 'HELPDESK.md'].map((file) =>
      text(`${doc}/${file}`, read(file)),
    ),
    zipped(`${doc}/CHANGELOG.md.gz`, read('CHANGELOG.md')),
    text(`${doc}/sbom.cdx.json`, buildSbom(name, release)),
    zipped(`${doc}/changelog.gz`, renderChangelog(name, version, epoch)),
    text(`${doc}/copyright`, renderCopyright(release)),
    text(`usr/share/lintian/overrides/${name}`, renderOverrides(release)),
  ];
  const script = (action: string): Entry =>
    text(
      action,
      read(`scripts/packages/maintainer/${action}`).replaceAll('@SIDE@', side).replaceAll('@PACKAGE@', name),
      0o755,
    );
  return {
    files,
    control: [
      text('control', renderControl(release, sizeKiB(files))),
      text('conffiles', `/etc/sallyport/${side}.nft\n`),
      ...['postinst', 'prerm', 'postrm'].map(script),
    ],
  };
}

/**
 * Libraries that Node is linked with, by Debian's packages, and the oldest that have the symbols it asks for (a test
 * reads both from the program).
 */
export const libraries: Readonly<Record<string, string>> = {
  'libc6 (>= 2.28)': 'libc libm libdl libpthread ld-linux-x86-64 ld-linux-aarch64',
  'libstdc++6 (>= 8)': 'libstdc++',
  'libgcc-s1 (>= 3.4)': 'libgcc_s',
};

function renderControl({ side, version, architecture }: Release, size: number): string {
  const { name, other, words } = about[side];
  // What else the scripts call is essential everywhere.
  const needs = [...Object.keys(libraries), 'nftables', 'systemd (>= 252)'];
  return `Package: ${name}
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: ${needs.join(', ')}
Conflicts: ${other}
Section: net
Priority: optional
Description: ${words}
`;
}

function sizeKiB(entries: readonly Entry[]): number {
  const bytes = entries.map((entry) => {
    if ('linkTo' in entry) return 0;
    return 'file' in entry ? readFileSync(entry.file).length : Buffer.byteLength(entry.bytes);
  });
  return bytes.reduce((sum, one) => sum + Math.max(1, Math.ceil(one / 1024)), 0);
}

/** In Debian's form; what changed is told once, in CHANGELOG.md. */
function renderChangelog(name: string, version: string, epoch: number): string {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
  return `${name} (${version}) unstable; urgency=medium

  * What changed is in CHANGELOG.md.gz, beside this file.

 -- ${maintainer}  ${date}
`;
}

/** Each licence as its package brings it. */
function renderCopyright({ side, architecture }: Release): string {
  const block = (files: string, holder: string, license: string, words: string): string =>
    `Files: ${files}\nCopyright: ${holder}\nLicense: ${license}\n${indent(words)}\n`;
  const packages = [...listPackages(side)].map(([path, { name, license = 'see-below' }]) => {
    const words = licenseOf(path);
    const holder =
      /^.*\bcopyright\b.*\d{4}.*$/im
        .exec(words)?.[0]
        .replace(/^\W*copyright\W*(\(c\)|©)?\s*/i, '')
        .trim() ?? `the authors of ${name}`;
    // A word of its own for each, because each text names its own holders.
    return block(
      `usr/lib/*/${path}/*`,
      holder,
      `${license}~${name.replace(/^@/, '').replace('/', '-')}`,
      words,
    );
  });
  const node = `node_modules/${nodePackages[architecture]}`;
  return [
    `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: sallyport\n`,
    `Files: *\nCopyright: the Sallyport authors\nLicense: Apache-2.0\n` +
      ` On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n`,
    ...packages,
    block(`usr/lib/*/${node}/*`, 'Node.js contributors', 'MIT~node', licenseOf(node)),
  ].join('\n');
}

function licenseOf(path: string): string {
  const folder = join(projectRoot, path);
  const file = existsSync(folder)
    ? readdirSync(folder).find((name) => /^(licen[cs]e|copying)(\.\w+)?$/i.test(name))
    : undefined;
  if (file === undefined) return 'The package names its licence in its package.json alone.';
  // Debian has the text once; Node's file holds it for its OpenSSL.
  return read(`${path}/${file}`).replaceAll(
    /^.*Apache License\s+Version 2\.0[^]*?END OF TERMS AND CONDITIONS/gm,
    'The text is in /usr/share/common-licenses/Apache-2.0 on Debian systems.',
  );
}

function indent(words: string): string {
  return words
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => ` ${line.trim() === '' ? '.' : line.replaceAll('\t', '  ')}`)
    .join('\n');
}

/** What Debian asks of programs it builds itself, and why it is otherwise here. */
function renderOverrides({ side, architecture }: Release): string {
  const { name } = about[side];
  const node = `${payloadFolder(side)}/node_modules/${nodePackages[architecture]}/bin/node`;
  return `# Node is the program of its npm package, byte for byte: its hash is in the lock file that was reviewed.
${name}: embedded-library *${node}*
${name}: unstripped-binary-or-object *${node}*
`;
}

function zipped(path: string, content: string): Entry {
  return { path, mode: 0o644, bytes: gzipSync(content, { level: 9 }) };
}
