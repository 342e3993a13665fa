import type { Grant } from '#dmz/http-api/account.ts';
import { pathOf, type Entry } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';

/** What a person may do where, as the server said: for offering only what works. The server decides. */

type Verb = 'list' | 'read' | 'write' | 'overwrite' | 'delete' | 'rename' | 'mkdir';

export interface EntryRights {
  readonly download: boolean;
  /** Rename and move. */
  readonly relocate: boolean;
  readonly copy: boolean;
  readonly remove: boolean;
}

interface PlacedGrant {
  readonly path: FolderPath;
  readonly allow: readonly string[];
  readonly binSeconds: number | undefined;
}

export class Rights {
  readonly #grants: readonly PlacedGrant[];

  constructor(grants: readonly Grant[]) {
    this.#grants = grants.map(({ path, allow, bin_seconds: binSeconds }) => ({
      path: path.split('/').filter(Boolean),
      allow,
      binSeconds,
    }));
  }

  /** In that folder, each of the verbs. */
  may(folder: FolderPath, ...verbs: readonly Verb[]): boolean {
    const nearest = this.#nearest(folder);
    return nearest !== undefined && verbs.every((verb) => nearest.allow.includes(verb));
  }

  /** How long what is deleted in that folder can be had back; undefined: it is gone. */
  binSeconds(folder: FolderPath): number | undefined {
    return this.#nearest(folder)?.binSeconds;
  }

  /** What can be done with each of these where they lie. */
  over(entries: readonly Entry[]): EntryRights {
    const all = (test: (entry: Entry) => boolean): boolean => entries.every(test);
    const isLoose = (entry: Entry): boolean => !this.#isFixed(pathOf(entry));
    return {
      download: all((entry) =>
        entry.type === 'file' ? this.may(entry.parent, 'read') : this.may(pathOf(entry), 'list', 'read'),
      ),
      relocate: all((entry) => this.may(entry.parent, 'rename') && isLoose(entry)),
      copy:
        all(({ type, parent }) => type === 'file' && this.may(parent, 'read')) && this.#mayWriteSomewhere(),
      remove: all((entry) => this.may(entry.parent, 'delete') && isLoose(entry)),
    };
  }

  #nearest(folder: FolderPath): PlacedGrant | undefined {
    const [nearest] = this.#grants
      .filter(({ path }) => isAbove(path, folder))
      .toSorted((a, b) => b.path.length - a.path.length);
    return nearest;
  }

  /** A place that was given as it is, or leads to one that was, stays where it is. */
  #isFixed(place: FolderPath): boolean {
    return this.#grants.some(({ path }) => isAbove(place, path));
  }

  #mayWriteSomewhere(): boolean {
    return this.#grants.some(({ allow }) => allow.includes('write'));
  }
}

function isAbove(above: FolderPath, below: FolderPath): boolean {
  return above.length <= below.length && above.every((name, index) => name === below[index]);
}
