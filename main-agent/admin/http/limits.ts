/** Bounds of the admin API's calls and answers, each with its reason. */

/** Callers are people, scripts and one CLI call each. */
export const connectionsMax = 64;
/** Of the TLS listener, for one address: a person with a browser and a script. */
export const connectionsPerSourceMax = 16;
/** A whole user with many keys is a few KiB. */
export const bodyBytesMax = 256 * 1024;
export const headerBytesMax = 16 * 1024;
/** From the first header byte to the last body byte; the socket is on this machine. */
export const requestMs = 10_000;
/** Time running calls get when the server closes. */
export const drainMs = 5_000;
/** Rows of one page. */
export const pageMax = 1000;
export const pageDefault = 200;
/** Of what a call did, in its audit record. */
export const detailCharactersMax = 1000;
