import { makePrivateFile, replaceFile } from '#shared/command-line/write-files.ts';
import { SallyportError } from '#shared/error.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** What `main init` makes: keys, main-agent.yaml, what every user inherits. */

/** AES-256 and HMAC keys are derived from it. */
const vaultKeyBytes = 32;

/** Rejects `conflict` where a main is already. Keys that are there are kept. */
export function initMain(folder: string, name: string): string {
  const at = (...parts: string[]): string => join(folder, ...parts);
  const config = at('main-agent.yaml');
  if (existsSync(config)) {
    throw new SallyportError('conflict', 'There is a main node already', {
      detail: config,
      hint: '`sallyport nodes enrol` adds DMZ nodes to it',
    });
  }
  makePrivateFile(at('keys', 'link.key'), () => generateIdentityKey().privateKeyPem.expose());
  makePrivateFile(at('keys', 'vault.key'), () => randomBytes(vaultKeyBytes));
  makePrivateFile(at('users', '_default.yaml'), () => defaultUserYaml);
  for (const made of [at('users', 'groups'), at('files')]) mkdirSync(made, { recursive: true, mode: 0o700 });
  replaceFile(config, renderMainYaml(name), 0o600);
  return config;
}

function renderMainYaml(name: string): string {
  return `# Made by \`sallyport main init\`. All settings with their defaults: configs/main-agent.yaml.

name: ${name}

# The DMZ nodes to dial, pinned by their keys; \`sallyport nodes enrol\` adds them.
dmz_nodes: []

identity_key: keys/link.key
# Encrypts TOTP secrets and keys the hashes of recovery codes. Keep a copy where only you find it.
vault_key: keys/vault.key

users:
  directory: users

storages:
  local:
    base: files

two_factor:
  # true: a user who sets up two-factor is required to use it from then on.
  auto_enable: false

admin:
  socket: run/admin.sock

# For code mails and notices:
#smtp:
#  host: relay.example.com
#  user: files@example.com
#  password_file: keys/smtp-password
#  from: Files <files@example.com>
`;
}

const defaultUserYaml = `# What every user inherits; groups and the user's own file come on top.
protocols: [https, sftp]
two_factor:
  registration: true
files:
  - { path: /, storage: local, root: "{username}", allow: [list, read, write, overwrite, delete, rename, mkdir] }
`;
