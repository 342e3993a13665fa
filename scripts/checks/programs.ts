import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** A real program that tests drive, and the Debian package that brings it. */
interface Program {
  readonly path: string;
  readonly debianPackage: string;
}

const programs: readonly Program[] = [
  { path: '/usr/bin/sftp', debianPackage: 'openssh-client' },
  { path: '/usr/bin/ssh-keygen', debianPackage: 'openssh-client' },
  { path: '/usr/sbin/sshd', debianPackage: 'openssh-server' },
  { path: '/usr/bin/psftp', debianPackage: 'putty-tools' },
  { path: '/usr/bin/lftp', debianPackage: 'lftp' },
  { path: '/usr/bin/rsync', debianPackage: 'rsync' },
  { path: '/usr/bin/rclone', debianPackage: 'rclone' },
  { path: '/usr/lib/python3/dist-packages/paramiko', debianPackage: 'python3-paramiko' },
  { path: '/usr/bin/sshfs', debianPackage: 'sshfs' },
  { path: '/usr/bin/fusermount3', debianPackage: 'fuse3' },
  { path: '/usr/bin/git', debianPackage: 'git' },
  { path: '/usr/bin/sqlite3', debianPackage: 'sqlite3' },
  { path: '/usr/bin/openssl', debianPackage: 'openssl' },
  { path: '/usr/lib/python3/dist-packages/asyncssh', debianPackage: 'python3-asyncssh' },
  { path: '/usr/share/perl5/Net/SFTP/Foreign.pm', debianPackage: 'libnet-sftp-foreign-perl' },
  { path: '/usr/bin/go', debianPackage: 'golang-go' },
  {
    path: '/usr/share/gocode/src/github.com/pkg/sftp',
    debianPackage: 'golang-github-pkg-sftp-dev',
  },
  {
    path: '/usr/share/gocode/src/github.com/stretchr/testify',
    debianPackage: 'golang-github-stretchr-testify-dev',
  },
  { path: '/usr/bin/curl', debianPackage: 'curl' },
  { path: '/usr/bin/chromium', debianPackage: 'chromium' },
  { path: '/usr/bin/oathtool', debianPackage: 'oathtool' },
  { path: '/usr/bin/zbarimg', debianPackage: 'zbar-tools' },
  { path: '/usr/bin/mkpasswd', debianPackage: 'whois' },
  { path: '/usr/bin/htpasswd', debianPackage: 'apache2-utils' },
  { path: '/usr/lib/python3/dist-packages/passlib', debianPackage: 'python3-passlib' },
  { path: '/usr/bin/expect', debianPackage: 'expect' },
  { path: '/usr/bin/systemd-analyze', debianPackage: 'systemd' },
  { path: '/usr/sbin/nft', debianPackage: 'nftables' },
  { path: '/usr/bin/pebble', debianPackage: 'pebble' },
  { path: '/usr/sbin/haproxy', debianPackage: 'haproxy' },
  { path: '/usr/sbin/ip', debianPackage: 'iproute2' },
  { path: '/usr/sbin/rsyslogd', debianPackage: 'rsyslog' },
  { path: '/usr/share/doc/rsyslog-gnutls', debianPackage: 'rsyslog-gnutls' },
  { path: '/usr/share/doc/rsyslog-openssl', debianPackage: 'rsyslog-openssl' },
  { path: '/usr/bin/promtool', debianPackage: 'prometheus' },
  { path: '/usr/bin/lintian', debianPackage: 'lintian' },
  { path: '/usr/bin/dpkg-scanpackages', debianPackage: 'dpkg-dev' },
  { path: '/usr/bin/readelf', debianPackage: 'binutils' },
  { path: '/usr/bin/hydra', debianPackage: 'hydra' },
  { path: '/usr/bin/nmap', debianPackage: 'nmap' },
  { path: '/usr/bin/man', debianPackage: 'man-db' },
  { path: '/usr/bin/zsh', debianPackage: 'zsh' },
  { path: '/usr/bin/fish', debianPackage: 'fish' },
  { path: '/usr/bin/ssh-audit', debianPackage: 'ssh-audit' },
  { path: '/usr/bin/sslscan', debianPackage: 'sslscan' },
  { path: '/usr/bin/testssl', debianPackage: 'testssl.sh' },
];

function missingPrograms(): Program[] {
  return programs.filter((program) => !existsSync(program.path));
}

/** Installs what is missing when root; returns what is still missing. */
export function installPrograms(): readonly Program[] {
  const missing = missingPrograms();
  if (missing.length === 0 || process.getuid?.() !== 0) return missing;
  const packages = [...new Set(missing.map((program) => program.debianPackage))];
  process.stderr.write(`Installing ${packages.join(' ')} (once)\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['update', '-q'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return missingPrograms();
}
