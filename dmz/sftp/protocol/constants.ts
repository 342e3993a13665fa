/** Numbers of SFTP version 3 (draft-ietf-secsh-filexfer-02). */

export const sftpVersion = 3;

export const packetType = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** §7: what a STATUS may say. */
export const statusCode = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
} as const;
export type StatusCode = (typeof statusCode)[keyof typeof statusCode];

/** §6.3. */
export const openFlag = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

/** §5. */
export const attributeFlag = {
  size: 1,
  owner: 2,
  permissions: 4,
  times: 8,
  extended: 0x8000_0000,
} as const;

/** File type bits of `permissions` (POSIX st_mode). */
export const typeBits = { file: 0o100_000, folder: 0o040_000, link: 0o120_000 } as const;
