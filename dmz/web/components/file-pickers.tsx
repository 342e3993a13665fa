import { useRef } from 'preact/hooks';
import { placeChosen } from '#dmz/web/files/dropped-files.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useClient } from '#dmz/web/state/client.ts';

/** Lets the browser ask which files, or which whole folder, to upload into `path`. `fields` belong into the page. */
export function useFilePickers(path: FolderPath) {
  const { actions } = useClient();
  const files = useRef<HTMLInputElement>(null);
  const wholeFolder = useRef<HTMLInputElement>(null);
  /** The folder that was open when the browser was asked to let files be chosen. */
  const chosenInto = useRef<FolderPath | undefined>(undefined);

  const chooseFiles = (): void => {
    chosenInto.current = path;
    files.current?.click();
  };
  const chooseFolder = (): void => {
    chosenInto.current = path;
    wholeFolder.current?.click();
  };
  const takeChosen = (input: HTMLInputElement): void => {
    void actions.upload(placeChosen([...(input.files ?? [])]), chosenInto.current ?? path);
    chosenInto.current = undefined;
    // The same file may be chosen again.
    input.value = '';
  };

  const fields = (
    <>
      <input
        ref={files}
        class="visually-hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        onChange={(event) => takeChosen(event.currentTarget)}
      />
      <input
        ref={(input) => {
          wholeFolder.current = input;
          if (input !== null) input.webkitdirectory = true;
        }}
        class="visually-hidden"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        onChange={(event) => takeChosen(event.currentTarget)}
      />
    </>
  );
  return { chooseFiles, chooseFolder, fields };
}
