/**
 * Every error code of the project: what it means, and what it is called in each protocol. Unions, checks and the tables
 * of codes in documents are made from this one (D-105).
 */

interface Row {
  /** One sentence for whoever meets the code. */
  readonly means: string;
  /** Status of the public HTTP API. */
  readonly http: number;
  /** Of the admin API, where callers and things are others; absent: the same. */
  readonly adminHttp?: number;
  /** Version 3 has nine statuses; what they can't say stands in the message. */
  readonly sftp: 'noSuchFile' | 'permissionDenied' | 'failure' | 'badMessage' | 'unsupported';
  /** What the `sallyport` command answers to scripts. */
  readonly exit: 'failed' | 'usage' | 'notFound' | 'refused' | 'conflict';
}

/** Signing in and what proves it. */
const loginCodes = {
  refused: {
    means:
      'Everything about signing in before the first factor is right: one word, no reason (S-07). From the admin API: what was asked is not for whoever asks.',
    http: 401,
    adminHttp: 403,
    sftp: 'permissionDenied',
    exit: 'refused',
  },
  'challenge-gone': {
    means: 'A sign-in ran out of time or tries; it starts again. The public HTTP API says `refused`.',
    http: 401,
    sftp: 'permissionDenied',
    exit: 'failed',
  },
  'delivery-failed': {
    means: 'A message (code, notice) could not be handed to the relay or gateway.',
    http: 503,
    adminHttp: 502,
    sftp: 'failure',
    exit: 'failed',
  },
  'rate-limited': {
    means: 'Too many tries; wait as long as the answer says.',
    http: 429,
    sftp: 'failure',
    exit: 'failed',
  },
  'too-many-sessions': {
    means: 'The user has as many sessions at that door as may be.',
    http: 429,
    sftp: 'failure',
    exit: 'failed',
  },
  'setup-expired': {
    means: 'The set-up of a second factor was not finished in time; start it again.',
    http: 410,
    sftp: 'failure',
    exit: 'failed',
  },
  'setup-not-confirmed': {
    means: 'The set-up was not confirmed yet, so no code of it can be judged.',
    http: 409,
    sftp: 'failure',
    exit: 'failed',
  },
  'already-enrolled': {
    means: 'There is a second factor already.',
    http: 409,
    sftp: 'failure',
    exit: 'conflict',
  },
  'not-allowed': {
    means: 'The account, or the role of the caller, does not cover that.',
    http: 403,
    sftp: 'permissionDenied',
    exit: 'refused',
  },
  'ticket-required': {
    means: 'The first set-up needs a one-time code of the administrator, and this is none.',
    http: 403,
    sftp: 'permissionDenied',
    exit: 'failed',
  },
  'too-weak': {
    means: 'A new password or key is too weak; the answer says why.',
    http: 422,
    adminHttp: 403,
    sftp: 'failure',
    exit: 'refused',
  },
} as const satisfies Readonly<Record<string, Row>>;

/** Files and folders. */
const fileCodes = {
  'not-found': {
    means: 'There is no such thing, or none that the caller may know of.',
    http: 404,
    sftp: 'noSuchFile',
    exit: 'notFound',
  },
  exists: {
    means: 'The name is taken.',
    http: 409,
    sftp: 'failure',
    exit: 'conflict',
  },
  'not-empty': {
    means: 'The folder has something in it.',
    http: 409,
    sftp: 'failure',
    exit: 'conflict',
  },
  'not-a-folder': {
    means: "A folder is needed there. ENOTDIR, which OpenSSH's server tells as no such file.",
    http: 409,
    sftp: 'noSuchFile',
    exit: 'failed',
  },
  'is-a-folder': {
    means: 'A file is needed there.',
    http: 409,
    sftp: 'failure',
    exit: 'failed',
  },
  'permission-denied': {
    means: 'The rights there do not cover it.',
    http: 403,
    sftp: 'permissionDenied',
    exit: 'refused',
  },
  'bad-path': {
    means: 'No path of ours. Over SFTP not "no such file": that would send programs on to create it.',
    http: 400,
    sftp: 'permissionDenied',
    exit: 'usage',
  },
  'parent-missing': {
    means: 'The folder it belongs in is not there.',
    http: 409,
    sftp: 'noSuchFile',
    exit: 'failed',
  },
  'precondition-failed': {
    means: 'It is not as the caller expected it to be.',
    http: 412,
    sftp: 'failure',
    exit: 'conflict',
  },
  changed: {
    means: 'Somebody else changed it meanwhile.',
    http: 409,
    adminHttp: 412,
    sftp: 'failure',
    exit: 'conflict',
  },
  'quota-exceeded': {
    means: 'The quota of the user or the mount is used up.',
    http: 507,
    sftp: 'failure',
    exit: 'failed',
  },
  'no-space': {
    means: 'The disk inside is full.',
    http: 507,
    sftp: 'failure',
    exit: 'failed',
  },
  'too-many': {
    means: 'More than may be at once.',
    http: 429,
    adminHttp: 413,
    sftp: 'failure',
    exit: 'failed',
  },
  'bad-handle': {
    means: 'What was open is not open any more.',
    http: 409,
    sftp: 'failure',
    exit: 'failed',
  },
  unsupported: {
    means: 'This storage, or this server, does not do that.',
    http: 501,
    sftp: 'unsupported',
    exit: 'failed',
  },
  'io-error': {
    means: 'The disk inside failed.',
    http: 500,
    sftp: 'failure',
    exit: 'failed',
  },
} as const satisfies Readonly<Record<string, Row>>;

