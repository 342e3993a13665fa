/** Bounds of the user store, each with its reason. */

/** A user with 64 RSA keys and 64 mounts takes 60 KiB; anything larger was never a user. */
export const userFileBytesMax = 256 * 1024;
/** Ten times what the product is measured for; a folder with more is the wrong folder. */
export const filesMax = 100_000;
/** SSH keys of one user, inherited ones included in what they may add. */
export const sshKeysMax = 64;
/** Names and hashes of as many files as there may be, all changed at once. */
export const applyJournalBytesMax = 512 * filesMax;
/** Groups of groups: deeper nesting is a mistake nobody could follow. */
export const groupDepthMax = 16;
/** All groups of one user together. */
export const groupsMax = 64;
/** Files read at once: enough to hide the disk's latency, far from the limit of open files. */
export const readsAtOnce = 64;
/** Files that one question to the vault names: a few milliseconds of its time, and some hundred KiB of answer. */
export const filesReadTogetherMax = 256;
/** An editor writes a file in several steps; half of them must not be taken for a broken file. */
export const settleMs = 100;
/** Steady changes are applied at least this often, so that each takes effect within 2 s. */
export const settleMaxMs = 1_000;
/** Where the kernel tells of changes, this only catches what it did not tell (network file systems, lost events). */
export const pollMs = 30_000;
/** Where it does not tell, this is how changes are found. */
export const pollUnwatchedMs = 1_000;
/** Problems of one change that go to the log one by one; a thousand more would only hide what else it says. */
export const loggedProblemsMax = 20;
/** Files parsed or users put together before others get their turn: some ten milliseconds. */
export const usersInOneGo = 256;
/**
 * A name that comes back within this time is taken for the same person's: a folder that an editor, `git checkout` or a
 * deployment swaps is back within seconds or minutes, and no joiner gets a leaver's name so soon.
 */
export const returnGraceMs = 10 * 60_000;
/** What a group administrator may fill the store with: as many as the product is measured for. */
export const usersOfGroupAdminMax = 10_000;
