import type { Admitted } from '#dmz/login/login-service.ts';
import { randomId } from '#shared/random-id.ts';
import type { ListedArchive } from './file-archive.ts';
import { downloadTicketMs } from '#dmz/https/limits.ts';

interface Ticket {
  readonly session: string;
  readonly archive: ListedArchive;
  /** Nothing happens by itself any more. */
  readonly forget: () => void;
}

/**
 * Archives that were asked for and listed, each behind an address that its session may follow once and at once (D-62).
 * They wait in this process, to which the session's cookie leads. How many: each takes one of its user's places among
 * the archives (`archive-room.ts`), so a ticket that nobody uses costs its own user a download for half a minute.
 */
export class DownloadTickets {
  readonly #tickets = new Map<string, Ticket>();

  /** What the address ends in. Takes the archive over: it leaves its place by itself when nobody comes. */
  issue(session: Admitted, archive: ListedArchive): string {
    const id = randomId();
    const drop = (): void => {
      this.#remove(id);
      archive.leave();
    };
    const timer = setTimeout(drop, downloadTicketMs).unref();
    session.ended.addEventListener('abort', drop, { once: true });
    const forget = (): void => {
      clearTimeout(timer);
      session.ended.removeEventListener('abort', drop);
    };
    this.#tickets.set(id, { session: session.view.session, archive, forget });
    if (session.ended.aborted) drop();
    return id;
  }

  /** Gives the archive to its own session, once; undefined: there is none for it. */
  take(session: Admitted, untrustedId: string): ListedArchive | undefined {
    const archive = this.find(session, untrustedId);
    if (archive !== undefined) this.#remove(untrustedId);
    return archive;
  }

  /** As `take`, and it stays. */
  find(session: Admitted, untrustedId: string): ListedArchive | undefined {
    const ticket = this.#tickets.get(untrustedId);
    return ticket?.session === session.view.session ? ticket.archive : undefined;
  }

  #remove(id: string): void {
    this.#tickets.get(id)?.forget();
    this.#tickets.delete(id);
  }
}
