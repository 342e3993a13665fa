import { makePrivateFile, replaceFile } from '#shared/command-line/write-files.ts';
import { credentialsFolder } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** What `main init` makes: keys, main-agent.yaml, what every user inherits. */

/** AES-256 and HMAC keys are derived from it. */
const vaultKeyBytes = 32;

/** What `main init` is told. */
interface MainPlace {
  readonly name: string;
  /**
   * For the units of configs/systemd: keys are handed over, and what main writes lies apart from its configuration, in
   * this folder.
   */
  readonly systemdState?: string;
}

/** Rejects `conflict` where a main is already. Keys that are there are kept. */
export function initMain(folder: string, place: MainPlace): string {
  const { systemdState } = place;
  const at = (...parts: string[]): string => join(folder, ...parts);
  const config = at('main-agent.yaml');
  if (existsSync(config)) {
    throw new SallyportError('conflict', 'There is a main node already', {
      detail: config,
      hint: '`sallyport nodes enrol` adds DMZ nodes to it',
    });
  }
  const isInstalled = systemdState !== undefined;
  const key = (credential: string, file: string): string =>
    isInstalled ? at(credentialsFolder, credential) : at('keys', file);
  const state = systemdState ?? folder;
  makePrivateFile(key('link-key', 'link.key'), () => generateIdentityKey().privateKeyPem.expose());
  makePrivateFile(key('vault-key', 'vault.key'), () => randomBytes(vaultKeyBytes));
  makePrivateFile(join(state, 'users', '_default.yaml'), () => defaultUserYaml);
  const folders = [join(state, 'users', 'groups'), ...(isInstalled ? [] : [at('files')])];
  for (const made of folders) mkdirSync(made, { recursive: true, mode: 0o700 });
  replaceFile(config, renderMainYaml(place), 0o600);
  return config;
}

function renderMainYaml({ name, systemdState }: MainPlace): string {
  const key = (credential: string, file: string): string =>
    systemdState === undefined ? file : `credential:${credential}`;
  const inState = (file: string): string => (systemdState === undefined ? file : join(systemdState, file));
  const outside = (installed: string, file: string): string =>
    systemdState === undefined ? file : installed;
  const written =
    systemdState === undefined
      ? ''
      : `state:
  file: ${inState('state.db')}

audit:
  file: ${inState('audit.jsonl')}

`;
  return `# Made by \`sallyport main init\`. All settings with their defaults: configs/main-agent.yaml.

name: ${name}

# The DMZ nodes to dial, pinned by their keys; \`sallyport nodes enrol\` adds them.
dmz_nodes: []

identity_key: ${key('link-key', 'keys/link.key')}
# Encrypts TOTP secrets and keys the hashes of recovery codes. Keep a copy where only you find it.
vault_key: ${key('vault-key', 'keys/vault.key')}

users:
  directory: ${inState('users')}

${written}storages:
  local:
    base: ${outside('/srv/sallyport', 'files')}

two_factor:
  # true: a user who sets up two-factor is required to use it from then on.
  auto_enable: false

admin:
  socket: ${outside('/run/sallyport/admin.sock', 'run/admin.sock')}

# For code mails and notices:
#smtp:
#  host: relay.example.com
#  user: files@example.com
#  password_file: ${key('smtp-password', 'keys/smtp-password')}
#  from: Files <files@example.com>
`;
}

const defaultUserYaml = `# What every user inherits; groups and the user's own file come on top.
protocols: [https, sftp]
two_factor:
  # Nobody gets in with a password alone: who has no authenticator yet sets one up at the first sign-in on the web.
  # For programs with an SSH key: a group with \`required_on: []\` and \`force_setup: false\`.
  required_on: [https, sftp]
  force_setup: true
  registration: true
files:
  - { path: /, storage: local, root: "{username}", allow: [list, read, write, overwrite, delete, rename, mkdir] }
`;
