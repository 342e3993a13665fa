/**
 * The one error type of the project.
 *
 * An error has two halves: what a stranger may read (`code`, `publicMessage`, `reference`, `data`) and what only
 * the log and the admin may read (`detail`, `hint`, `cause`). Only the public half crosses the link.
 * What a code means, and what it is in each protocol, says `error-codes.ts`.
 */

import type { ErrorCode } from './error-codes.ts';

/** What `too-weak` is about, in a word, so that a page can say it in its reader's language. */
export const weaknesses = [
  'too-short',
  'too-long',
  'common',
  'user-name',
  'unchanged',
  'key-unreadable',
  'key-type',
  'key-too-short',
  'key-comment',
] as const;
type Weakness = (typeof weaknesses)[number];

/** What there is too much of for one archive, in a word: files in it, folders below each other, names asked for, archives at once. */
export const archiveBounds = ['entries', 'depth', 'names', 'archives'] as const;
type ArchiveBound = (typeof archiveBounds)[number];

/** Facts a client program may act on. Never secret, never free text. */
export interface ErrorData {
  readonly retryAfterMs?: number;
  readonly attemptsLeft?: number;
  readonly driftSeconds?: number;
  readonly weakness?: Weakness;
  /** With `too-short` the characters, with `key-too-short` the bits that are enough. */
  readonly minimum?: number;
  /** With `too-many` of an archive: of what, and how many there may be. */
  readonly bound?: ArchiveBound;
  readonly maximum?: number;
  /** From main to a node, with `refused`: a name that only attackers try, from where nobody signs in. Not passed on. */
  readonly bait?: true;
  /** From main to a node, with `rate-limited`: what is slowed down, tries at that name or all of their source. */
  readonly throttled?: 'name' | 'source';
  /** With `not-empty`: so many entries that are in no listing are all there is. */
  readonly unserved?: number;
}

interface ErrorOptions {
  /** Private: what happened, with the values. */
  readonly detail?: string;
  /** Private: what to do about it. */
  readonly hint?: string;
  /** Public: id an admin looks up in the audit. */
  readonly reference?: string;
  readonly data?: ErrorData;
  readonly cause?: unknown;
}

export class SallyportError extends Error {
  override readonly name = 'SallyportError';
  readonly code: ErrorCode;
  readonly publicMessage: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly reference: string | undefined;
  readonly data: ErrorData | undefined;

  constructor(code: ErrorCode, publicMessage: string, options: ErrorOptions = {}) {
    super(
      options.detail === undefined ? publicMessage : `${publicMessage} (${options.detail})`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.publicMessage = publicMessage;
    this.detail = options.detail;
    this.hint = options.hint;
    this.reference = options.reference;
    this.data = options.data;
  }
}

export function isSallyportError(value: unknown, code?: ErrorCode): value is SallyportError {
  return value instanceof SallyportError && (code === undefined || value.code === code);
}

/** Any thrown value as a SallyportError; what we did not foresee is `internal` and tells a stranger nothing. */
export function toSallyportError(value: unknown): SallyportError {
  if (value instanceof SallyportError) return value;
  const detail = value instanceof Error ? value.message : String(value);
  return new SallyportError('internal', 'Something went wrong on our side', { detail, cause: value });
}

/** The same under a reference: a fault that is written down, and is looked up by it. */
export function withReference(thrown: unknown, reference: string): SallyportError {
  const { code, publicMessage, detail, hint, data } = toSallyportError(thrown);
  return new SallyportError(code, publicMessage, {
    reference,
    cause: thrown,
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
    ...(data !== undefined && { data }),
  });
}
