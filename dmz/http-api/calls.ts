import { z } from 'zod';
import * as account from './account.ts';
import * as files from './files.ts';
import { binPageEntriesMax, cursorCharactersMax, listingLimitMax } from './limits.ts';
import * as signIn from './sign-in.ts';

/**
 * Every call of the public HTTP API: who may make it, what it takes and what a good answer is. The server's routes, the
 * web client's types, the tests and `/api/openapi.json` are held against this table (D-106).
 */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  /** `{path}` takes slashes too. */
  readonly path: string;
  /** Anybody, a half session, one that has to set up its second factor, or a full one; a later one may do it too. */
  readonly access: 'public' | 'half' | 'setup' | 'full';
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  /** JSON; its schema takes `undefined` where there may be none. */
  readonly body?: z.ZodType;
  /** Content type of a body of bytes. */
  readonly bytes?: string;
  readonly answers: readonly Answer[];
  /** Statuses of problems that say something of this call alone. */
  readonly refusals?: Readonly<Record<number, string>>;
}

interface Parameter {
  readonly in: 'query' | 'header';
  readonly name: string;
  readonly means: string;
  readonly schema: z.ZodType;
  readonly required?: true;
}

interface Answer {
  readonly status: 200 | 201 | 204 | 206 | 304;
  readonly means: string;
  /** JSON. */
  readonly body?: z.ZodType;
  /** Content type of a body of bytes. */
  readonly bytes?: string;
  /** What it says by its headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

const text = z.string();
const flag = z.literal('1');
const done: Answer = { status: 204, means: 'Done' };
const binned = { 'Sallyport-Bin': 'Id in the bin of what was deleted or replaced; absent: it is gone.' };

function query(name: string, schema: z.ZodType, means: string): Parameter {
  return { in: 'query', name, means, schema };
}
function header(name: string, means: string, required?: true): Parameter {
  return { in: 'header', name, means, schema: text, ...(required === undefined ? {} : { required }) };
}

const codeHeader = header('Sallyport-Code', 'A new code, from who is enrolled.');
const passwordHeader = header('Sallyport-Password', 'The password again, percent-encoded UTF-8.', true);
const stepUpRefusals = {
  401: 'wrong-password, code-required, wrong-code, used-code or clock-drift: the session goes on.',
};
const tusVersion = header('Tus-Resumable', '1.0.0');
const tusOffset = { 'Upload-Offset': 'Bytes that are stored.', 'Upload-Expires': 'HTTP date.' };
const cursor = query('cursor', text.max(cursorCharactersMax), '`next` of the page before.');
const conditions = [
  header('If-Match', 'Only the version with that entity tag.'),
  header('If-None-Match', '`*`: only where there is none. Of a GET: 304 for a version the client has.'),
];
const conditionFails = { 412: 'The condition does not hold.' };

export const calls: readonly Call[] = [
  {
    method: 'GET',
    path: '/api/openapi.json',
    access: 'public',
    summary: 'This document.',
    answers: [{ status: 200, means: 'OpenAPI 3.1', body: z.looseObject({ openapi: text }) }],
  },

  {
    method: 'POST',
    path: '/api/login',
    access: 'public',
    summary: 'The first factor. Each step of a sign-in gives a new cookie; the one before it is dead.',
    body: signIn.login,
    answers: [{ status: 200, means: 'Right; `state` says what is next.', body: signIn.loginAnswer }],
    refusals: { 401: 'refused: one word for every reason.', 429: 'Too many tries.' },
  },
  {
    method: 'GET',
    path: '/api/login/code',
    access: 'half',
    summary: 'What is asked, for a page that was loaded again between the steps.',
    answers: [{ status: 200, means: 'A code is asked for.', body: signIn.pendingCode }],
  },
  {
    method: 'POST',
    path: '/api/login/code',
    access: 'half',
    summary: 'The second factor.',
    body: signIn.codeEntry,
    answers: [{ status: 200, means: 'Right.', body: signIn.codeAnswer }],
    refusals: {
      401: 'wrong-code, used-code or clock-drift, with attempts_left: try again. refused: sign in again.',
    },
  },
  {
    method: 'POST',
    path: '/api/login/resend',
    access: 'half',
    summary: 'Another code by mail or SMS.',
    answers: [{ status: 204, means: 'Sent.' }],
    refusals: { 429: 'Not yet.' },
  },
  {
    method: 'POST',
    path: '/api/logout',
    access: 'half',
    summary: 'Ends the session, or the sign-in that is under way.',
    answers: [done],
  },

  {
    method: 'POST',
    path: '/api/password/set',
    access: 'public',
    summary: 'Sets a password by a mailed link. It opens no session.',
    body: signIn.linkedPassword,
    answers: [{ status: 200, means: 'Set; the link is spent.', body: signIn.passwordSet }],
    refusals: {
      401: 'dead-link: one word for every reason.',
      422: 'weak-password: the link is still good.',
      429: 'Too many tries.',
    },
  },

  {
    method: 'GET',
    path: '/api/me',
    access: 'setup',
    summary: 'Who is signed in, and what they may do.',
    answers: [{ status: 200, means: 'The account.', body: account.account }],
  },
  {
    method: 'GET',
    path: '/api/two-factor/setup',
    access: 'setup',
    summary: 'How far a set-up of this session is.',
    answers: [{ status: 200, means: 'So far.', body: signIn.setupProgress }],
  },
  {
    method: 'POST',
    path: '/api/two-factor/setup',
    access: 'setup',
    summary: 'Shows a new secret. The one before it is void.',
    body: signIn.setupStart.optional(),
    answers: [{ status: 201, means: 'The secret, once.', body: signIn.setup }],
    refusals: { 403: 'Not enabled, or a ticket is needed.', 409: 'There is a second factor already.' },
  },
  {
    method: 'POST',
    path: '/api/two-factor/setup/confirm',
    access: 'setup',
    summary: 'The secret is in the app and need not be shown any more.',
    answers: [{ status: 200, means: 'Now prove it.', body: signIn.setupConfirmed }],
    refusals: { 410: 'It was shown for too long; start again.' },
  },
  {
    method: 'POST',
    path: '/api/two-factor/setup/prove',
    access: 'setup',
    summary: 'A first code. The session becomes a full one.',
    body: signIn.setupProof,
    answers: [{ status: 200, means: 'Enrolled.', body: signIn.enrolled }],
    refusals: { 401: 'wrong-code: up to five times.', 409: 'Not confirmed yet.', 410: 'Too late.' },
  },

  {
    method: 'POST',
    path: '/api/two-factor/recovery-codes',
    access: 'full',
    summary: 'New recovery codes; the old ones are void.',
    parameters: [codeHeader],
    body: account.stepUp,
    answers: [{ status: 200, means: 'Shown once.', body: account.recoveryCodes }],
    refusals: stepUpRefusals,
  },
  {
    method: 'POST',
    path: '/api/me/password',
    access: 'full',
    summary: 'Another password.',
    parameters: [codeHeader],
    body: account.passwordChange,
    answers: [done],
    refusals: { ...stepUpRefusals, 422: 'weak-password.' },
  },
  {
    method: 'GET',
    path: '/api/me/ssh-keys',
    access: 'full',
    summary: 'SSH keys one may sign in with.',
    answers: [{ status: 200, means: 'All of them.', body: account.ownSshKeys }],
  },
  {
    method: 'POST',
    path: '/api/me/ssh-keys',
    access: 'full',
    summary: 'Another SSH key.',
    parameters: [codeHeader],
    body: account.newSshKey,
    answers: [{ status: 201, means: 'Added.', body: account.ownSshKey }],
    refusals: { ...stepUpRefusals, 409: 'It is there already.', 422: 'weak-key.' },
  },
  {
    method: 'DELETE',
    path: '/api/me/ssh-keys/{id}',
    access: 'full',
    summary: 'Removes an SSH key.',
    parameters: [passwordHeader, codeHeader],
    answers: [done],
    refusals: stepUpRefusals,
  },
  {
    method: 'GET',
    path: '/api/me/sessions',
    access: 'full',
    summary: 'One’s sessions.',
    answers: [{ status: 200, means: 'All of them.', body: account.ownSessions }],
  },
  {
    method: 'DELETE',
    path: '/api/me/sessions/{id}',
    access: 'full',
    summary: 'Ends a session.',
    answers: [done],
  },
  {
    method: 'GET',
    path: '/api/me/leases',
    access: 'full',
    summary: 'Leases: while one lives further SFTP connections go without a code.',
    answers: [{ status: 200, means: 'All of them.', body: account.ownLeases }],
  },
  {
    method: 'DELETE',
    path: '/api/me/leases/{id}',
    access: 'full',
    summary: 'Ends a lease.',
    answers: [done],
  },
  {
    method: 'GET',
    path: '/api/me/devices',
    access: 'full',
    summary: 'Browsers that are remembered.',
    answers: [{ status: 200, means: 'All of them.', body: account.ownDevices }],
  },
  {
    method: 'DELETE',
    path: '/api/me/devices/{id}',
    access: 'full',
    summary: 'Forgets a browser.',
    answers: [done],
  },

  {
    method: 'GET',
    path: '/api/files',
    access: 'full',
    summary: 'The top folder; as any other folder.',
    parameters: [cursor],
    answers: [{ status: 200, means: 'A page of its entries.', body: files.listing }],
  },
  {
    method: 'GET',
    path: '/api/files/{path}',
    access: 'full',
    summary: 'A file’s bytes, or a folder’s entries in pages. HEAD gives the headers alone.',
    parameters: [
      cursor,
      query('limit', z.int().min(1).max(listingLimitMax), 'Entries of a page.'),
      query('sort', files.sortKey, 'With `-` before it descending.'),
      query('zip', flag, 'The folder as one ZIP archive.'),
      query('name', text, 'With `zip`, any number of times: only these entries.'),
      query('unserved', flag, 'How much below the folder can not be shown, instead of its entries.'),
      header('Range', 'One range of bytes.'),
      header('If-Range', 'The range only of that version.'),
      ...conditions,
    ],
    answers: [
      {
        status: 200,
        means: 'The file, a page of the folder, or what `unserved` asks.',
        body: z.union([files.listing, files.survey]),
        bytes: '*/*',
        headers: { ETag: 'Of a file.' },
      },
      { status: 206, means: 'The range.', bytes: '*/*' },
      { status: 304, means: 'The client has this version.' },
    ],
    refusals: conditionFails,
  },
  {
    method: 'PUT',
    path: '/api/files/{path}',
    access: 'full',
    summary: 'The whole body becomes the file, or nothing happens.',
    parameters: [
      ...conditions,
      header('Sallyport-Mtime', 'When it was last changed: RFC 3339, or milliseconds since 1970.'),
    ],
    bytes: '*/*',
    answers: [
      { status: 201, means: 'A new file.', headers: { ETag: 'Of the new version.' } },
      { status: 204, means: 'It took another’s place.', headers: { ETag: 'Of the new version.', ...binned } },
    ],
    refusals: { ...conditionFails, 409: 'The folder is not there.', 507: 'No room left.' },
  },
  {
    method: 'DELETE',
    path: '/api/files/{path}',
    access: 'full',
    summary: 'Deletes a file or folder.',
    parameters: [
      query('recursive', flag, 'A folder with all that is in it.'),
      query('bin', z.literal('0'), 'For good, not into the bin.'),
      ...conditions,
    ],
    answers: [{ ...done, headers: binned }],
    refusals: { ...conditionFails, 409: 'The folder has something in it.' },
  },
  {
    method: 'POST',
    path: '/api/files/{path}',
    access: 'full',
    summary: 'Makes a folder, renames or copies.',
    parameters: [
      { ...query('op', z.enum(['mkdir', 'rename', 'copy']), 'What is to be done.'), required: true },
      ...conditions,
    ],
    body: files.move.optional(),
    answers: [
      { status: 201, means: 'Something new.' },
      { status: 204, means: 'It took another’s place.', headers: binned },
    ],
    refusals: { ...conditionFails, 409: 'The name is taken, or the folder for it is not there.' },
  },

  {
    method: 'GET',
    path: '/api/bin',
    access: 'full',
    summary: 'What one deleted or replaced and can have back.',
    parameters: [cursor, query('limit', z.int().min(1).max(binPageEntriesMax), 'Entries of a page.')],
    answers: [{ status: 200, means: 'A page of it.', body: files.binPage }],
  },
  {
    method: 'POST',
    path: '/api/bin/restore',
    access: 'full',
    summary: 'Puts it back to where it was.',
    body: files.binRestore,
    answers: [{ status: 200, means: 'What became of each.', body: files.binRestored }],
    refusals: { 409: 'Of one id: the name is taken.' },
  },
  {
    method: 'POST',
    path: '/api/bin/empty',
    access: 'full',
    summary: 'Deletes for good what is in the bin.',
    body: files.binEmpty.optional(),
    answers: [{ status: 200, means: 'Gone.', body: files.binEmptied }],
  },

  {
    method: 'POST',
    path: '/api/downloads',
    access: 'full',
    summary: 'Asks for a download before it begins; one file comes as it is, all else as one archive.',
    body: files.downloadWanted,
    answers: [{ status: 201, means: 'The address to follow.', body: files.downloadReady }],
    refusals: { 404: 'no-files: there is no file in it.', 429: 'too-many, with `bound` and `maximum`.' },
  },
  {
    method: 'GET',
    path: '/api/downloads/{ticket}',
    access: 'full',
    summary: 'The archive that was asked for, once.',
    answers: [{ status: 200, means: 'A ZIP archive.', bytes: 'application/zip' }],
  },

  {
    method: 'OPTIONS',
    path: '/api/uploads',
    access: 'full',
    summary: 'What of tus 1.0.0 is spoken here.',
    answers: [{ status: 204, means: 'By its headers.', headers: { 'Tus-Version': '1.0.0' } }],
  },
  {
    method: 'GET',
    path: '/api/uploads',
    access: 'full',
    summary: 'Uploads that are not finished.',
    answers: [{ status: 200, means: 'All of them.', body: files.uploads }],
  },
  {
    method: 'POST',
    path: '/api/uploads',
    access: 'full',
    summary: 'Begins a resumable upload (tus 1.0.0), with or without its first bytes.',
    parameters: [
      tusVersion,
      { ...header('Upload-Length', 'Bytes.', true), schema: z.int().min(0) },
      header('Upload-Metadata', '`path`, `mtime`, `overwrite`, in Base64.', true),
      header('Upload-Checksum', 'Of the bytes that come with it.'),
    ],
    bytes: 'application/offset+octet-stream',
    answers: [
      {
        status: 201,
        means: 'Begun; without a body where bytes came with it.',
        body: files.upload,
        headers: { Location: 'Of the upload.', ...tusOffset, ...binned },
      },
    ],
    refusals: { 409: 'The name is taken.', 460: 'The checksum is another.' },
  },
  {
    method: 'GET',
    path: '/api/uploads/{id}',
    access: 'full',
    summary: 'How far it got. HEAD is the question of tus and gives the headers alone.',
    parameters: [tusVersion],
    answers: [{ status: 200, means: 'So far.', body: files.upload, headers: tusOffset }],
  },
  {
    method: 'PATCH',
    path: '/api/uploads/{id}',
    access: 'full',
    summary: 'More bytes; with the last of them the file is there.',
    parameters: [
      tusVersion,
      { ...header('Upload-Offset', 'Where they begin.', true), schema: z.int().min(0) },
      header('Upload-Checksum', 'Of these bytes.'),
    ],
    bytes: 'application/offset+octet-stream',
    answers: [{ ...done, headers: { ...tusOffset, ...binned } }],
    refusals: { 409: 'wrong-offset: ask how far it got.', 460: 'The checksum is another.' },
  },
  {
    method: 'DELETE',
    path: '/api/uploads/{id}',
    access: 'full',
    summary: 'Gives an upload up. A finished one is only forgotten, the file stays.',
    parameters: [tusVersion],
    answers: [done],
  },
];
