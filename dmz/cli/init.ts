import { formatNodeLine } from '#shared/pairing/pairing-line.ts';
import { makePrivateFile, replaceFile } from '#shared/command-line/write-files.ts';
import { SallyportError } from '#shared/error.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { Secret } from '#shared/secret.ts';
import { credentialsFolder } from '#shared/config/file-path.ts';
import { generatePrivateKeyFile, parsePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderDmzYaml, type DmzYamlValues } from './dmz-yaml.ts';
import { writeLinkSocket } from './link-socket.ts';

/**
 * Makes a DMZ node: its two keys, an SSH host key if main is not to have it, a self-signed certificate and dmz.yaml. The
 * private keys never leave this machine; what main must know is one line without secrets. Keys that are there already
 * are kept.
 */

export function nodeFiles(folder: string, forSystemd = existsSync(join(folder, credentialsFolder))) {
  const at = (...parts: string[]): string => join(folder, ...parts);
  const config = at('dmz.yaml');
  if (forSystemd) {
    const credential = (name: string): string => at(credentialsFolder, name);
    return {
      config,
      identityKey: credential('link-key'),
      signingKey: credential('signing-key'),
      hostKey: credential('ssh-host-key'),
      certificate: credential('https-certificate'),
      certificateKey: credential('https-key'),
    } as const;
  }
  return {
    config,
    identityKey: at('keys', 'link.key'),
    signingKey: at('keys', 'signing.key'),
    hostKey: at('ssh', 'ed25519'),
    certificate: at('tls', 'fullchain.pem'),
    certificateKey: at('tls', 'key.pem'),
  } as const;
}

/** Rejects `conflict` where a node is already. Returns the pairing line. */
export function initNode(folder: string, values: DmzYamlValues, nowMs: number, forSystemd = false): string {
  const files = nodeFiles(folder, forSystemd);
  if (existsSync(files.config)) {
    throw new SallyportError('conflict', 'There is a node already', {
      detail: files.config,
      hint: '`sallyport node show` prints its pairing line again',
    });
  }
  for (const file of [files.identityKey, files.signingKey]) {
    makePrivateFile(file, () => generateIdentityKey().privateKeyPem.expose());
  }
  if (values.hostKey === 'local' && !existsSync(files.hostKey)) {
    const key = generatePrivateKeyFile(values.name);
    replaceFile(files.hostKey, key.file.expose(), 0o600);
    replaceFile(`${files.hostKey}.pub`, `${key.publicLine}\n`, 0o644);
  }
  if (!existsSync(files.certificate)) {
    const authority = createThrowAwayAuthority(nowMs);
    const { certificatePem, privateKeyPem } = authority.issueServerCertificate([
      new URL(values.publicUrl).hostname.replace(/^\[(.*)\]$/, '$1'),
    ]);
    replaceFile(files.certificateKey, privateKeyPem.expose(), 0o600);
    replaceFile(files.certificate, certificatePem + authority.certificatePem, 0o644);
  }
  if (forSystemd) writeLinkSocket(folder, values.linkListen);
  // Last: without it the folder is half made, and init may run again.
  replaceFile(files.config, renderDmzYaml(values, forSystemd), 0o600);
  return nodeLine(folder, { name: values.name, address: values.linkListen, hostKey: values.hostKey });
}

/** The pairing line of the keys in this folder. */
export function nodeLine(
  folder: string,
  { name, address, hostKey }: Pick<DmzYamlValues, 'name' | 'hostKey'> & { readonly address: string },
): string {
  const files = nodeFiles(folder);
  const identity = parseIdentityKey(readKey(files.identityKey));
  const signing = createPublicKey(parseIdentityKey(readKey(files.signingKey)).privateKey);
  return formatNodeLine({
    name,
    address,
    identity: identity.fingerprint,
    signing_key: signing.export({ format: 'jwk' }).x ?? '',
    host_key: hostKey === 'main' ? 'main' : parsePrivateKeyFile(readKey(files.hostKey)).publicKey.fingerprint,
  });
}

function readKey(file: string): Secret {
  try {
    return new Secret(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new SallyportError('config', 'A key of this node is missing', {
      detail: file,
      hint: '`sallyport node init` makes it',
      cause,
    });
  }
}
