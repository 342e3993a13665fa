import { z } from 'zod';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SiteFiles } from './site-files.ts';

/** What the demo remembers of its users and ports between two starts. */
const secretsSchema = z.strictObject({
  users: z.record(
    z.string(),
    z.strictObject({
      password: z.string().optional(),
      totpSecret: z.string().optional(),
      sshKeyFile: z.string().optional(),
    }),
  ),
  ports: z.strictObject({
    link: z.number(),
    mail: z.number(),
    dmzHealth: z.number(),
    mainHealth: z.number(),
    /** Of a site with two DMZ nodes. */
    second: z.strictObject({ link: z.number(), health: z.number() }).optional(),
  }),
});

export type SiteSecrets = z.output<typeof secretsSchema>;

export function readSecrets(files: SiteFiles): SiteSecrets | undefined {
  if (!existsSync(files.secrets)) return undefined;
  return secretsSchema.parse(JSON.parse(readFileSync(files.secrets, 'utf8')));
}

export function writeSecrets(files: SiteFiles, secrets: SiteSecrets): void {
  writePrivateFile(files.secrets, `${JSON.stringify(secrets, undefined, 2)}\n`);
}

/** Writes a file only its owner may read, renamed into place so that nobody sees half of it. */
export function writePrivateFile(file: string, content: string | Uint8Array): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const partial = `${file}.partial`;
  writeFileSync(partial, content, { mode: 0o600 });
  renameSync(partial, file);
}
