import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { checkValue } from '#shared/config/check.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { userFileBytesMax } from './limits.ts';
import type { TemplateFields, UserFields, UserSchemas } from './user-schema.ts';
import type { SourceProblem } from './user-source.ts';
import { isUsername, usernameExpectation } from './username.ts';

/** One file of the users folder, read and checked for itself; whether its groups exist is not known here. */

export type FileId =
  | { readonly kind: 'default'; readonly name: '_default'; readonly relative: string }
  | { readonly kind: 'group' | 'user'; readonly name: string; readonly relative: string };

export type FileFields = TemplateFields & Pick<UserFields, 'password'>;

export interface UserFile {
  readonly id: FileId;
  /** Absolute. */
  readonly file: string;
  /** SHA-256 of the octets, base64url: the etag of writes. */
  readonly hash: string;
  /** Undefined: broken. */
  readonly fields: FileFields | undefined;
  readonly problems: readonly SourceProblem[];
  /** A top-level `status: disabled` can be read, however broken the rest is. */
  readonly saysDisabled: boolean;
  /** Where `groups` stands. */
  readonly groupsAt: { readonly line: number; readonly column: number };
}

export const defaultRelative = '_default.yaml';
export const groupsFolder = 'groups';
export const groupRelative = (name: string): string => path.join(groupsFolder, `${name}.yaml`);
export const userRelative = (name: string): string => `${name}.yaml`;

/** What a file in the folder is, by its name alone: a file of ours, one to complain about, or nothing of ours. */
export function identifyFile(relative: string): FileId | 'misnamed' | undefined {
  const base = path.basename(relative);
  // Editors' and our own temporary files.
  if (base.startsWith('.') || base.startsWith('#') || base.endsWith('~')) return undefined;
  if (base.endsWith('.yml')) return 'misnamed';
  if (!base.endsWith('.yaml')) return undefined;
  const name = base.slice(0, -'.yaml'.length);
  if (relative === defaultRelative) return { kind: 'default', name: '_default', relative };
  if (!isUsername(name)) return 'misnamed';
  if (relative === userRelative(name)) return { kind: 'user', name, relative };
  return relative === groupRelative(name) ? { kind: 'group', name, relative } : 'misnamed';
}

export function describeMisnamed(file: string): SourceProblem {
  const message = 'this file is not read: its name is neither `_default.yaml` nor `<name>.yaml`';
  return { file, line: 1, column: 1, message, hint: `<name> is ${usernameExpectation}` };
}

export function hashOctets(octets: Buffer): string {
  return createHash('sha256').update(octets).digest('base64url');
}

/** Never throws: whatever the octets are, the result says what is wrong with them. */
export function parseUserFile(octets: Buffer, id: FileId, file: string, schemas: UserSchemas): UserFile {
  const text = octets.toString('utf8');
  const broken = (message: string, hint: string): UserFile => ({
    ...unreadableUserFile(id, file, message, hint),
    hash: hashOctets(octets),
  });
  if (octets.length > userFileBytesMax) {
    return broken(`larger than ${userFileBytesMax} bytes`, 'split it, or name another folder');
  }
  if (!isUtf8(octets)) return broken('not UTF-8', 'save it as UTF-8');
  if (text.trim() === '') return broken('the file is empty', 'write it again, or delete it');

  const yaml = parseYaml(text, file);
  const schema = { user: schemas.user, default: schemas.default, group: schemas.group }[id.kind];
  const checked = checkValue<TemplateFields & { readonly username?: string }>(yaml, schema);
  const problems: SourceProblem[] = checked.ok ? [] : [...checked.problems];
  if (checked.ok && id.kind === 'user' && checked.value.username !== id.name) {
    const message = `username: ${JSON.stringify(checked.value.username)}; expected \`${id.name}\`, the name of the file`;
    problems.push({ file, ...yaml.locate(['username']), message, hint: 'rename one of them' });
  }
  const isGood = checked.ok && problems.length === 0;
  return {
    id,
    file,
    hash: hashOctets(octets),
    fields: isGood ? checked.value : undefined,
    problems,
    saysDisabled: readsDisabled(yaml.value, isGood ? '' : text),
    groupsAt:
      isGood && checked.value.groups === undefined ? { line: 1, column: 1 } : yaml.locateKey(['groups']),
  };
}

export function unreadableUserFile(id: FileId, file: string, message: string, hint?: string): UserFile {
  const top = { line: 1, column: 1 };
  const problem = { file, ...top, message, ...(hint !== undefined && { hint }) };
  return { id, file, hash: '', fields: undefined, problems: [problem], saysDisabled: false, groupsAt: top };
}

/** The groups a file lists itself. */
export function listedGroups(fields: FileFields | undefined): readonly string[] {
  return [...(fields?.groups ?? []), ...(fields?.['+groups'] ?? [])];
}

function readsDisabled(value: unknown, text: string): boolean {
  if (typeof value === 'object' && value !== null && 'status' in value && value.status === 'disabled') {
    return true;
  }
  return /^status[ \t]*:[ \t]*["']?disabled["']?[ \t]*(#.*)?$/m.test(text);
}
