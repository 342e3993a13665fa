import path from 'node:path';
import { checkValue } from '#shared/config/check.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { readsDisabled, type ShownText } from './shown-text.ts';
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
  /** As `ShownText` has it; empty where nothing could be read. */
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

/** Never throws: whatever the text is, the result says what is wrong with it. */
export function parseUserFile(shown: ShownText, id: FileId, file: string, schemas: UserSchemas): UserFile {
  const { hash, text } = shown;
  if (text === undefined) {
    const { problem, hint, saysDisabled } = shown;
    return { ...unreadableUserFile(id, file, problem, hint), hash, saysDisabled };
  }
  if (text.trim() === '')
    return { ...unreadableUserFile(id, file, 'the file is empty', 'write it again, or delete it'), hash };

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
    hash,
    fields: isGood ? checked.value : undefined,
    problems,
    saysDisabled: isDisabled(yaml.value) || (!isGood && readsDisabled(text)),
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

function isDisabled(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'status' in value && value.status === 'disabled';
}
