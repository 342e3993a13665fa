import { isSallyportError } from '#shared/error.ts';
import type { EvilDmz } from '#test/harness/evil-dmz.ts';
import type { Wall } from './walls.ts';

/** One thing that somebody who owns a DMZ box tries. */
export interface Try {
  /** Stays the same: reports and other tests name it. */
  readonly id: string;
  readonly attack: string;
  /** What must refuse it. */
  readonly wall: Wall;
  /** Resolves with how it was refused, in a few words; throws `GotThrough`, or `UnclearRefusal`. */
  readonly run: (evil: EvilDmz) => Promise<string>;
}

/** It was not refused. */
export class GotThrough extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'GotThrough';
  }
}

/** It was refused, but not for its reason: it proves nothing about the wall. */
export class UnclearRefusal extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'UnclearRefusal';
  }
}

/** The code it was refused with; it must be one of these. */
export async function requireRefusal(
  what: string,
  attempt: Promise<unknown>,
  ...codes: readonly string[]
): Promise<string> {
  let answer: unknown;
  try {
    answer = await attempt;
  } catch (error) {
    return requireOneOf(what, isSallyportError(error) ? error.code : String(error), codes);
  }
  throw new GotThrough(`${what}: main answered ${JSON.stringify(answer).slice(0, 100)}`);
}

/** Of what a login or a change came to. */
export function requireOneOf(what: string, outcome: string, expected: readonly string[]): string {
  if (expected.includes(outcome)) return outcome;
  if (outcome === 'admitted' || outcome === 'changed') throw new GotThrough(`${what}: ${outcome}`);
  throw new UnclearRefusal(`${what}: ${outcome} instead of ${expected.join(' or ')}`);
}

/** Each refusal once, in the order of the first. */
export function summarize(refusals: readonly string[]): string {
  return [...new Set(refusals)].join(', ');
}
