/** Every bound of the file service, with its reason (S-09). */

/** Open files and folders of one session: graphical clients keep tens open, OpenSSH one per transfer. */
export const handlesPerSessionMax = 256;
/** Open files and folders of all sessions; each holds one or two descriptors and systemd's hard limit is 524,288. */
export const handlesMax = 16_384;
/** The journal is written anew past this size: some 20,000 lines, read in a moment when main starts. */
export const journalBytesMax = 4 * 1024 * 1024;
/**
 * A longer one is not read. Written anew it has a line or two for each open file, a path of 4 KiB once or twice in each,
 * twice as long where it is all quotes; whoever opens thousands of such must not make main forget the others' appends.
 */
export const journalReadBytesMax = 2 * journalBytesMax + handlesMax * 17 * 1024;
/** After a start, what the process before had open or was doing is remembered this long: far longer than any parking. */
export const journalRecallMs = 10 * 60_000;

/** Entries in one page whatever was asked, so that a page stays a small message. */
export const pageEntriesMax = 1000;
/** JSON bytes of one page: a slow reader's control link is not held up by a listing. */
export const pageBytesMax = 128 * 1024;
/** Names in one folder: more can't be sorted in memory for everybody at once. */
export const folderEntriesMax = 1_000_000;
/** Folder snapshots a session may page through at the same time; an older one is made again when asked for. */
export const snapshotsPerSessionMax = 4;
/** Names held by all snapshots together (about 400 MB at the very worst, 100 bytes a name). */
export const snapshotNamesMax = 4_000_000;
/** A snapshot nobody pages through any more. */
export const snapshotIdleMs = 60_000;
/** Attributes asked of the disk at the same time for one listing; the thread pool is everybody's. */
export const statsAtOnce = 16;

/** Frames filled by one `readv`: 8 × 64 KiB was measured best. */
export const readBatchFrames = 8;
/** A longer file that was edited in place is not read at its CLOSE, to say its digest: one line more must not cost a log. */
export const inPlaceDigestBytesMax = 16 * 1024 * 1024;
/** Openings of a name whose file vanishes each time it was just seen: somebody removes it in a loop. */
export const vanishedTriesMax = 3;
/** Pieces gathered into one `writev`; a window (512 KiB) is 8 full frames or many small SFTP writes. */
export const writeBatchPieces = 64;
/** Buffer of hashing and range copies: one batch of the reader. */
export const scratchBytes = 512 * 1024;

/** Broken uploads kept per user; the oldest goes first. */
export const keptUploadsPerUserMax = 100;
/** A connection lets go of an upload as soon as its last write is done; so many looks are ten seconds of a slow disk. */
export const takeOverTriesMax = 500;
export const takeOverPauseMs = 20;
/** How long a resumable upload that became a file is still found, for a client that did not hear of it. */
export const finishedUploadMs = 10 * 60_000;
/** How many of them: what is beyond it looks as if it had expired. */
export const finishedUploadsMax = 10_000;
/** What their clients said of them may be 8 KiB each; together no more than this. */
export const finishedMetadataCharactersMax = 8 * 1024 * 1024;
/** Old versions kept per user after a shorter file replaced them. */
export const keptVersionsPerUserMax = 100;
/**
 * What one user's bin holds; the oldest goes first. A page of it is sorted from all of them, and each is some 500 bytes
 * of memory.
 */
export const binEntriesPerUserMax = 5000;
/**
 * Replaced files of one name that one user's bin holds; the oldest goes first. A program that saves each minute must not
 * fill its user's quota with a week of that.
 */
export const binVersionsMax = 10;
/** Names tried for something that is put back beside what has its name. */
export const restoreNamesMax = 100;
/** Without a quota, what does not count of one user's bin is bounded by this share of its file system. */
export const binFreeShare = 0.1;
/** A longer file that is cut where it is and can't share its blocks is not copied first: its writer waits for the copy. */
export const copiedVersionBytesMax = 256 * 1024 * 1024;
/** How long they are kept. */
export const keptVersionMs = 24 * 3_600_000;
/** How long the outcome of a commit is remembered on disk for a DMZ that did not hear it: longer than any parking. */
export const committedMs = 10 * 60_000;
/** Notes of such commits in one staging folder: what four nodes can have unanswered at once. A few hundred bytes each. */
export const commitNotesMax = 4096;
/** Files whose end a session may still put in order: clients do that right after each CLOSE, or after a batch. */
export const finishingPerSessionMax = 1000;
/** Between two sweeps of what has expired. */
export const sweepIntervalMs = 10 * 60_000;
/** One staging record: a path of 4 KiB twice, and facts. */
export const stagingRecordBytesMax = 64 * 1024;

