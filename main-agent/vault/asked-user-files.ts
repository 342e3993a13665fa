import type { UserFiles } from '#main-agent/users/user-files.ts';
import type { AskVault } from './calls.ts';

/** The users folder as main has it: asked of the vault, without the hashes (D-160). All reject `busy` while it is away. */
export function askForUserFiles(ask: AskVault): UserFiles {
  return {
    read: async (files) => (await ask('read-user-files', { files: [...files] })).files,
    show: async (texts) => (await ask('show-user-texts', { texts: [...texts] })).texts,
    write: async (file, text, options) => (await ask('write-user-file', { file, text, ...options })).hash,
    apply: async (changes) => (await ask('apply-user-files', { changes: [...changes] })).overtaken,
    finishApply: async () => (await ask('finish-apply', {})).overtaken,
    copy: async (original, copy) => void (await ask('copy-user-file', { original, copy })),
  };
}
