import type { Reason } from './reasons.ts';
import type { Request } from './requests.ts';
import type { Tree } from './trees.ts';

/** A request that our door answers otherwise on purpose. */
export interface Difference {
  readonly because: Reason;
  /** What our door answers, in the words of `answers.ts`. */
  readonly answer: string;
}

export type Step = Request & { readonly here?: Difference };

/** One small story that both servers are told, each in a folder that was prepared alike. */
export interface Row {
  /** A sentence about behaviour. */
  readonly title: string;
  /** One after the other; those of an inner list are sent in one go, without waiting for answers. */
  readonly steps: readonly (Step | readonly Step[])[];
  /** What lies in its folder, besides or instead of `standardTree`. */
  readonly tree?: Tree;
  /** Times the whole row is run: for what depends on who comes first. */
  readonly rounds?: number;
  /** Begins without INIT, on a connection of its own: for rows that break the session. */
  readonly breaks?: boolean;
  /** What our door leaves on disk otherwise: lines of the tree by their name, undefined where it leaves nothing. */
  readonly leaves?: {
    readonly because: Reason;
    readonly entries: Readonly<Record<string, string | undefined>>;
  };
}

export function row(title: string, steps: Row['steps'], more: Omit<Row, 'title' | 'steps'> = {}): Row {
  return { title, steps, ...more };
}

/** Our door answers this request otherwise, and why. */
export function here(because: Reason, answer: string, request: Request): Step {
  return { ...request, here: { because, answer } };
}

/** A chapter of the table. */
export interface Table {
  readonly title: string;
  readonly rows: readonly Row[];
}
