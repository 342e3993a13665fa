import { createPublicKey, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { Passwords } from '#main-agent/login/password.ts';
import { openSqliteState } from '#main-agent/state/sqlite-store.ts';
import { encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { defaultTotpSettings } from '#main-agent/two-factor/totp.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import { buildVault } from '#main-agent/vault/local-vault.ts';
import { systemClock } from '#shared/clock.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { generatePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { findFreePorts } from './free-port.ts';
import { writePrivateFile } from './private-file.ts';
import { readSecrets, type SiteSecrets, writeSecrets } from './secrets.ts';
import type { SiteFiles } from './site-files.ts';
import type { DemoUser } from './users.ts';

/**
 * Makes the folder of a demo: keys, configuration of both nodes, users with passwords and second factors. What is
 * there already stays; only the DMZ's configuration is written at each start, because its ports are options.
 */
export interface ProvisionOptions {
  readonly httpsPort: number;
  readonly sftpPort: number;
  readonly users: readonly DemoUser[];
}

/** 120 bits that a person can still type. */
const passwordBytes = 15;

export async function provisionSite(files: SiteFiles, options: ProvisionOptions): Promise<SiteSecrets> {
  const known = readSecrets(files);
  // The secrets are written last: without them the folder is half made and is made again.
  const secrets = known ?? (await makeSite(files, options));
  writeDmzConfig(files, secrets, options);
  return secrets;
}

async function makeSite(files: SiteFiles, options: ProvisionOptions): Promise<SiteSecrets> {
  for (const folder of [files.dir, files.files, files.mail, files.main.enrolments])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  makeKeys(files);
  const [link = 0, mail = 0, dmzHealth = 0, mainHealth = 0] = await findFreePorts(4);
  const users = await makeUsers(files, options.users);
  const secrets = { users, ports: { link, mail, dmzHealth, mainHealth } };
  writeMainConfig(files, secrets);
  writeSecrets(files, secrets);
  return secrets;
}

function makeKeys(files: SiteFiles): void {
  for (const file of [files.dmz.identityKey, files.dmz.signingKey, files.main.identityKey])
    if (!existsSync(file)) writePrivateFile(file, generateIdentityKey().privateKeyPem.expose());
  if (!existsSync(files.main.vaultKey)) writePrivateFile(files.main.vaultKey, randomBytes(32));
  if (!existsSync(files.dmz.hostKey)) {
    const key = generatePrivateKeyFile('sallyport demo host key');
    writePrivateFile(files.dmz.hostKey, key.file.expose());
    writePrivateFile(`${files.dmz.hostKey}.pub`, `${key.publicLine}\n`);
  }
  const authority = createThrowAwayAuthority(systemClock.now());
  const server = authority.issueServerCertificate();
  writePrivateFile(files.ca, authority.certificatePem);
  writePrivateFile(files.dmz.certificate, server.certificatePem);
  writePrivateFile(files.dmz.key, server.privateKeyPem.expose());
}

async function makeUsers(files: SiteFiles, users: readonly DemoUser[]): Promise<SiteSecrets['users']> {
  const passwords = new Passwords({ random: randomBytes, minimumLength: 12 });
  const log = buildLog('silent', {});
  const state = await openSqliteState({ file: files.main.state, clock: systemClock, log });
  try {
    const vault = buildVault({
      vaultKey: new Secret(readFileSync(files.main.vaultKey)),
      enrolments: buildYamlEnrolments({ directory: files.main.enrolments }),
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
        password === undefined ? undefined : (await passwords.hash(new Secret(password), user.name)).expose();
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
          alongside: [],
        });
        if (!enrolled.ok) throw new Error(`${user.name} could not be enrolled: ${enrolled.reason}`);
      }
      made[user.name] = {
        ...(password === undefined ? {} : { password }),
        ...(totp === undefined ? {} : { totpSecret: encodeBase32(totp) }),
        ...(key === undefined ? {} : { sshKeyFile: keyFile }),
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
  lines.push(`  registration: ${user.registration}`, `  force_setup: ${user.forceSetup}`, '');
  return lines.join('\n');
}

function readKeyPem(file: string): Secret {
  return new Secret(readFileSync(file, 'utf8'));
}

function writeDmzConfig(files: SiteFiles, secrets: SiteSecrets, options: ProvisionOptions): void {
  const main = parseIdentityKey(readKeyPem(files.main.identityKey)).fingerprint;
  writePrivateFile(
    files.dmz.config,
    `node: dmz1
public_url: https://localhost:${options.httpsPort}
https:
  listen: 127.0.0.1:${options.httpsPort}
  certificate: ${files.dmz.certificate}
  key: ${files.dmz.key}
sftp:
  listen: 127.0.0.1:${options.sftpPort}
  host_keys: [${files.dmz.hostKey}]
link:
  listen: 127.0.0.1:${secrets.ports.link}
  main: { identity: ${main} }
  identity_key: ${files.dmz.identityKey}
  signing_key: ${files.dmz.signingKey}
health: { listen: 127.0.0.1:${secrets.ports.dmzHealth} }
`,
  );
}

function writeMainConfig(files: SiteFiles, secrets: SiteSecrets): void {
  const identity = parseIdentityKey(readKeyPem(files.dmz.identityKey)).fingerprint;
  const signing = createPublicKey(parseIdentityKey(readKeyPem(files.dmz.signingKey)).privateKey);
  const { x = '' } = signing.export({ format: 'jwk' });
  writePrivateFile(
    files.main.config,
    `name: main1
dmz_nodes:
  - { name: dmz1, address: 127.0.0.1:${secrets.ports.link}, identity: ${identity}, signing_key: ${x} }
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
branding: { name: Sallyport demo }
health: { listen: 127.0.0.1:${secrets.ports.mainHealth} }
`,
  );
}
