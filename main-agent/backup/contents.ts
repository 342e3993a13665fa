import path from 'node:path';
import { checkpointFileOf } from '#main-agent/audit/checkpoint-file.ts';
import { namedFiles, type MainAgentConfig } from '#main-agent/config.ts';
import { z } from 'zod';
import { brokenBackup } from './byte-source.ts';

/**
 * What a backup of main consists of, and where each of it lies: names in the archive on the one side, paths on a box on
 * the other. Only a configuration leads from a name to a path, so that no name of an archive says where to write.
 */

/** `config`: of whoever administers the box, root's as a rule; `state`: of main's own user. */
export type Owner = 'config' | 'state';

export interface Place {
  readonly path: string;
  readonly owner: Owner;
}

/** Folders whose files go into a backup one by one. */
interface Folder extends Place {
  readonly prefix: string;
  /** Below it, apart from plain files. */
  readonly subfolders: readonly string[];
}

export const manifestName = 'manifest.json';
export const configName = 'main-agent.yaml';
export const stateName = 'state.db';
export const auditPrefix = 'audit/';
const secretPrefix = 'secrets/';
/** Main's link key. */
export const identityName = `${secretPrefix}identity_key`;

/** In the audit, whoever writes it. */
export const backupEvent = 'backup.made';

/** For the audit. */
export function describeBackup({ file, recipients }: BackupTold): string {
  return `${file} for ${recipients.join(', ')}`;
}

export interface BackupTold {
  readonly file: string;
  readonly recipients: readonly string[];
}

export const manifest = z.strictObject({
  format: z.literal(1),
  /** Of the product. */
  version: z.string().max(64),
  made_at: z.iso.datetime(),
  made_by: z.string().max(256),
  name: z.string().max(64),
  /** Of main's link key: what the DMZ nodes have pinned, and so who this is. */
  identity: z.string().max(128),
  /** Main's user, where it is one of its own. */
  user: z.string().max(64).optional(),
  audit_record: z.number().int().min(0),
});
export type Manifest = z.output<typeof manifest>;

/** Keys, passwords and certificates, as the configuration calls them: `vault_key`, `events.webhooks.0.secret_file`. */
export function listSecrets(config: MainAgentConfig): readonly (Place & { readonly name: string })[] {
  return namedFiles(config).map(({ at, path: file }) => ({
    name: `${secretPrefix}${at.map(String).join('.')}`,
    path: file,
    owner: 'config',
  }));
}

export function listFolders({ users }: MainAgentConfig): readonly Folder[] {
  return [
    { prefix: 'users/', path: users.directory, owner: 'state', subfolders: ['groups'] },
    { prefix: 'enrolments/', path: users.enrolmentsDirectory, owner: 'state', subfolders: [] },
    { prefix: 'last-good/', path: users.lastGoodDirectory, owner: 'state', subfolders: ['groups'] },
  ];
}

/** Where the file of this name belongs on a box with this configuration. Throws `io-error` for a name of no backup. */
export function placeOf(name: string, config: MainAgentConfig): Place {
  if (name === stateName) return { path: config.state.file, owner: 'state' };
  const secret = listSecrets(config).find((one) => one.name === name);
  if (secret !== undefined) return secret;
  if (name.startsWith(auditPrefix)) {
    const file = name.slice(auditPrefix.length);
    if (isAuditFile(file, config.audit.file))
      return { path: path.join(path.dirname(config.audit.file), file), owner: 'state' };
  }
  for (const { prefix, path: folder, owner, subfolders } of listFolders(config)) {
    if (!name.startsWith(prefix)) continue;
    const parts = name.slice(prefix.length).split('/');
    const isThere = parts.length === 1 || (parts.length === 2 && subfolders.includes(parts[0] ?? ''));
    if (isThere && parts.every(isPlainName)) return { path: path.join(folder, ...parts), owner };
  }
  throw brokenBackup(`${name} has no place on a box`);
}

/** The one being written, those before it, and the checkpoints. */
export function isAuditFile(file: string, active: string): boolean {
  const { name, ext } = path.parse(active);
  const number = file.slice(name.length + 1, file.length - ext.length);
  return (
    file === path.basename(active) ||
    file === path.basename(checkpointFileOf(active)) ||
    (/^\d{12}$/.test(number) && file === `${name}.${number}${ext}`)
  );
}

/** Of a file in a folder, and never one that leads elsewhere or hides. */
export function isPlainName(name: string): boolean {
  return name !== '' && !name.startsWith('.') && !/[/\0]/.test(name);
}
