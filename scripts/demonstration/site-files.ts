import { join } from 'node:path';

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
    dmz: {
      config: at('dmz', 'dmz.yaml'),
      log: at('dmz', 'dmz.log'),
      certificate: at('dmz', 'tls', 'certificate.pem'),
      key: at('dmz', 'tls', 'key.pem'),
      hostKey: at('dmz', 'ssh', 'ed25519'),
      identityKey: at('dmz', 'keys', 'link.key'),
      signingKey: at('dmz', 'keys', 'signing.key'),
    },
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
