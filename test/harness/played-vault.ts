import { randomBytes } from 'node:crypto';
import { HashBox } from '#main-agent/users/hash-box.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import type { AskVault, VaultAccess, VaultHandlers } from '#main-agent/vault/calls.ts';
import { askLocally } from '#main-agent/vault/channel.ts';
import { buildKeeper } from '#main-agent/vault/process/keeper.ts';
import { Sealer } from '#main-agent/vault/process/sealing.ts';
import { Secret } from '#shared/secret.ts';

/** Of all played vaults: a test's users have hashes that were in no file. */
export const playedBook = new HashBook();
/** Where hashes are sealed for no vault but a test's. */
export const playedBox = new HashBox(Buffer.alloc(32, 1));

/** Of no users: a vault that reads none of their files. */
export const noUsers = { directory: '/nonexistent/users', lastGoodDirectory: '/nonexistent/last-good' };

export function playKeeper(readKey: () => Promise<Secret<Buffer>>): VaultHandlers {
  return buildKeeper({ readKey, random: randomBytes, book: playedBook, users: noUsers });
}

/** What the vault's process does, without the process; every message is held against its schema all the same. */
export function playVault(vaultKey: Secret<Buffer> = new Secret(randomBytes(32))): VaultAccess {
  const askPlayed = askLocally(playKeeper(async () => vaultKey));
  let opened: Promise<unknown> | undefined;
  const ask: AskVault = async (verb, request) => {
    await (opened ??= askPlayed('open', {}));
    return askPlayed(verb, request);
  };
  const { deliveredKey } = new Sealer(vaultKey, randomBytes);
  return { ask, deliveredKey, onOpened: () => undefined };
}
