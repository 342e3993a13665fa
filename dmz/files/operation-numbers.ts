import { randomInt } from 'node:crypto';

/** Leaves room to count up from any start without leaving the safe integers. */
const startMax = 2 ** 48 - 1;

/**
 * Numbers for the changes of one client object. A web session may have such objects in several workers at once, and
 * main keeps its record by (session, number): each object therefore counts up from a random start of its own.
 */
export class OperationNumbers {
  #last = randomInt(startMax);

  next(): number {
    this.#last += 1;
    return this.#last;
  }
}
