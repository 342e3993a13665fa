/**
 * Why our door may answer otherwise than OpenSSH: what this product exists for, or what version 3 leaves to the
 * server. The page says these sentences above the requests they stand for.
 */
export const reasons = {
  jail: 'The root is the user’s own folder. Nothing above it can be named, and where it lies is not told.',
  lexical:
    'Dots and slashes are resolved before anything is looked up, so that they never climb through what lies on the disk. What stands before `/..` need not be there, and a name is told as it would be, not as it is.',
  links: 'Links are neither made nor followed nor shown: they lead out of the user’s folder.',
  names:
    'Names that deceive who reads them, or that not every system can keep, are refused with PERMISSION_DENIED and a sentence that says why. So is a folder that would be moved into itself.',
  modes:
    'All files belong to the account that serves everybody. It keeps its own right to read and write each of them, and sets no set-user-id, set-group-id or sticky bits.',
  whole:
    'An upload of a new or emptied file is whole or not there. Until its CLOSE, other sessions see and change the file that was there before, or nothing; the last CLOSE counts, and nothing is mixed.',
  times:
    'Times that a client sets on an open upload are meant for the whole of it, and stay when the rest is written afterwards.',
  same: 'SETSTAT of the size that a file has touches nothing, so that who may not write can still give back what STAT told.',
  once: 'What is appended lands once, also when the link to the main node breaks meanwhile. Of a copy into a file that is appended to, nobody could tell afterwards.',
  sooner: 'A folder is not opened as a file. OpenSSH gives a handle and then fails each READ.',
  dots: 'A listing is without `.` and `..`, which every client drops.',
  answered:
    'What OpenSSH has no answer for, or ends the session over, is answered here. Nobody can rely on a failure.',
} as const;

export type Reason = keyof typeof reasons;
