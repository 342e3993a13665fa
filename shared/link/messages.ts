import { isIP } from 'node:net';
import { z } from 'zod';
import { banner, brandName, helpLink, helpText } from './branding.ts';
import { healthCharactersMax, healthFindingsMax } from './limits.ts';
import { signatureAlgorithms } from '#shared/ssh-key/algorithms.ts';

/**
 * The control link's vocabulary: every request and every event, with the schema both ends check it against.
 * What is not in this table does not exist (S-05): an unknown verb or a schema violation closes the link.
 *
 * Requests go from the DMZ to main only, except `link.ping`, which both ends send. Events need no answer.
 * Wire shapes are documented for people in PROTOCOL.md; what may be added when is said there.
 */

/** Resumable uploads of one user: with paths of 4 KiB the list still fits into one message. */
export const uploadsMax = 100;
/** Entries of a bin that one request may name: as many as a page of them has. */
export const binIdsMax = 1000;
/** tus's Upload-Metadata: a path of 4 KiB in base64, and a few short values. */
export const uploadMetadataCharactersMax = 8 * 1024;

/** Mounts of one user that a node is told of; templates give a few, and with long paths they still fit into a message. */
export const mountsToldMax = 256;

/**
 * A small file's content goes with the answer of its open, or with a request to write it, instead of by a stream. So small
 * that a thousand such messages at once (the most that a link has) fit into its queue beside all else; larger files are
 * worth a stream.
 */
export const toldContentBytesMax = 8 * 1024;

/**
 * The logo of the sign-in page: main sends it with the policy, and every first visit brings it along. In base64 it is a
 * twelfth of a message.
 */
export const logoBytesMax = 32 * 1024;

const id = z.string().regex(/^[A-Za-z0-9_-]{43}$/); // 256 bit, base64url
const base64url = (max: number) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]*$/)
    .max(max);
const content = base64url(Math.ceil((toldContentBytesMax * 4) / 3));
const text = (max: number) => z.string().max(max);
/** An address and nothing else: it stands in mails, audit and terminals, and the node is not trusted to name one. */
const address = z
  .string()
  .max(45)
  .refine((value) => isIP(value) !== 0);
/** Without what a terminal or a mail would act on. */
const printable = text(255).regex(/^\P{C}*$/u);
/** A program's name for itself. */
const agent = printable;
const milliseconds = z.number().finite();
const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const empty = z.strictObject({});

const protocol = z.enum(['https', 'sftp']);
const againReason = z.enum(['wrong-code', 'used-code', 'clock-drift']);

/** Strict only in shape; main turns it into a VirtualPath with `requireComponents`. */
const path = z.array(text(255)).max(256);

/** 128 bit, base64url. */
const uploadName = z.string().regex(/^[A-Za-z0-9_-]{22}$/);
const binId = uploadName;

const clientAddressSchema = z.strictObject({
  ip: address,
  port: z.number().int().min(0).max(65535),
  /** SSH identification string or User-Agent, as sent; the DMZ's word only. */
  agent,
});

const attributes = z.strictObject({
  type: z.enum(['file', 'folder', 'link']),
  size: count,
  mtimeMs: milliseconds,
  atimeMs: milliseconds,
  mode: count,
  links: count,
  etag: text(128).optional(),
});
const entry = z.strictObject({ name: text(255), attributes });
const attributeChange = z.strictObject({
  size: count.optional(),
  mode: count.optional(),
  mtimeMs: milliseconds.optional(),
  atimeMs: milliseconds.optional(),
});
const openMode = z.strictObject({
  read: z.boolean(),
  write: z.boolean(),
  create: z.enum(['never', 'if-missing', 'exclusive']),
  truncate: z.boolean(),
  append: z.boolean(),
});
/** What the client said of it, word for word; main only keeps it. */
const uploadMetadata = z
  .string()
  .max(uploadMetadataCharactersMax)
  .regex(/^[\u0020-\u007e]*$/);
