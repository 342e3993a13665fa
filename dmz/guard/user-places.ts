import type { Admission } from './guard.ts';

/** Counts by user over all workers of the node: a user may come from several sources, and those from several workers. */
export interface UserPlaces {
  /** Undefined: as many as a user may have are taken. Else what gives the place back; safe to call twice. */
  enter(user: string): Promise<(() => void) | undefined>;
}

/** The admission, with a place in the node for as long as its connection waits for a code. */
export function countInNode(admission: Admission, places: UserPlaces): Admission {
  let leave = (): void => undefined;
  let isOver = false;
  const end = (): void => {
    isOver = true;
    leave();
  };
  return {
    ...admission,
    async awaitCode(user) {
      leave();
      const given = await places.enter(user);
      if (given === undefined) return false;
      leave = given;
      if (!isOver && (await admission.awaitCode(user))) return true;
      leave();
      return false;
    },
    authenticated() {
      end();
      admission.authenticated();
    },
    release() {
      end();
      admission.release();
    },
  };
}
