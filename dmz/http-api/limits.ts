/** Bounds that are part of the public HTTP API: a client that keeps them is not refused for size. */

/** Listing pages: the link carries at most 1000 entries a message. */
export const listingLimitMax = 1000;
export const cursorCharactersMax = 1024;
/** Entries of the bin in one page, and ids in one request to empty it: as many as a page of them has. */
export const binPageEntriesMax = 1000;
/** Restored by one request, each a question to main; a page asks again for the rest. */
export const binRestoresMax = 100;