const upload = z.strictObject({
  /** Names it in every session of its user, until it is a file. */
  upload: uploadName,
  path,
  lengthBytes: count,
  /** Bytes main's disk has. */
  storedBytes: count,
  mtimeMs: milliseconds.optional(),
  overwrite: z.boolean(),
  expiresAtMs: milliseconds,
  /** Only where one upload is asked for. */
  metadata: uploadMetadata.optional(),
});
const binEntry = z.strictObject({
  /** Names it in its user's bin. */
  id: binId,
  /** Where it was. */
  path,
  type: z.enum(['file', 'folder']),
  /** Of a folder absent until all that is in it is added up. */
  bytes: count.optional(),
  deletedAtMs: milliseconds,
  by: text(255),
  reason: z.enum(['deleted', 'replaced']),
  expiresAtMs: milliseconds,
});
/** Not into the bin: whoever asks wants the room. */
const forGood = z.literal(true).optional();
/** Where a file or folder went that was removed or replaced; absent: it was not kept. */
const binned = binId.optional();
/** How many entries, and the first of them, safe to look at. */
const unserved = z.strictObject({ count, names: z.array(text(2048)).max(20) });
const tags = z.union([z.literal('*'), z.array(text(128)).max(32)]);
const precondition = z.strictObject({ ifMatch: tags.optional(), ifNoneMatch: tags.optional() });
const handle = count;
const session = id;
/** Counts up within a session: main answers a re-sent mutation from its record instead of doing it twice. */
const op = count;

const firstFactor = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('password'), password: text(1024) }),
  z.strictObject({
    type: z.literal('publickey'),
    /** The exact octets that were signed (RFC 4252 §7), base64url. Main parses them itself. */
    signed: base64url(16_384),
    /** The raw signature field: string algorithm, string blob. */
    signature: base64url(4_096),
  }),
]);

/** Kinds of code, by shape. */
const codeShape = z.enum(['digits6', 'digits8', 'alphanumeric', 'recovery', 'bypass']);

/** What the client is asked, if it is asked. */
const asked = z.strictObject({
  method: z.enum(['totp', 'email', 'sms']),
  /** Masked address, or empty. */
  hint: text(128),
  recovery: z.boolean(),
  attemptsLeft: count,
  /** When the next send is possible; only for delivered codes. */
  resendInMs: milliseconds.optional(),
  /** When the code that lives was sent, if it was; only for delivered codes. */
  sentAgoMs: milliseconds.optional(),
  /** Shapes that may be an answer; anything else the DMZ refuses without asking main. */
  shapes: z.array(codeShape).max(8),
  /** Length of a delivered code, where one may be the answer. */
  deliveredLength: count.optional(),
  /**
   * Asked of everybody alike: whether the first factor was right is told with the end. The answer travels whatever it
   * is, empty where it has none of the shapes, and the assertion's method is `sealed`.
   */
  sealed: z.literal(true).optional(),
  /** The client may ask to be remembered with its answer. */
  rememberDevice: z.literal(true).optional(),
});

/** The state of one login after a right first factor, or after any if it is sealed. */
const challenge = z.strictObject({
  challenge: id,
  nonce: id,
  expiresInMs: milliseconds,
  username: text(255),
  /**
   * `admit`: send an assertion without a code, method as in `admitAs` · `code`: ask for one · `setup`: send an
   * assertion without a code, the session will be confined to set-up · `instruct`: cannot go on here, tell the client
   * to set up two-factor authentication on the web, then refuse.
   */
  next: z.enum(['admit', 'code', 'setup', 'instruct']),
  admitAs: z.enum(['none', 'lease', 'device', 'trusted-network']).optional(),
  asked: asked.optional(),
});

const sessionViewSchema = z.strictObject({
  session: id,
  username: text(255),
  displayName: text(255),
  state: z.enum(['signed-in', 'setup-required']),
  protocol,
  method: z.enum([
    'totp',
    'email',
    'sms',
    'recovery',
    'bypass',
    'none',
    'lease',
    'device',
    'trusted-network',
  ]),
  idleMs: milliseconds,
  /** What is left of the hard limit. */
  leftMs: milliseconds,
  /** Extra line for the user, such as a reminder that two-factor becomes required. */
  notice: text(1024).optional(),
});

const assertion = {
  assertion: text(4096),
  /** Beside the assertion, never in it: main checks the commitment, then the code. */
  code: text(64).optional(),
  salt: base64url(32).optional(),
};

const again = z.strictObject({
  outcome: z.literal('again'),
  reason: againReason,
  attemptsLeft: count,
  driftSeconds: z.number().optional(),
  /** Of the audit record; what the user reads out. */
  reference: text(32).optional(),
});

