import type { UserFiles } from '#main-agent/users/user-files.ts';
import type { VaultHandlers } from '#main-agent/vault/calls.ts';

/** The users folder, read and written where its hashes are. */
export function buildUserFileHandlers(
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
