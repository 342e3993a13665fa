import { SallyportError } from '#shared/error.ts';
import {
  archiveNameCharacters,
  archivedEntriesMax,
  archivedEntriesOfUserMax,
  archivesOfUserMax,
} from '#dmz/https/limits.ts';

/**
 * How much of this process archives may take. Each holds the list of what is in it until its last byte has gone, at the
 * pace of whoever downloads it; what one user holds counts over all of their sessions.
 */
export class ArchiveRoom {
  readonly #users = new Map<string, { archives: number; entries: number }>();
  #entries = 0;

  /** Throws `too-many`. Leave it when the archive is over. */
  enter(username: string): ArchivePlace {
    const user = this.#users.get(username) ?? { archives: 0, entries: 0 };
    if (user.archives >= archivesOfUserMax)
      throw new SallyportError('too-many', `At most ${archivesOfUserMax} archives at the same time`, {
        data: { bound: 'archives', maximum: archivesOfUserMax },
      });
    this.#users.set(username, user);
    user.archives += 1;
    let taken = 0;
    return {
      take: (nameCharacters) => {
        const room = 1 + Math.floor(nameCharacters / archiveNameCharacters);
        if (user.entries + room > archivedEntriesOfUserMax)
          throw new SallyportError('too-many', 'Wait until one of your other archives is done', {
            data: { bound: 'archives' },
          });
        if (this.#entries + room > archivedEntriesMax)
          throw new SallyportError('busy', 'Too many archives are on their way; try again in a moment');
        taken += room;
        user.entries += room;
        this.#entries += room;
      },
      leave: () => {
        user.archives -= 1;
        user.entries -= taken;
        this.#entries -= taken;
        if (user.archives === 0) this.#users.delete(username);
      },
    };
  }
}

export interface ArchivePlace {
  /** Room for one entry more, for several if its name is long; throws `too-many` or `busy`. */
  take(nameCharacters: number): void;
  leave(): void;
}