const accountView = z.strictObject({
  username: text(255),
  displayName: text(255),
  state: z.enum(['signed-in', 'setup-required']),
  twoFactor: z.strictObject({
    enrolled: z.boolean(),
    requiredOn: z.array(protocol),
    registration: z.boolean(),
    /** This session may set up an authenticator now, or replace the present one. */
    maySetUp: z.boolean(),
    recoveryCodesLeft: count,
    requiredFrom: text(64).optional(),
  }),
  may: z.strictObject({ password: z.boolean(), sshKeys: z.boolean() }),
  /** What the user may do where; the longest path above a place counts. Nothing of where that lies on a disk. */
  mounts: z
    .array(
      z.strictObject({
        path,
        allow: z.array(text(16)).max(16),
        /** How long the bin keeps what is deleted there over this protocol; absent: it does not. */
        binMs: milliseconds.optional(),
      }),
    )
    .max(mountsToldMax),
  quota: z.strictObject({ usedBytes: count, limitBytes: count.optional() }),
  session: z.strictObject({
    startedAt: text(40),
    method: text(32),
    idleMs: milliseconds,
    leftMs: milliseconds,
  }),
});

/** What a user may change about their own account; each needs a step-up. */
const accountChangeSchema = z.discriminatedUnion('kind', [
  /** The new one. */
  z.strictObject({ kind: z.literal('password'), value: text(1024) }),
  /** A line as in `id_ed25519.pub`. */
  z.strictObject({ kind: z.literal('add-ssh-key'), value: text(8192) }),
  /** Id of the key. */
  z.strictObject({ kind: z.literal('remove-ssh-key'), value: id }),
  z.strictObject({ kind: z.literal('recovery-codes') }),
]);

/** A user's own key as its user may see it: never the key itself (S-02). */
const ownSshKey = z.strictObject({
  id,
  type: text(64),
  fingerprint: text(64),
  comment: text(8192),
  /** False: the administrator gave it, and only the administrator takes it away. */
  removable: z.boolean(),
  /** Where and when the user added it, if the user did. */
  added: z.strictObject({ atMs: milliseconds, node: text(64) }).optional(),
});
const ownSession = z.strictObject({
  id,
  current: z.boolean(),
  node: text(64),
  protocol,
  method: text(32),
  clientIp: text(45),
  startedAtMs: milliseconds,
  /** Absent: opened before it was kept. */
  agent: text(255).optional(),
});
const ownLease = z.strictObject({
  id,
  node: text(64),
  protocol,
  clientIp: text(45),
  agent: text(255),
  startedAtMs: milliseconds,
  usedAtMs: milliseconds,
  expiresAtMs: milliseconds,
});
const ownDevice = z.strictObject({
  id,
  node: text(64),
  startedAtMs: milliseconds,
  usedAtMs: milliseconds,
  expiresAtMs: milliseconds,
  agent: text(255).optional(),
});

const usage = z.strictObject({ freeBytes: count, totalBytes: count, freeFiles: count, totalFiles: count });

/** How keys of an SSH connection are exchanged. */
export const exchangeMethods = [
  'mlkem768x25519-sha256',
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
] as const;
/** Octets in base64url, at most so many. */
const octets = (max: number) => base64url(Math.ceil((max * 4) / 3));
/** An RSA key of 16,384 bits takes 2 KiB, its signature the same. */
const hostKeyBlob = octets(4 * 1024);
const hostKeySignature = octets(4 * 1024);
/** Of a node's SFTP at once: those that sign, the next one, and some that are going. */
export const hostKeysMax = 8;
/**
 * All that is hashed in a key exchange (RFC 4253 §8), so that main hashes it itself: what it signs is an exchange of this
 * server and nothing else. RFC 4253 §4.2, §6.1: a version line has 255 characters, a packet 35,000 bytes; an ML-KEM share
 * has 1,216.
 */
const sshExchange = z.strictObject({
  method: z.enum(exchangeMethods),
  clientVersion: octets(255),
  serverVersion: octets(255),
  clientKexInit: octets(35_000),
  serverKexInit: octets(35_000),
  hostKey: hostKeyBlob,
  clientShare: octets(2048),
  serverShare: octets(2048),
  secret: octets(128),
});
export type SshExchange = z.output<typeof sshExchange>;
/** What the SFTP door calls itself. No version: it helps only who looks for a known hole. */
export const sshServerVersion = 'SSH-2.0-Sallyport';

