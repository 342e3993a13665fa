/**
 * The vault's process: `node --permission … main-agent/vault/process/main.ts USERS-FOLDER COPIES-FOLDER KEY-FILE
 * [CREDENTIALS-FOLDER]`, started by main alone. Descriptor 3 is its channel to main, both ways; when that ends, it ends.
 */
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { serveVault } from '#main-agent/vault/channel.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { buildKeeper } from './keeper.ts';

const [directory = '', lastGoodDirectory = '', keyFile = '', credentials] = process.argv.slice(2);
// A unit that is stopped tells all its processes: logins go on until main has closed.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

const keeper = buildKeeper({
  readKey: () => readSecretFile(keyFile, credentials),
  random: randomBytes,
  book: new HashBook(),
  users: { directory, lastGoodDirectory },
});
serveVault(new Socket({ fd: 3, readable: true, writable: true }), keeper, () => process.exit(0));
