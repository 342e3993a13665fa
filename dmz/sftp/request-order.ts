import type { SallyportError } from '#shared/error.ts';

/**
 * The order of one session's requests (D-67): each sees the effects of all that were sent before it, as on a server
 * that answers one after the other.
 *
 * A *change* starts when everything before it is answered, and what comes after it waits for it. *Questions* run side
 * by side between two changes. READs and WRITEs are only counted here, so that others can wait for those before them;
 * they wait for nothing but what concerns their own file (`FileOrder`), and so go on streaming beside a change.
 *
 * What waits is bounded by the session's requests under way. A place waits only for earlier ones, so nothing can wait
 * in a circle.
 */
export type PlaceKind =
  /** Waits for all before it; all after it wait for it. */
  | 'change'
  /** Names a path: waits for the changes and the WRITEs before it. */
  | 'question'
  /** Names a handle, whose own order is kept elsewhere: waits for the changes before it. */
  | 'handle-question';

interface Place {
  /** Resolves when the request may act. Rejected if it never will. */
  readonly turn: Promise<void>;
  /** The request is answered. Once. */
  leave(): void;
}

/** READs and WRITEs under way that came between two requests which wait for such. */
interface Stretch {
  readonly number: number;
  reads: number;
  writes: number;
}

class Waiting implements Place {
  readonly turn: Promise<void>;
  readonly kind: PlaceKind;
  /** A CLOSE acts even if the client is gone: it said that the upload is whole. */
  readonly mustAct: boolean;
  /** Number of the last stretch before it. */
  readonly behind: number;
  readonly leave: () => void;
  hasTurn = false;
  readonly #resolve: () => void;
  readonly #reject: (error: SallyportError) => void;

  constructor(options: {
    readonly kind: PlaceKind;
    readonly mustAct: boolean;
    readonly behind: number;
    readonly onLeave: (place: Waiting) => void;
  }) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.turn = promise;
    this.kind = options.kind;
    this.mustAct = options.mustAct;
    this.behind = options.behind;
    this.leave = () => options.onLeave(this);
    this.#resolve = resolve;
    this.#reject = reject;
    // Whoever holds the place may fail before it asks for its turn.
    promise.catch(() => undefined);
  }

  start(): void {
    this.hasTurn = true;
    this.#resolve();
  }

  refuse(error: SallyportError): void {
    this.hasTurn = true;
    this.#reject(error);
  }
}

export class RequestOrder {
  /** Unanswered, in order of arrival. */
  #places: Waiting[] = [];
  /** Those before the last are kept while they have READs or WRITEs under way. */
  #stretches: Stretch[] = [];
  #last: Stretch = { number: 0, reads: 0, writes: 0 };

  enter(kind: PlaceKind, options: { readonly mustAct?: boolean } = {}): Place {
    if (this.#last.reads + this.#last.writes > 0) {
      this.#stretches.push(this.#last);
      this.#last = { number: this.#last.number + 1, reads: 0, writes: 0 };
    }
    const place = new Waiting({
      kind,
      mustAct: options.mustAct ?? false,
      behind: this.#last.number - 1,
      onLeave: (left) => {
        this.#places = this.#places.filter((other) => other !== left);
        this.#advance();
      },
    });
    this.#places.push(place);
    this.#advance();
    return place;
  }

  /** A READ or WRITE came. Give what is returned to `endRead` or `endWrite` when it is answered. */
  beginRead(): Stretch {
    this.#last.reads += 1;
    return this.#last;
  }

  beginWrite(): Stretch {
    this.#last.writes += 1;
    return this.#last;
  }

  endRead(stretch: Stretch): void {
    stretch.reads -= 1;
    if (stretch.reads === 0 && stretch !== this.#last) this.#advance();
  }

  endWrite(stretch: Stretch): void {
    stretch.writes -= 1;
    if (stretch.writes === 0 && stretch !== this.#last) this.#advance();
  }

  /**
   * The client or main is gone: what still waits is refused instead of being tried after the rest, one deadline after
   * the other. CLOSEs act at once.
   */
  release(error: SallyportError): void {
    for (const place of this.#places) {
      if (place.hasTurn) continue;
      if (place.mustAct) place.start();
      else place.refuse(error);
    }
  }

  #advance(): void {
    this.#stretches = this.#stretches.filter((stretch) => stretch.reads + stretch.writes > 0);
    for (const [index, place] of this.#places.entries()) {
      if (!place.hasTurn && this.#mayStart(place, index)) place.start();
      if (place.kind === 'change') return;
    }
  }

  #mayStart(place: Waiting, earlierPlaces: number): boolean {
    if (place.kind === 'handle-question') return true;
    const before = this.#stretches.filter((stretch) => stretch.number <= place.behind);
    if (place.kind === 'question') return before.every((stretch) => stretch.writes === 0);
    return earlierPlaces === 0 && before.length === 0;
  }
}