/** Requests the DMZ may send, in groups by what they need. */
export const requestSchemas = {
  // — of the node itself —
  /** Sign this SSH key exchange with a host key that main has for this node. */
  'hostkey.sign': {
    params: z.strictObject({
      algorithm: z.enum(signatureAlgorithms),
      /** The connection's first, whose hash is its session id; else new keys for one that has some. */
      isFirst: z.boolean(),
      exchange: sshExchange,
    }),
    /** string algorithm, string value */
    result: z.strictObject({ signature: hostKeySignature }),
  },
  /** Prove to a client that main has these keys (OpenSSH PROTOCOL §2.5). */
  'hostkey.prove': {
    params: z.strictObject({
      sessionId: octets(64),
      keys: z.array(hostKeyBlob).min(1).max(hostKeysMax),
      rsaAlgorithm: z.enum(['rsa-sha2-512', 'rsa-sha2-256']),
    }),
    result: z.strictObject({ signatures: z.array(hostKeySignature).max(hostKeysMax) }),
  },
  // — no session —
  /** Would this key be looked at? Same work for every name; never a failed login. */
  'login.probe': {
    params: z.strictObject({ user: text(255), key: base64url(4_096), client: clientAddressSchema }),
    result: z.strictObject({ acceptable: z.boolean() }),
  },
  /** A first factor. Right: a challenge. Else error `refused`. */
  'login.begin': {
    params: z.strictObject({
      user: text(255),
      protocol,
      listener: text(64),
      client: clientAddressSchema,
      factor: firstFactor,
      /** The remember-device cookie, if the browser showed one. */
      device: base64url(128).optional(),
    }),
    result: challenge,
  },
  /** The same challenge again, for a worker that did not begin it. */
  'login.resume': {
    params: z.strictObject({ challenge: id, client: clientAddressSchema }),
    result: challenge,
  },
  /** The signed end of every login (two-factor: with the code beside it). */
  'login.assert': {
    params: z.strictObject({ challenge: id, ...assertion, rememberDevice: z.boolean().optional() }),
    result: z.discriminatedUnion('outcome', [
      z.strictObject({
        outcome: z.literal('admitted'),
        view: sessionViewSchema,
        /** New remember-device cookie value and its life. */
        device: z.strictObject({ value: base64url(128), maxAgeMs: milliseconds }).optional(),
      }),
      again,
    ]),
  },
  'login.resend': {
    params: z.strictObject({ challenge: id }),
    result: z.strictObject({ resendInMs: milliseconds }),
  },
  'login.cancel': { params: z.strictObject({ challenge: id }), result: empty },
  /** A password by a mailed link; it opens nothing. Else error `refused`, whatever is wrong with it, or `too-weak`. */
  'login.set-password': {
    params: z.strictObject({ token: base64url(64), password: text(1024), client: clientAddressSchema }),
    result: z.strictObject({ username: text(255) }),
  },

  // — any session, confined ones included —
  'session.attach': {
    params: z.strictObject({ session, client: clientAddressSchema }),
    result: sessionViewSchema,
  },
  'session.end': { params: z.strictObject({ session }), result: empty },
  'account.view': { params: z.strictObject({ session }), result: accountView },
  'enrol.start': {
    /** `ticket`: the administrator's one-time code, where the first set-up needs one. */
    params: z.strictObject({ session, ticket: text(64).optional() }),
    result: z.strictObject({
      secret: text(64),
      otpauthUri: text(1024),
      /** data:image/png;base64,… */
      qr: text(65_536),
      expiresInMs: milliseconds,
    }),
  },
  /** From here the QR is hidden; `challenge` and `nonce` are for the assertion that proves it. */
  'enrol.confirm': {
    params: z.strictObject({ session }),
    result: z.strictObject({ proveWithinMs: milliseconds, challenge: id, nonce: id }),
  },
  /** A confirmed set-up's challenge again, for a worker that did not confirm it; rejects `setup-not-confirmed`. */
  'enrol.resume': {
    params: z.strictObject({ session }),
    result: z.strictObject({ proveWithinMs: milliseconds, challenge: id, nonce: id }),
  },
  'enrol.prove': {
    params: z.strictObject({ session, ...assertion }),
    result: z.discriminatedUnion('outcome', [
      z.strictObject({
        outcome: z.literal('enrolled'),
        recoveryCodes: z.array(text(32)).max(32),
        requiredOn: z.array(protocol),
        /** The session goes on under a new id; the old one is dead. */
        view: sessionViewSchema,
      }),
      again,
    ]),
  },

  // — full sessions of the web only: the user's own account —
  'account.sessions': {
    params: z.strictObject({ session }),
    result: z.strictObject({ sessions: z.array(ownSession).max(1000) }),
  },
  'account.leases': {
    params: z.strictObject({ session }),
    result: z.strictObject({ leases: z.array(ownLease).max(1000) }),
  },
  'account.devices': {
    params: z.strictObject({ session }),
    result: z.strictObject({ devices: z.array(ownDevice).max(64) }),
  },
  'account.ssh-keys': {
    params: z.strictObject({ session }),
    result: z.strictObject({ sshKeys: z.array(ownSshKey).max(64) }),
  },
  /** Ends one of the user's own; rejects `not-found`. */
  'account.end': {
    params: z.strictObject({ session, what: z.enum(['session', 'lease', 'device']), id }),
    result: empty,
  },
  /** Opens a step-up: what its assertion must name, and which codes it takes (none: the password alone). */
  'account.step-up': {
    params: z.strictObject({ session, purpose: z.enum(['password', 'ssh-key', 'recovery-codes']) }),
    result: z.strictObject({ challenge: id, nonce: id, shapes: z.array(codeShape).max(8) }),
  },
  /** One change with everything that proves its user wants it. Done at most once, and durable when answered. */
  'account.change': {
    params: z.strictObject({
      session,
      change: accountChangeSchema,
      changeSalt: base64url(32),
      /** The present password. */
      current: text(1024),
      ...assertion,
    }),
    result: z.discriminatedUnion('outcome', [
      z.strictObject({
        outcome: z.literal('changed'),
        /** The session goes on under a new id; the old one is dead. */
        view: sessionViewSchema,
        recoveryCodes: z.array(text(32)).max(32).optional(),
        sshKey: ownSshKey.optional(),
      }),
      again.extend({ reason: z.enum([...againReason.options, 'wrong-password']) }),
    ]),
  },

  // — full sessions only: files —
  'fs.list': {
    params: z.strictObject({
      session,
      path,
      cursor: text(1024).optional(),
      limit: z.number().int().min(1).max(1000),
      sort: z.enum(['name', '-name', 'size', '-size', 'mtime', '-mtime']),
    }),
    result: z.strictObject({
      entries: z.array(entry).max(1000),
      next: text(1024).optional(),
      /** With the first page, where something lies in the folder that is not served: the first names, escaped. */
      unserved: unserved.optional(),
    }),
  },
  /** What is not served in a folder and in all below it, as far as was looked at: names with their folders. */
  'fs.survey': {
    params: z.strictObject({ session, path }),
    result: z.strictObject({ looked: count, isComplete: z.boolean(), unserved }),
  },
  'fs.stat': { params: z.strictObject({ session, path, followLinks: z.boolean() }), result: attributes },
  'fs.usage': { params: z.strictObject({ session, path }), result: usage },
  'fs.open-folder': { params: z.strictObject({ session, path }), result: z.strictObject({ handle }) },
  /**
   * Unsorted, in pages from 0 on, until `end`. The page that was given last is given again to who asks for it again: the
   * answer may have been lost with its link.
   */
  'fs.read-folder': {
    params: z.strictObject({ session, handle, page: count }),
    result: z.strictObject({ entries: z.array(entry).max(1000), end: z.boolean() }),
  },
  'fs.open': {
    params: z.strictObject({
      session,
      op,
      path,
      mode: openMode,
      attributes: attributeChange.optional(),
      /** Opened to be read, a file no longer than that may come with the answer; `file.changing` ends what it is good for. */
      contentUpTo: count.max(toldContentBytesMax).optional(),
    }),
    result: z.strictObject({
      handle,
      attributes,
      created: z.boolean(),
      /** The whole file. */
      content: content.optional(),
      /** Opened to be written, so many bytes may come by `fs.write`. */
      writeUpTo: count.max(toldContentBytesMax).optional(),
    }),
  },
  /** Answered when main's kernel has the bytes, as credit of a stream is given. `busy`: they are to come by one. */
  'fs.write': { params: z.strictObject({ session, op, handle, offset: count, content }), result: empty },
  'fs.stat-handle': {
    params: z.strictObject({ session, handle }),
    // Of a handle that appends: which of the bytes that were sent for it have landed.
    result: attributes.extend({ appendedBytes: count.optional() }),
  },
  'fs.change-handle': {
    params: z.strictObject({ session, op, handle, change: attributeChange }),
    result: empty,
  },
  'fs.sync': { params: z.strictObject({ session, handle }), result: empty },
  /** For SFTP copy-data; lengthBytes 0 = to the end. */
  'fs.copy-range': {
    params: z.strictObject({
      session,
      op,
      from: handle,
      fromOffset: count,
      lengthBytes: count,
      to: handle,
      toOffset: count,
    }),
    result: z.strictObject({ copiedBytes: count }),
  },
  /** Ends a handle well: an upload becomes visible here and nowhere else. */
  'fs.commit': {
    params: z.strictObject({
      session,
      op,
      handle,
      precondition: precondition.optional(),
      mtimeMs: milliseconds.optional(),
    }),
    result: z.strictObject({ attributes, created: z.boolean(), sha256: text(64).optional(), binned }),
  },
  /** Ends a handle without effect; `keepPartial` leaves a resumable upload. */
  'fs.release': {
    params: z.strictObject({
      session,
      handle,
      keepPartial: z.boolean(),
      /** Of what was read: how much the client's connection has taken, and up to where in the file. */
      taken: z.strictObject({ bytes: count, end: count }).optional(),
      /** The client did not end it: its connection went away, or its body broke off. */
      cut: z.boolean().optional(),
    }),
    result: empty,
  },
  /** An upload that any later session of the same user may take up where it broke off. Nothing is open afterwards. */
  'fs.create-upload': {
    params: z.strictObject({
      session,
      op,
      path,
      lengthBytes: count,
      mtimeMs: milliseconds.optional(),
      overwrite: z.boolean(),
      metadata: uploadMetadata.optional(),
    }),
    result: upload,
  },
  /** Also finds one that became a file minutes ago: all its bytes are stored. */
  'fs.find-upload': { params: z.strictObject({ session, upload: uploadName }), result: upload },
  'fs.list-uploads': {
    params: z.strictObject({ session }),
    result: z.strictObject({ uploads: z.array(upload).max(uploadsMax) }),
  },
  /** Takes it from whoever else has it open: a client that comes back is the one that counts. Ends with `fs.commit`. */
  'fs.open-upload': {
    params: z.strictObject({ session, op, upload: uploadName }),
    result: z.strictObject({ handle, attributes, upload }),
  },
  /** Of one that became a file minutes ago only the name is forgotten; the file stays. */
  'fs.remove-upload': { params: z.strictObject({ session, op, upload: uploadName }), result: empty },
  'fs.make-folder': {
    params: z.strictObject({ session, op, path, mode: count.optional() }),
    result: empty,
  },
  'fs.remove-file': {
    params: z.strictObject({ session, op, path, precondition: precondition.optional(), forGood }),
    result: z.strictObject({ binned }),
  },
  'fs.remove-folder': {
    params: z.strictObject({ session, op, path, recursive: z.boolean(), forGood }),
    result: z.strictObject({ binned }),
  },
  /** What the user removed or replaced and can have back, newest first. `keptBytes`, `keptEntries`: of all there is. */
  'fs.list-bin': {
    params: z.strictObject({
      session,
      cursor: text(64).optional(),
      limit: z.number().int().min(1).max(1000),
    }),
    result: z.strictObject({
      entries: z.array(binEntry).max(1000),
      next: text(64).optional(),
      keptBytes: count,
      keptEntries: count,
    }),
  },
  /** To where it was, or beside what is there now. Rejects `exists`. */
  'fs.restore-binned': {
    params: z.strictObject({ session, op, id: binId, keepBoth: z.boolean() }),
    result: z.strictObject({ path }),
  },
  /** Without `ids` everything. */
  'fs.empty-bin': {
    params: z.strictObject({ session, op, ids: z.array(binId).max(binIdsMax).optional() }),
    result: z.strictObject({ dropped: count }),
  },
  'fs.rename': {
    params: z.strictObject({ session, op, from: path, to: path, overwrite: z.boolean() }),
    result: z.strictObject({ replaced: z.boolean(), binned }),
  },
  'fs.copy': {
    params: z.strictObject({ session, op, from: path, to: path, overwrite: z.boolean() }),
    result: z.strictObject({ replaced: z.boolean(), binned }),
  },
  'fs.change': {
    params: z.strictObject({ session, op, path, change: attributeChange, followLinks: z.boolean() }),
    result: empty,
  },
  'fs.read-link': {
    params: z.strictObject({ session, path }),
    result: z.strictObject({ target: text(4096) }),
  },
  'fs.hash': {
    params: z.strictObject({ session, path, algorithm: z.enum(['sha256']) }),
    result: z.strictObject({ hex: text(128) }),
  },
} as const;

