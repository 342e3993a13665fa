import { nobody } from '#dmz/config.ts';

/** The dmz.yaml that `node init` writes. Every key it leaves out has a safe default; configs/dmz.yaml explains all. */

export interface DmzYamlValues {
  readonly name: string;
  readonly publicUrl: string;
  readonly httpsListen: string;
  readonly sftpListen: string;
  readonly linkListen: string;
  readonly hostKey: 'main' | 'local';
}

/** `forSystemd`: sockets and keys are handed over, by the names of configs/systemd. */
export function renderDmzYaml(values: DmzYamlValues, forSystemd: boolean): string {
  const listen = (name: string, address: string): string => (forSystemd ? `systemd:${name}` : address);
  const file = (credential: string, path: string): string => (forSystemd ? `credential:${credential}` : path);
  const health = forSystemd ? '\nhealth:\n  listen: systemd:health\n' : '';
  return `# Made by \`sallyport node init\`. All settings with their defaults: configs/dmz.yaml.

node: ${values.name}
# Address at which browsers reach it.
public_url: "${values.publicUrl}"

https:
  listen: "${listen('https', values.httpsListen)}"
  # Self-signed until you put the certificate of your public name here.
  certificate: ${file('https-certificate', 'tls/fullchain.pem')}
  key: ${file('https-key', 'tls/key.pem')}

sftp:
  listen: "${listen('sftp', values.sftpListen)}"
  ${
    values.hostKey === 'main'
      ? '# Main has the SSH host keys and signs with them: nothing on this box can play the server without it.\n  host_key: main'
      : `host_keys: [${file('ssh-host-key', 'ssh/ed25519')}]`
  }

link:
  # Where main dials in: the inner interface, never the outer one. Worker number i uses this port + i.
  listen: "${listen('link', values.linkListen)}"
  main:
    # Nobody yet: \`sallyport node trust '<main's line>'\` writes main's identity here.
    identity: ${nobody}
  identity_key: ${file('link-key', 'keys/link.key')}
  signing_key: ${file('signing-key', 'keys/signing.key')}
${health}`;
}
