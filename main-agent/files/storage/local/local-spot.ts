/** A name in a folder of this host that is held open. */
import * as fs from 'node:fs/promises';
import { constants, type PathLike } from 'node:fs';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { Access, Found, Spot } from '../blob-storage.ts';
import { hasErrno } from '../file-error.ts';
import { requireId, requireShown } from '../requirements.ts';
import type { RemoveOptions } from '../storage.ts';
import { applyChange, fileMode, folderMode } from './attribute-change.ts';
import { Descriptor } from './descriptor.ts';
import type { FolderHandle } from './folder-handle.ts';
import { accessFlags, LocalBytes } from './local-bytes.ts';
import { toFound } from './stored.ts';
import { explainNotEmpty, removeEmptyFolder, removeTree } from './tree-walk.ts';
import { requireNoTwin } from './twin-names.ts';

export class LocalSpot implements Spot {
  readonly folder: FolderHandle;
  readonly name: string;
  #folderId: Promise<string> | undefined;

  constructor(folder: FolderHandle, name: string) {
    this.folder = folder;
    this.name = name;
  }

  get path(): PathLike {
    return this.folder.at(this.name);
  }

  folderId(): Promise<string> {
    return (this.#folderId ??= this.folder.id());
  }

  async find(): Promise<Found | undefined> {
    return toFound(await this.folder.find(this.name));
  }

  requireNoTwin(except?: string): Promise<void> {
    return requireNoTwin(this.folder, this.name, except);
  }

  open(access: Access): Promise<LocalBytes | undefined> {
    return this.#openUnless('ENOENT', accessFlags[access]);
  }

  create(access: Access, mode: number | undefined): Promise<LocalBytes | undefined> {
    const flags = accessFlags[access] | constants.O_CREAT | constants.O_EXCL;
    return this.#openUnless('EEXIST', flags, fileMode(mode));
  }

  async #openUnless(errno: string, flags: number, mode?: number): Promise<LocalBytes | undefined> {
    try {
      return new LocalBytes(await this.folder.openRegular(this.name, flags, mode));
    } catch (error) {
      if (hasErrno(error, errno)) return undefined;
      throw error;
    }
  }

  async makeFolder(mode: number | undefined): Promise<void> {
    await fs.mkdir(this.path, { mode: folderMode(mode) });
  }

  removeFile(): Promise<void> {
    return fs.unlink(this.path);
  }

  removeEmptyFolder(): Promise<void> {
    return removeEmptyFolder(this.folder, this.name);
  }

  removeTree(options: RemoveOptions): Promise<void> {
    return removeTree(this.folder, this.name, options);
  }

  async moveTo(target: Spot, { isExclusive }: { readonly isExclusive: boolean }): Promise<void> {
    const to = requireLocalSpot(target);
    if (isExclusive) return moveExclusive(this.path, to.path);
    try {
      await fs.rename(this.path, to.path);
    } catch (error) {
      throw await explainNotEmpty(to.folder, to.name, error);
    }
  }

  async linkTo(target: Spot): Promise<void> {
    try {
      await fs.link(this.path, requireLocalSpot(target).path);
    } catch (error) {
      throw orUnsupported(error);
    }
  }

  /** A folder too: it is opened as what it is. */
  async change(change: AttributeChange, onlyId: string | undefined): Promise<void> {
    const file = await Descriptor.open(
      this.path,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    try {
      requireId(requireShown(toFound(await file.stat())), onlyId);
      await applyChange(file, change);
    } finally {
      await file.close();
    }
  }

  sync(): Promise<void> {
    return this.folder.sync();
  }
}

/** What a caller hands back is what it was given by this storage. */
export function requireLocalSpot(spot: Spot): LocalSpot {
  if (spot instanceof LocalSpot) return spot;
  throw new TypeError('a name of another storage');
}

/** A file system may have no second names, or no shared blocks. */
const lacks = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EMLINK'];

export function orUnsupported(error: unknown): unknown {
  if (!hasErrno(error, ...lacks)) return error;
  return new SallyportError('unsupported', 'The storage can not do that', { cause: error });
}

/** A rename that never replaces: the kernel refuses a second name where one is (EEXIST). */
async function moveExclusive(from: PathLike, to: PathLike): Promise<void> {
  try {
    await fs.link(from, to);
  } catch (error) {
    // A file system without hard links: the name was free a moment ago, under our lock.
    if (!hasErrno(error, ...lacks)) throw error;
    await fs.rename(from, to);
    return;
  }
  try {
    await fs.unlink(from);
  } catch (error) {
    // What is written to the one name later would show under the other.
    await fs.unlink(to);
    throw error;
  }
}
