import { named } from '#dmz/web/i18n/sentence.ts';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Button } from '#dmz/web/components/button.tsx';
import { Dialog } from '#dmz/web/components/dialog.tsx';
import { FullPath, NamedPlaces } from '#dmz/web/components/full-path.tsx';
import { TextField } from '#dmz/web/components/text-field.tsx';
import { UnservedWarning } from '#dmz/web/components/unserved.tsx';
import type { Entry } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** The questions the files page asks. */

export function NewFolderDialog({
  parent,
  onClose,
}: {
  readonly parent: FolderPath;
  readonly onClose: () => void;
}) {
  const { actions, notices } = useClient();
  const words = useWords();
  const field = useRef<HTMLInputElement>(null);
  const [name, setName] = useState('');
  const [objection, setObjection] = useState<string | undefined>();
  const [busy, setBusy] = useState(false);
  const isGone = useRef(false);
  useLayoutEffect(() => () => void (isGone.current = true), []);
  const submit = async (): Promise<void> => {
    if (busy) return;
    setBusy(true);
    const refused = await actions.createFolder(parent, name);
    if (isGone.current) {
      if (refused !== undefined) notices.failure(refused);
      return;
    }
    setBusy(false);
    setObjection(refused);
    if (refused === undefined) onClose();
    else field.current?.focus();
  };
  return (
    <Dialog view="new-folder" title={words.newFolder.title} onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <p class="dialog-place">
          <FullPath path={parent} />
        </p>
        <TextField
          label={words.newFolder.label}
          value={name}
          onInput={(typed) => {
            setName(typed);
            setObjection(undefined);
          }}
          error={objection}
          inputRef={field}
        />
        <div class="dialog-buttons">
          <Button onClick={onClose}>{words.common.cancel}</Button>
          <Button kind="primary" type="submit" busy={busy}>
            {words.newFolder.submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function DeleteDialog({
  entries,
  onClose,
}: {
  readonly entries: readonly Entry[];
  readonly onClose: () => void;
}) {
  const { actions, selection, session } = useClient();
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const [first] = entries;
  const remove = async (): Promise<void> => {
    setBusy(true);
    await actions.remove(entries);
    onClose();
    selection.focusActive();
  };
  const formats = useFormats();
  const keptSeconds = session.rights.value.binSeconds(first?.parent ?? []);
  const consequence =
    keptSeconds !== undefined
      ? words.remove.kept(formats.span(keptSeconds))
      : entries.length > 1
        ? words.remove.many
        : first?.type === 'folder'
          ? words.remove.folder
          : words.remove.file;
  return (
    <Dialog
      view="delete"
      title={words.remove.title(entries.length, named(first?.name ?? ''))}
      onClose={onClose}
    >
      <NamedPlaces entries={entries} />
      <p>{consequence}</p>
      <UnservedWarning entries={entries} />
      <div class="dialog-buttons">
        <Button onClick={onClose}>{words.common.cancel}</Button>
        <Button kind="danger" busy={busy} onClick={() => void remove()}>
          {busy ? words.remove.working : words.remove.submit}
        </Button>
      </div>
    </Dialog>
  );
}

export function KeyboardDialog({ onClose }: { readonly onClose: () => void }) {
  const { keyboard: words, common } = useWords();
  const rows: readonly (readonly [string, readonly string[]])[] = [
    [words.move, ['↑', '↓']],
    [words.page, [words.pageUp, words.pageDown]],
    [words.ends, [words.home, words.end]],
    [words.typeAhead, [words.letters]],
    [words.open, [words.enter]],
    [words.up, [words.backspace]],
    [words.select, [words.space]],
    [words.range, [words.shift, '↑', '↓']],
    [words.all, [words.control, 'A']],
    [words.clear, [words.escape]],
    [words.rename, ['F2']],
    [words.delete, [words.del]],
    [words.filter, ['/']],
    [words.upload, ['U']],
    [words.neighbours, ['←', '→']],
    [words.help, ['?']],
  ];
  return (
    <Dialog view="keyboard-map" title={words.title} onClose={onClose}>
      <dl class="keys">
        {rows.map(([meaning, keys]) => (
          <div key={meaning}>
            <dt>{meaning}</dt>
            <dd>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <div class="dialog-buttons">
        <Button kind="primary" onClick={onClose}>
          {common.close}
        </Button>
      </div>
    </Dialog>
  );
}