export type Verb = keyof typeof requestSchemas;
export type Params<V extends Verb> = z.output<(typeof requestSchemas)[V]['params']>;
export type Result<V extends Verb> = z.output<(typeof requestSchemas)[V]['result']>;

export type ChallengeView = z.output<typeof challenge>;
export type SessionView = z.output<typeof sessionViewSchema>;
export type AccountView = z.output<typeof accountView>;
export type BinEntry = z.output<typeof binEntry>;
export type UploadView = z.output<typeof upload>;
export type AccountChange = z.output<typeof accountChangeSchema>;
export type OwnSshKey = z.output<typeof ownSshKey>;
export type ClientAddress = z.output<typeof clientAddressSchema>;
export type FirstFactorEvidence = z.output<typeof firstFactor>;

/** First message each way on a control link. */
/** A main that shows the same key as another one: where it is connected from, and since when by the node's clock. */
const otherMain = z.strictObject({ from: text(64), sinceMs: milliseconds });
export type OtherMain = z.output<typeof otherMain>;

/** A head of the audit, signed by the process of main that told it (main-agent/restored/starts.ts). */
const auditHead = z.strictObject({
  start: count,
  boot: id,
  sequence: count,
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/),
});

export const helloSchema = z.strictObject({
  /** Wire versions this end speaks, lowest and highest. */
  versions: z.tuple([count, count]),
  name: text(64),
  software: text(64),
  /** Random at process start; part of every challenge's identity. */
  boot: id,
  nowMs: milliseconds,
  /** DMZ only: which worker this is, and the port of each. */
  worker: count.optional(),
  workerPorts: z.array(z.number().int().min(1).max(65535)).max(64).optional(),
  /** The node's own master switch for second factors. */
  validatedLogins: z.boolean(),
  /** DMZ only: SHA-256 of its configuration, so that two nodes can be compared. */
  configHash: text(64).optional(),
  /** DMZ only: it has no SSH host keys of its own. Absent: it has, or says nothing of it. */
  wantsHostKeys: z.boolean().optional(),
  /** DMZ only: it has no certificate of its own for its HTTPS door. Absent: it is not sent main's, nor the key of that. */
  wantsCertificate: z.boolean().optional(),
  /** DMZ only: another main with this key holds the link; the one that is told this is turned away. */
  otherMain: otherMain.optional(),
  /** DMZ only: the newest head that its process was ever told. */
  auditHead: auditHead.optional(),
});
export type Hello = z.output<typeof helloSchema>;

