/** Every bound of the web client, with its reason. */

/** File calls wait for main up to 60 s on the server; without an answer some time after that, the way is broken. */
export const requestTimeoutMs = 75_000;

/** The most the API gives at once. */
export const pageEntriesMax = 1000;
/** Beyond this a tab's memory, not the window on the list, becomes the problem (about 100 bytes an entry). */
export const listedEntriesMax = 200_000;
/** Entries put in order between two looks at what the reader does: some milliseconds. */
export const sortedAtOnce = 8192;

/** Browsers open six connections to a host: three are left for everything else. */
export const uploadsParallel = 3;
/** One drop of more files than this is a mistake or a job for SFTP. */
export const uploadsQueuedMax = 10_000;
/** Smaller files are sent in one request; beginning again costs less than asking where one stopped. */
export const uploadResumableBytesMin = 8 * 1024 * 1024;
/** Unfinished uploads whose samples are remembered; the server keeps a hundred of a user. */
export const uploadSamplesMax = 200;
/** How often a transfer's figures are drawn: often enough to look alive, seldom enough to read. */
export const uploadFiguresIntervalMs = 500;

/** While the server inside is down, how often to look again when it didn't say. */
export const outageRetryMs = 5_000;
/** A longer Retry-After is cut to this, so that a page left open comes back by itself. */
export const outageRetryMsMax = 60_000;

/** Letters that follow each other faster are one name. */
export const typeAheadMs = 1000;
/** Places whose scroll position, filter and row are remembered; browsers keep fifty entries of a tab's history. */
export const rememberedViewsMax = 50;

/** Long enough to read a sentence twice. */
export const noticeMs = 6_000;
/** What can be undone at once is offered for longer: reading, being startled, and reaching for it. */
export const undoMs = 20_000;
/** Skeleton rows appear only when a folder takes longer; shorter would flicker. */
export const skeletonDelayMs = 150;
/** An answer that takes longer than this wants a sign that something happens. */
export const startingDelayMs = 300;
/** A folder left alone for longer is read again when the page is looked at again. */
export const staleFolderMs = 10_000;
/** Touch held this long selects a row (the platforms' own long press). */
export const longPressMs = 500;
/** The click of a finger follows it after a moment. */
export const pressSettleMs = 100;
/** What is held down longer, or let go where nobody saw it, does not keep a list from being redrawn. */
export const pressHoldMsMax = 10_000;

/** Longest name a folder or file may get; the API counts bytes, see virtual-path.ts. */
export const nameBytesMax = 255;

/** A picture a phone can still decode; a larger one is downloaded. */
export const previewImageBytesMax = 30_000_000;
/** More text than this is not read in a preview. */
export const previewTextBytesMax = 512_000;
/** Folders to choose from at one place; who has more types the way in the address bar. */
export const pickedFoldersMax = 2_000;
/** More paths than this in a question are not read by anybody; how many more there are is said. */
export const namedInQuestionMax = 200;
/** Names of a selection that the server takes for one download. */
export const downloadNamesMax = 10_000;

/** Folders of one deletion that are looked into for what they don't show: one call each. */
export const unservedLookedForMax = 20;

/** Long enough to come back to the keyboard, short enough not to nag. */
export const sessionEndWarningMs = 120_000;
/** How often the session's end is looked for. */
export const sessionEndCheckMs = 5_000;
/** How often other tabs are told that this one is used. */
export const sessionUseTellMs = 30_000;
/** As the server's default; it has the last word. */
export const newPasswordCharactersMin = 12;
/** As the server's rule, for the case that it does not say. */
export const rsaBitsMin = 3072;
