import { createPublicKey, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { Passwords } from '#main-agent/passwords/password.ts';
import { HostKeys } from '#main-agent/host-keys/host-keys.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { defaultTotpSettings } from '#main-agent/two-factor/totp.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import { sealOwn } from '#main-agent/vault/calls.ts';
import { buildVault } from '#main-agent/vault/local-vault.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { askKeyFile } from '#main-agent/vault/process/keeper.ts';
import { systemClock } from '#shared/clock.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { formatPublicKeyLine } from '#shared/ssh-key/parse.ts';
import { generatePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { findFreePort } from './free-port.ts';
import { readSecrets, type SiteSecrets, writeSecrets, writePrivateFile } from './secrets.ts';
import type { NodeFiles, SiteFiles } from './site-files.ts';
import type { DemoUser } from './users.ts';

/**
 * Makes the folder of a demo: keys, configuration of all nodes, users with passwords and second factors. What is
 * there already stays; only a DMZ node's configuration is written at each start, because its ports are options.
 */
interface DoorPorts {
  readonly httpsPort: number;
  readonly sftpPort: number;
}

interface ProvisionOptions extends DoorPorts {
  /** With it the site has a second DMZ node. */
  readonly second?: DoorPorts;
  readonly users: readonly DemoUser[];
  /** The DMZ nodes get their listening sockets instead of opening them. */
  readonly inheritsListeners?: boolean;
  /** Of each node; default 1. */
  readonly workers?: number;
  /** Which algorithms SFTP clients are offered. */
  readonly sftpProfile?: 'strict' | 'compat';
  /** Where the SSH host keys are; default on the nodes. */
  readonly hostKey?: 'main' | 'local';
}

/** 120 bits that a person can still type. */
const passwordBytes = 15;

export async function provisionSite(files: SiteFiles, options: ProvisionOptions): Promise<SiteSecrets> {
  const known = readSecrets(files);
  // The secrets are written last: without them the folder is half made and is made again.
  const secrets = known ?? (await makeSite(files, options));
  for (const node of listNodes(files, secrets, options)) writeDmzConfig(files, node, options);
  return secrets;
}

/** One DMZ node: its name, where it keeps what, where it listens. */
export interface ProvisionedNode extends DoorPorts {
  readonly name: string;
  readonly files: NodeFiles;
  readonly link: number;
  readonly health: number;
}

export function listNodes(
  files: SiteFiles,
  { ports }: Pick<SiteSecrets, 'ports'>,
  { second, httpsPort, sftpPort }: Pick<ProvisionOptions, 'second' | keyof DoorPorts>,
): readonly [ProvisionedNode, ...ProvisionedNode[]] {
  const { link, dmzHealth: health } = ports;
  const first = { name: 'dmz1', files: files.dmz, httpsPort, sftpPort, link, health };
  if (second === undefined || ports.second === undefined) return [first];
  return [first, { name: 'dmz2', files: files.secondDmz, ...second, ...ports.second }];
}

async function makeSite(files: SiteFiles, options: ProvisionOptions): Promise<SiteSecrets> {
  for (const folder of [files.dir, files.files, files.mail, files.main.enrolments])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  const hasSecond = options.second !== undefined;
  makeKeys(files, hasSecond ? [files.dmz, files.secondDmz] : [files.dmz], options);
  const [link = 0, mail = 0, dmzHealth = 0, mainHealth = 0, link2 = 0, health2 = 0] = Array.from(
    { length: hasSecond ? 6 : 4 },
    findFreePort,
  );
  const users = await makeUsers(files, options.users);
  const second = hasSecond ? { second: { link: link2, health: health2 } } : {};
  const secrets = { users, ports: { link, mail, dmzHealth, mainHealth, ...second } };
  const nodes = listNodes(files, secrets, options);
  if (options.hostKey === 'main') await makeHostKeys(files, nodes);
  writeMainConfig(files, secrets, nodes, options);
  writeSecrets(files, secrets);
  return secrets;
}

function makeKeys(
  files: SiteFiles,
  nodes: readonly NodeFiles[],
  { hostKey }: Pick<ProvisionOptions, 'hostKey'>,
): void {
  if (!existsSync(files.main.vaultKey)) writePrivateFile(files.main.vaultKey, randomBytes(32));
  makeIdentityKey(files.main.identityKey);
  const authority = createThrowAwayAuthority(systemClock.now());
  writePrivateFile(files.ca, authority.certificatePem);
  for (const node of nodes) {
    makeIdentityKey(node.identityKey);
    makeIdentityKey(node.signingKey);
    if (hostKey !== 'main' && !existsSync(node.hostKey)) {
      const key = generatePrivateKeyFile('sallyport demo host key');
      writePrivateFile(node.hostKey, key.file.expose());
      writePrivateFile(`${node.hostKey}.pub`, `${key.publicLine}\n`);
    }
    const server = authority.issueServerCertificate();
    writePrivateFile(node.certificate, server.certificatePem + authority.certificatePem);
    writePrivateFile(node.key, server.privateKeyPem.expose());
  }
}

/** At main; on the nodes is only how clients know them. */
async function makeHostKeys(files: SiteFiles, nodes: readonly ProvisionedNode[]): Promise<void> {
  const log = buildLog('silent', {});
  const state = await openSqliteState({ file: files.main.state, clock: systemClock, log });
  try {
    const ask = askKeyFile(files.main.vaultKey);
    await ask('open', {});
    const ofMain = nodes.map(({ name }) => ({ name, hostKey: 'main' as const }));
    const keys = new HostKeys(ofMain, {
      state,
      sealer: sealOwn(ask),
      onChange: () => undefined,
      clock: systemClock,
      log,
    });
    await keys.start();
    for (const node of nodes) {
      const [first] = keys.list(node.name);
      if (first === undefined) throw new Error(`no host key of ${node.name}`);
      writePrivateFile(`${node.files.hostKey}.pub`, `${formatPublicKeyLine(first.publicKey)}\n`);
    }
  } finally {
    await state.close();
  }
}

function makeIdentityKey(file: string): void {
  if (!existsSync(file)) writePrivateFile(file, generateIdentityKey().privateKeyPem.expose());
}

async function makeUsers(files: SiteFiles, users: readonly DemoUser[]): Promise<SiteSecrets['users']> {
  const book = new HashBook();
  const ask = askKeyFile(files.main.vaultKey, { book });
  await ask('open', {});
  const passwords = new Passwords({
    ask,
    clock: systemClock,
    minimumLength: 12,
  });
  const log = buildLog('silent', {});
  const state = await openSqliteState({ file: files.main.state, clock: systemClock, log });
  try {
    const vault = buildVault({
      ask,
      enrolments: buildYamlEnrolments({ directory: files.main.enrolments }),
      departures: { findProblem: () => undefined },
      state,
      totp: defaultTotpSettings,
      guard: { check: () => undefined },
      clock: systemClock,
      log,
      random: randomBytes,
    });
    const made: SiteSecrets['users'] = {};
    for (const user of users) {
      const password = user.hasPassword ? randomBytes(passwordBytes).toString('base64url') : undefined;
      const hash =
        password === undefined
          ? undefined
          : book.find((await passwords.hash(new Secret(password), user.name)).expose());
      const key = user.hasKey ? generatePrivateKeyFile(`${user.name}@demo`) : undefined;
      const keyFile = user.name === 'erin' ? files.erinKey : `${files.dir}/${user.name}_ed25519`;
      if (key !== undefined) writePrivateFile(keyFile, key.file.expose());
      writePrivateFile(`${files.main.users}/${user.name}.yaml`, userYaml(user, hash, key?.publicLine));
      mkdirSync(`${files.files}/${user.name}`, { recursive: true, mode: 0o700 });
      const totp = user.isEnrolled ? randomBytes(20) : undefined;
      if (totp !== undefined) {
        // Enrolled long ago as far as codes go: step 0 is spent, every code of today is good.
        const enrolled = await vault.enrol({
          username: user.name,
          secret: new Secret(totp),
          step: 0,
          requiredOn: [],
          recoveryCodes: 10,
          via: { node: 'demo', session: 'demo' },
          replace: true,
          alongside: () => [],
        });
        if (!enrolled.ok) throw new Error(`${user.name} could not be enrolled: ${enrolled.reason}`);
      }
      made[user.name] = {
        ...(password !== undefined && { password }),
        ...(totp !== undefined && { totpSecret: encodeBase32(totp) }),
        ...(key !== undefined && { sshKeyFile: keyFile }),
      };
    }
    writePrivateFile(`${files.main.users}/_default.yaml`, defaultUserYaml);
    return made;
  } finally {
    await state.close();
  }
}

const defaultUserYaml = `# What every user inherits.
protocols: [https, sftp]
files:
  - { path: /, storage: local, root: "{username}", allow: [list, read, write, overwrite, delete, rename, mkdir] }
`;

function userYaml(user: DemoUser, hash: string | undefined, publicKey: string | undefined): string {
  const lines = [`username: ${user.name}`, `display_name: ${user.displayName}`];
  if (user.email !== undefined) lines.push(`email: ${user.email}`);
  if (hash !== undefined) lines.push(`password: ${hash}`);
  if (publicKey !== undefined) lines.push('ssh_keys:', `  - ${publicKey}`);
  lines.push('two_factor:', `  required_on: [${user.requiredOn.join(', ')}]`);
  lines.push(`  registration: ${user.registration}`, `  force_setup: ${user.forceSetup}`);
  if (user.sftpPasswordWithCode === true) lines.push('  sftp_password_with_code: true');
  if (user.mounts !== undefined) lines.push('files:', ...user.mounts.map((mount) => `  - ${mount}`));
  lines.push('');
  return lines.join('\n');
}

function readKeyPem(file: string): Secret {
  return new Secret(readFileSync(file, 'utf8'));
}

function writeDmzConfig(
  site: SiteFiles,
  node: ProvisionedNode,
  { inheritsListeners = false, sftpProfile = 'strict', workers = 1, hostKey = 'local' }: ProvisionOptions,
): void {
  const main = parseIdentityKey(readKeyPem(site.main.identityKey)).fingerprint;
  const { files } = node;
  const at = (name: string, port: number): string =>
    inheritsListeners ? `systemd:${name}` : `127.0.0.1:${port}`;
  writePrivateFile(
    files.config,
    `node: ${node.name}
public_url: https://localhost:${node.httpsPort}
https:
  listen: ${at('https', node.httpsPort)}
  certificate: ${files.certificate}
  key: ${files.key}
sftp:
  listen: ${at('sftp', node.sftpPort)}
  ${hostKey === 'main' ? 'host_key: main' : `host_keys: [${files.hostKey}]`}
  profile: ${sftpProfile}
link:
  listen: ${at('link', node.link)}
  main: { identity: ${main} }
  identity_key: ${files.identityKey}
  signing_key: ${files.signingKey}
workers: ${workers}
health: { listen: "${at('health', node.health)}" }
`,
  );
}

/** One line of main's `dmz_nodes`. */
function pinNode({ name, files, link }: ProvisionedNode, hostKey: 'main' | 'local'): string {
  const identity = parseIdentityKey(readKeyPem(files.identityKey)).fingerprint;
  const signing = createPublicKey(parseIdentityKey(readKeyPem(files.signingKey)).privateKey);
  const { x = '' } = signing.export({ format: 'jwk' });
  return `  - { name: ${name}, address: 127.0.0.1:${link}, identity: ${identity}, signing_key: ${x}, host_key: ${hostKey} }`;
}

function writeMainConfig(
  files: SiteFiles,
  secrets: SiteSecrets,
  nodes: readonly ProvisionedNode[],
  { hostKey = 'local' }: Pick<ProvisionOptions, 'hostKey'>,
): void {
  writePrivateFile(
    files.main.config,
    `name: main1
dmz_nodes:
${nodes.map((node) => pinNode(node, hostKey)).join('\n')}
identity_key: ${files.main.identityKey}
vault_key: ${files.main.vaultKey}
users: { source: yaml, directory: ${files.main.users} }
state: { store: sqlite, file: ${files.main.state} }
storages:
  local: { type: local, base: ${files.files} }
two_factor:
  auto_enable: true
smtp: { host: 127.0.0.1, port: ${secrets.ports.mail}, tls: none, from: "Sallyport demo <files@example.com>" }
admin: { socket: ${files.main.socket} }
bans: { never_ban: [127.0.0.0/8, "::1"] }
audit: { file: ${files.main.audit} }
public_url: https://localhost:${nodes[0]?.httpsPort}
branding: { name: Sallyport demo }
health: { listen: 127.0.0.1:${secrets.ports.mainHealth} }
`,
  );
}