const colour = z.string().regex(/^#[0-9a-f]{6}$/);
const logoContent = z
  .string()
  .max(Math.ceil(logoBytesMax / 3) * 4)
  .regex(/^[A-Za-z0-9+/]+={0,2}$/);

/** What main tells its nodes; kept in memory only. */
const policySchema = z.strictObject({
  validatedLogins: z.boolean(),
  branding: z.strictObject({
    name: brandName,
    banner: banner.optional(),
    /** For the light and the dark theme. */
    accent: z.strictObject({ light: colour, dark: colour }).optional(),
    logo: z.strictObject({ type: z.enum(['svg', 'png']), content: logoContent }).optional(),
    help: z.strictObject({ text: helpText, link: helpLink.optional() }).optional(),
  }),
  neverBan: z.array(text(64)).max(256),
  bans: z.array(z.strictObject({ address: text(64), untilMs: milliseconds, reason: text(128) })).max(10_000),
  /** Bans of its own that a node lifts, each once. */
  lifted: z
    .array(z.strictObject({ id: text(32), address: text(64) }))
    .max(256)
    .optional(),
});
export type Policy = z.output<typeof policySchema>;

/** What an admin asks of the doors about an address; of one door where the protocol is named. */
const doorQuestion = z.strictObject({
  ip: address,
  protocol: protocol.optional(),
  user: printable.optional(),
});

/** All that a door may have to say of an address. */
export const doorFindings = [
  'never-ban',
  'known-source',
  'banned-failures',
  'banned-malformed',
  'banned-policy',
  'failed-logins',
  'breaches',
  'login-pace',
  'passwords-throttled',
  'connections',
  'unauthenticated',
  'awaiting-code',
  'stage-full',
  'door-full',
  'session-questions',
] as const;

const doorFinding = z.strictObject({
  what: z.enum(doorFindings),
  /** Of one door; absent: of both. */
  protocol: protocol.optional(),
  /** A network, a stage or a user that it is counted by. */
  of: printable.optional(),
  count: count.optional(),
  max: count.optional(),
  /** When it ends by itself at the latest. */
  untilMs: milliseconds.optional(),
  /** It shuts out, holds up or drops somebody from there now. */
  acts: z.boolean(),
});
export type DoorFinding = z.output<typeof doorFinding>;
export type DoorQuestion = z.output<typeof doorQuestion>;

/** Answers of one order are proven one after the other; main sends a list because it replaces the one before. */
const challengesMax = 8;
/** RFC 8555 §8.1: a token, a dot and the thumbprint of a key. */
const challengeToken = z.string().regex(/^[A-Za-z0-9_-]{22,256}$/);
const keyAuthorization = z.string().regex(/^[A-Za-z0-9_-]{22,256}\.[A-Za-z0-9_-]{43}$/);

/** What a node says of itself: sentences for people, cut by who sends them. */
const said = text(healthCharactersMax).regex(/^\P{C}*$/u);

/** Sessions are named by `sessionKey(id)` in events, never by id. */
export const eventSchemas = {
  /** main → DMZ */
  policy: policySchema,
  'session.ended': z.strictObject({ sessionKey: id, reason: text(128) }),
  /** main → DMZ, before the change: the content that was told with this handle is not to be read from any more. */
  'file.changing': z.strictObject({ handle }),
  /** DMZ → main: may a data lane join this link? Single use, 10 s. */
  'lane.grant': z.strictObject({ token: id }),
  /** main → DMZ: the head of the audit chain; the node remembers the newest, and answers with it. */
  'audit.head': auditHead,
  /** main → DMZ: how does this address stand at the doors? Answered once, under the same id. */
  'door.asked': z.strictObject({ id, question: doorQuestion }),
  /** DMZ → main */
  'door.standing': z.strictObject({ id, findings: z.array(doorFinding).max(128) }),
  /** DMZ → main: the newest head this process was told. */
  'audit.known': auditHead,
  /** main → DMZ: what port 80 answers a certificate authority, in place of what was told before. */
  'acme.challenges': z.strictObject({
    number: count,
    answers: z.array(z.strictObject({ token: challengeToken, keyAuthorization })).max(challengesMax),
  }),
  /** DMZ → main: that list is what it answers now. */
  'acme.shown': z.strictObject({ number: count }),
  /** main → DMZ: certificate and key (PKCS #8) of the HTTPS door, in PEM; the node keeps them in memory. */
  'https.certificate': z.strictObject({ certificatePem: text(64 * 1024), keyPem: text(8 * 1024) }),
  /** main → DMZ: the SSH host keys that main has for it, public halves, the preferred first; in place of those before. */
  hostkeys: z.strictObject({
    keys: z.array(z.strictObject({ type: text(32), blob: hostKeyBlob, signs: z.boolean() })).max(hostKeysMax),
  }),
  /** main → DMZ: all edge events of that boot up to this one are in the audit. */
  'edge.taken': z.strictObject({ boot: id, sequence: count }),
  /** DMZ → main: another main with this key wanted the link and was turned away. */
  'main.turned-away': otherMain,
  /** DMZ → main: what of itself the node finds wrong, when it changes; empty: nothing. */
  'node.health': z.strictObject({
    findings: z
      .array(
        z.strictObject({
          check: text(64).regex(/^[a-z0-9-]+$/),
          state: z.enum(['warning', 'bad']),
          detail: said,
          /** Of nodes before 2026-11-30; not shown. */
          hint: said.optional(),
        }),
      )
      .max(healthFindingsMax),
  }),
  /** DMZ → main: refusals at the edge, bans, listener state; numbered per node boot so that a gap shows. */
  'edge.event': z.strictObject({
    boot: id,
    sequence: count.min(1),
    kind: z.enum(['refused', 'banned', 'listener', 'protocol-abuse', 'limit', 'fault']),
    atMs: milliseconds,
    clientIp: address.optional(),
    protocol: protocol.optional(),
    detail: text(512),
    /** Of kind `fault`: what a client was shown with a status of 500. */
    reference: z
      .string()
      .regex(/^[2-9A-HJ-NP-Z]{8}$/)
      .optional(),
    /** Ed25519 by the node's signing key (edge-event.ts). */
    signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/),
    /** Of kind `banned`: the source as the node counts it, an address or a /64. */
    ban: z
      .strictObject({
        source: text(64),
        cause: z.enum(['failures', 'malformed']),
        forMs: milliseconds,
      })
      .optional(),
  }),
} as const;
export type EventName = keyof typeof eventSchemas;
export type EventBody<E extends EventName> = z.output<(typeof eventSchemas)[E]>;

/** Payload of an OPEN frame on a data lane: which bytes the stream carries. The DMZ opens every stream. */
export const streamHeaderSchema = z.discriminatedUnion('kind', [
  /** main → DMZ bytes: `lengthBytes` from `offset`, or to the end. A shorter file ends the stream early. */
  z.strictObject({ kind: z.literal('read'), session, handle, offset: count, lengthBytes: count.optional() }),
  /** DMZ → main bytes from `offset` (ignored by handles opened for append). Credit = bytes the kernel has. */
  z.strictObject({ kind: z.literal('write'), session, handle, offset: count }),
]);
export type StreamHeader = z.output<typeof streamHeaderSchema>;
