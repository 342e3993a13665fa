import type { HashBook } from '#main-agent/users/hash-book.ts';
import { HashBox } from '#main-agent/users/hash-box.ts';
import { LocalUserFiles, type UserFiles } from '#main-agent/users/user-files.ts';
import type { VaultHandlers } from '#main-agent/vault/calls.ts';
import type { RandomBytes } from '#shared/random-id.ts';
import { buildPasswordHashes } from './password-hashes.ts';
import type { Sealer } from './sealing.ts';

export interface HashOptions {
  readonly random: RandomBytes;
  /** The one place where hashes are. */
  readonly book: HashBook;
  /** Where users are, and the copies of their last good files. */
  readonly users: Readonly<Record<'directory' | 'lastGoodDirectory', string>>;
}

/** All that is done where password hashes are: users' files are read and written, passwords hashed and compared. */
export function buildHashHandlers({ random, book, users }: HashOptions, key: () => Sealer) {
  let box: HashBox | undefined;
  const boxOf = (): HashBox => (box ??= new HashBox(key().boxSeed.expose()));
  const openBox = (text: string): string => boxOf().open(text);
  const files = new LocalUserFiles({ ...users, book, box: { open: openBox } });
  const handlers = {
    ...buildPasswordHashes({
      random,
      placeOf: (name) => key().placeOf(name),
      note: (hash) => book.note(hash),
      find: (name) => files.find(name),
      openBox,
    }),
    ...buildUserFileHandlers(files),
    'box-key': async () => ({ key: boxOf().publicKey }),
  };
  return { handlers, readUsers: () => files.readFolders() };
}

function buildUserFileHandlers(
  files: UserFiles,
): Pick<
  VaultHandlers,
  | 'read-user-files'
  | 'show-user-texts'
  | 'write-user-file'
  | 'apply-user-files'
  | 'finish-apply'
  | 'copy-user-file'
> {
  return {
    'read-user-files': async ({ files: asked }) => ({ files: [...(await files.read(asked))] }),
    'show-user-texts': async ({ texts }) => ({ texts: [...(await files.show(texts))] }),
    'write-user-file': async ({ file, text, mode, exclusive, replaces }) => ({
      hash: await files.write(file, text, {
        mode,
        ...(exclusive !== undefined && { exclusive }),
        ...(replaces !== undefined && { replaces }),
      }),
    }),
    'apply-user-files': async ({ changes }) => ({ overtaken: [...(await files.apply(changes))] }),
    'finish-apply': async () => ({ overtaken: [...(await files.finishApply())] }),
    'copy-user-file': async ({ original, copy }) => {
      await files.copy(original, copy);
      return {};
    },
  };
}