/** The session, the way to main and the form of what was sent. */
const linkCodes = {
  'no-session': {
    means: 'The session is over, or there never was one. From the admin API: no such session.',
    http: 401,
    adminHttp: 404,
    sftp: 'permissionDenied',
    exit: 'notFound',
  },
  'setup-required': {
    means: 'This session may only set up its second factor.',
    http: 403,
    sftp: 'permissionDenied',
    exit: 'failed',
  },
  'link-down': {
    means: 'The main node can not be reached; try again.',
    http: 503,
    sftp: 'failure',
    exit: 'failed',
  },
  deadline: {
    means: 'The answer did not come in time.',
    http: 503,
    adminHttp: 504,
    sftp: 'failure',
    exit: 'failed',
  },
  'too-slow': {
    means: 'A client that sent its bytes too slowly, or stopped.',
    http: 408,
    sftp: 'failure',
    exit: 'failed',
  },
  busy: {
    means: 'There is no room for it right now; come back as the answer says.',
    http: 503,
    sftp: 'failure',
    exit: 'failed',
  },
  'bad-request': {
    means: 'What was sent is not what is asked for here.',
    http: 400,
    sftp: 'badMessage',
    exit: 'usage',
  },
  'protocol-violation': {
    means: 'One node said to the other what it may not say.',
    http: 500,
    sftp: 'failure',
    exit: 'failed',
  },
  internal: {
    means: 'A fault of ours; the reference finds it in the log.',
    http: 500,
    sftp: 'failure',
    exit: 'failed',
  },
} as const satisfies Readonly<Record<string, Row>>;

/** Configuration and the command line. At a public door each would be a fault of ours. */
const setupCodes = {
  config: {
    means: 'The configuration, or a file that people edit, does not fit.',
    http: 500,
    adminHttp: 400,
    sftp: 'failure',
    exit: 'failed',
  },
  'certificate-refused': {
    means: 'The certificate authority issued no certificate.',
    http: 500,
    adminHttp: 502,
    sftp: 'failure',
    exit: 'failed',
  },
  pairing: {
    means: 'The two nodes are not paired as they should be.',
    http: 500,
    sftp: 'failure',
    exit: 'usage',
  },
  conflict: {
    means: 'It does not fit to what is there, or to what is going on right now.',
    http: 409,
    sftp: 'failure',
    exit: 'conflict',
  },
  usage: {
    means: 'A command was not given what it needs.',
    http: 500,
    adminHttp: 400,
    sftp: 'failure',
    exit: 'usage',
  },
} as const satisfies Readonly<Record<string, Row>>;

/** Only the admin API says these. At a public door each would be a fault of ours. */
const adminCodes = {
  'not-authenticated': {
    means: 'No token, or one that does not work.',
    http: 500,
    adminHttp: 401,
    sftp: 'failure',
    exit: 'refused',
  },
  'precondition-required': {
    means: 'What others edit too is changed with If-Match.',
    http: 500,
    adminHttp: 428,
    sftp: 'failure',
    exit: 'conflict',
  },
} as const satisfies Readonly<Record<string, Row>>;

export const errorCodes = {
  ...loginCodes,
  ...fileCodes,
  ...linkCodes,
  ...setupCodes,
  ...adminCodes,
} as const;

export type ErrorCode = keyof typeof errorCodes;
export type FileErrorCode = keyof typeof fileCodes;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCodes, value);
}

export function describeCode(code: ErrorCode): Row {
  return errorCodes[code];
}
