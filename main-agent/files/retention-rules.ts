/**
 * Which retention rules hold for a place (D-129). Mounts show folders of a storage, so a rule belongs to a folder there
 * and to all below it, whoever put a file there and through whichever mount. Where several are about one file the
 * longest time counts, and `never` is longer than any.
 */
import type { EffectiveUser, MountRetention } from '#main-agent/users/effective-user.ts';
import { isOwnFolder } from './quota.ts';

/** A rule, and through which mounts it came. Equal rules of many users for one folder are one. */
export interface RetentionRule {
  readonly retention: MountRetention;
  /** Folder it begins in, from the storage's base. */
  readonly root: readonly string[];
  /** Where the first of the users sees that folder. */
  readonly mountPath: readonly string[];
  /** Users whose own folder it is; empty: a shared one. */
  readonly owners: Set<string>;
}

/** A folder on the way to rules or with some. */
export interface RuledFolder {
  /** By what they say. */
  readonly rules: Map<string, RetentionRule>;
  readonly below: Map<string, RuledFolder>;
}

/** A folder with a rule and none above it. */
interface RuledTree {
  readonly storage: string;
  readonly root: readonly string[];
  readonly folder: RuledFolder;
}

function newFolder(): RuledFolder {
  return { rules: new Map(), below: new Map() };
}

/** Of disabled and expired users too: their files are as old as anybody's. */
export function findRuledTrees(users: Iterable<EffectiveUser>): readonly RuledTree[] {
  const bases = new Map<string, RuledFolder>();
  for (const { username, mounts } of users) {
    for (const { storage, root, path, retention } of mounts) {
      if (retention === undefined) continue;
      let folder = getOrMake(bases, storage);
      for (const name of root) folder = getOrMake(folder.below, name);
      const key = JSON.stringify(retention);
      const rule = folder.rules.get(key) ?? { retention, root, mountPath: path, owners: new Set() };
      folder.rules.set(key, rule);
      if (isOwnFolder({ root }, username)) rule.owners.add(username);
    }
  }
  return Array.from(bases, ([storage, base]) => topsOf(storage, [], base)).flat();
}

function getOrMake(folders: Map<string, RuledFolder>, name: string): RuledFolder {
  let folder = folders.get(name);
  if (folder === undefined) folders.set(name, (folder = newFolder()));
  return folder;
}

function topsOf(storage: string, root: readonly string[], folder: RuledFolder): RuledTree[] {
  if (folder.rules.size > 0) return [{ storage, root, folder }];
  return Array.from(folder.below, ([name, inner]) => topsOf(storage, [...root, name], inner)).flat();
}

/** The rule by which a file, or an empty folder, goes. Undefined: it stays. */
export function decidingRule(
  rules: Iterable<RetentionRule>,
  name: string,
  type: 'file' | 'folder',
): (RetentionRule & { readonly afterMs: number }) | undefined {
  let longest: (RetentionRule & { readonly afterMs: number }) | undefined;
  for (const rule of rules) {
    const { afterMs, emptyFolders } = rule.retention;
    if (type === 'folder' ? afterMs !== undefined && !emptyFolders : !isAbout(rule.retention, name)) continue;
    if (afterMs === undefined) return undefined;
    if (longest === undefined || afterMs > longest.afterMs) longest = { ...rule, afterMs };
  }
  return longest;
}

/** As `decidingRule`, for one place by its whole path, as a walk comes to it. */
export function findDecidingRule(
  trees: readonly RuledTree[],
  storage: string,
  path: readonly string[],
  type: 'file' | 'folder',
): ReturnType<typeof decidingRule> {
  const tree = trees.find(
    (one) => one.storage === storage && one.root.every((name, at) => name === path[at]),
  );
  if (tree === undefined) return undefined;
  const rules: RetentionRule[] = [];
  let folder: RuledFolder | undefined = tree.folder;
  for (const name of path.slice(tree.root.length)) {
    rules.push(...(folder?.rules.values() ?? []));
    folder = folder?.below.get(name);
  }
  // A folder that has rules, or leads to some, stays.
  if (type === 'folder' && folder !== undefined) return undefined;
  return decidingRule(rules, path.at(-1) ?? '', type);
}

/** Whether a rule is about files of that name. */
export function isAbout({ only, except }: MountRetention, name: string): boolean {
  const isOneOf = (patterns: readonly string[]): boolean => patterns.some((one) => matchesName(one, name));
  return (only === undefined || isOneOf(only)) && !isOneOf(except);
}

/** `*` any characters, `?` one. Goes back to the last `*` only: no pattern takes longer than pattern times name. */
export function matchesName(pattern: string, name: string): boolean {
  const [wanted, found] = [Array.from(pattern.normalize()), Array.from(name.normalize())];
  let [at, from] = [0, 0];
  let star: { readonly at: number; from: number } | undefined;
  while (from < found.length) {
    if (wanted[at] === '*') star = { at: (at += 1), from };
    else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === found[from])) {
      at += 1;
      from += 1;
    } else if (star === undefined) return false;
    else [at, from] = [star.at, (star.from += 1)];
  }
  return wanted.slice(at).every((one) => one === '*');
}
