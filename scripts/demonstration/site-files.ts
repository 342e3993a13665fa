import { join } from 'node:path';

/** Where everything of one DMZ node lies. */
function nodeFiles(folder: string) {
  const at = (...parts: string[]): string => join(folder, ...parts);
  return {
    config: at('dmz.yaml'),
    log: at('dmz.log'),
    certificate: at('tls', 'certificate.pem'),
    key: at('tls', 'key.pem'),
    hostKey: at('ssh', 'ed25519'),
    identityKey: at('keys', 'link.key'),
    signingKey: at('keys', 'signing.key'),
  } as const;
}

export type NodeFiles = ReturnType<typeof nodeFiles>;

/** Where everything of one demo lies, below one folder. */
export function siteFiles(dir: string) {
  const at = (...parts: string[]): string => join(dir, ...parts);
  return {
    dir,
    demoJson: at('demo.json'),
    /** Passwords and secrets of the demo users; what makes a later start the same as the first. */
    secrets: at('demo-secrets.json'),
    ca: at('ca.pem'),
    mail: at('mail'),
    files: at('files'),
    erinKey: at('erin_ed25519'),
    dmz: nodeFiles(at('dmz')),
    /** Of a site with two DMZ nodes. */
    secondDmz: nodeFiles(at('dmz2')),
    main: {
      config: at('main', 'main-agent.yaml'),
      log: at('main', 'main-agent.log'),
      identityKey: at('main', 'keys', 'link.key'),
      vaultKey: at('main', 'keys', 'vault.key'),
      users: at('main', 'users'),
      enrolments: at('main', 'enrolments'),
      state: at('main', 'state.db'),
      audit: at('main', 'audit.jsonl'),
      socket: at('main', 'run', 'admin.sock'),
    },
  } as const;
}

export type SiteFiles = ReturnType<typeof siteFiles>;
