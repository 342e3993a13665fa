/**
 * Why our door may answer otherwise than OpenSSH: what this product exists for, or what version 3 leaves to the
 * server. The page says these sentences above the rows they stand for.
 */
export const reasons = {
  jail: 'The root is the user’s own folder: nothing above it can be named, and what it is in is not told.',
} as const;

export type Reason = keyof typeof reasons;