/** Of a folder's entries that are not served, so many are told by name; the others are a number. */
export const unservedNamesMax = 20;
/** Names looked at between two pauses of a survey of a storage: some milliseconds of work. */
export const surveyPieceEntries = 1024;
/** A survey rests this many times as long as it worked, so that it costs a tenth of a core and of the disk at most. */
export const surveyRestShare = 9;
/** Names one survey looks at: some hours at its pace. What is beyond it is said to be not looked at. */
export const surveyEntriesMax = 10_000_000;
/** Names looked at for a user who asks about a folder: a second or so. */
export const surveyAskedEntriesMax = 20 * surveyPieceEntries;
/** Such questions at work at the same time; the disk is everybody's. */
export const surveysAtOnce = 2;
/** How old a survey may get before the next sweep begins another: other programs don't put such names there each hour. */
export const surveyFreshMs = 24 * 3_600_000;
/** Doctor waits so long for a survey of its own; a small storage is done by then. */
export const surveyPatienceMs = 3_000;
/** Places a survey names: in all, and of one folder of the base (mostly one user's), so that none hides the others. */
export const surveyPlacesMax = 20;
export const surveyPlacesOfOneMax = 5;

/** From one run of the retention rules to the next: a rule counts in days. */
export const retentionEveryMs = 24 * 3_600_000;
/**
 * So long a file was on a list before it is deleted, whatever made it fall due (D-129): a working day to look. Shorter
 * than from run to run, which a sweep may begin early or late.
 */
export const retentionNoticeMs = 20 * 3_600_000;
/** A run lists what falls due until the next one, and that may be so late. */
export const retentionSlackMs = 3_600_000;
/** Files one run lists, some 500 bytes of memory each; what is beyond it is for the next day. */
export const retentionListedMax = 200_000;
/** Removed between two notes of what is being removed: each is one sync of the disk. */
export const retentionBatchFiles = 256;
/** Removals and their records under way at the same time; the thread pool and the audit are everybody's. */
export const retentionAtOnce = 8;
/** An admin's call waits so long for its run, less than its client does; then the run goes on by itself. */
export const retentionPatienceMs = 20_000;

/** Files and folders one recursive delete may remove; a larger tree is deleted in several goes. */
export const removedEntriesMax = 1_000_000;
/** Folders below each other, when a tree on disk is walked: each holds a descriptor while we are in it. */
export const walkDepthMax = 256;
/** Trees removed at the same time, each with a descriptor for each level: a quarter of those that main may have. */
export const removalsAtOnce = 64;
/** Entries counted for a quota; a user with more has the rest uncounted until it shrinks. */
export const measuredEntriesMax = 5_000_000;
/**
 * A user's measured bytes are trusted this long, since other programs also write into the folders: a hundred times as
 * long as measuring took, so that it costs a hundredth of the time whatever the folders hold.
 */
export const measuredFreshMs = { least: 10_000, most: 10 * 60_000 };
export const measureShare = 100;
/** Users whose bytes are remembered; measuring again is only slow, not wrong. */
export const accountsMax = 20_000;
/** Uploads into shared folders remembered per user for the quota. */
export const sharedUploadsPerUserMax = 10_000;

/** Whole-file copies at the same time: each occupies a thread of the pool until it is done. */
export const copiesAtOnce = 2;
/** Files of a session or a node's process that ended which are closed together: their receipts share a group commit. */
export const endingsAtOnce = 64;
/** Receipts on their way to the audit; beyond it the next commit waits, no running transfer does. */
export const receiptsInFlightMax = 4096;
/** How soon one that the state's disk did not take is tried again: soon enough for who waits for the answer, no storm. */
export const receiptRetryMs = 1_000;

/**
 * A list of unfinished uploads as it goes over the link, whose messages end at 512 KiB: names full of quotes are twice as
 * long there. What is left out shows once others are finished; each can be taken up by its name all the while.
 */
export const uploadListOctetsMax = 448 * 1024;
/** How long what was taken back of a node's doings is kept: an investigation takes weeks, and its papers longer. */
export const takenBackMs = 90 * 24 * 3_600_000;
/** By how much a file system's clock may be ahead of main's, for a file to be as a record of main's left it. */
export const fileClockSlackMs = 1_000;
