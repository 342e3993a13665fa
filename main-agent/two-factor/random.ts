/** Randomness as a dependency, so that tests own it; `randomBytes` of node:crypto everywhere else. */
export type RandomBytes = (size: number) => Buffer;
