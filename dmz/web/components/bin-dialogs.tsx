import { useState } from 'preact/hooks';
import type { BinEntry } from '#dmz/web/api/bin.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Dialog } from '#dmz/web/components/dialog.tsx';
import { NamedPlaces } from '#dmz/web/components/full-path.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** The questions the page of deleted files asks. */

/** What has the name now is never replaced by what comes back. */
export function TakenQuestion({
  entries,
  busy,
  onKeepBoth,
  onClose,
}: {
  readonly entries: readonly BinEntry[];
  readonly busy: boolean;
  readonly onKeepBoth: () => void;
  readonly onClose: () => void;
}) {
  const words = useWords();
  return (
    <Dialog view="bin-taken" title={words.bin.takenTitle} onClose={onClose}>
      <NamedPlaces entries={entries} />
      <p role="alert">{words.bin.taken}</p>
      <div class="dialog-buttons">
        <Button onClick={onClose}>{words.common.cancel}</Button>
        <Button kind="primary" busy={busy} onClick={onKeepBoth}>
          {words.uploads.keepBoth}
        </Button>
      </div>
    </Dialog>
  );
}

export function BinQuestion({
  entries,
  isAll,
  onClose,
}: {
  readonly entries: readonly BinEntry[];
  readonly isAll: boolean;
  readonly onClose: () => void;
}) {
  const { bin } = useClient();
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const drop = async (): Promise<void> => {
    setBusy(true);
    await bin.empty(entries);
    onClose();
  };
  return (
    <Dialog
      view="bin-question"
      title={isAll ? words.bin.emptyTitle : words.bin.dropTitle(entries.length)}
      onClose={onClose}
    >
      <NamedPlaces entries={entries} />
      <p>{words.bin.consequence}</p>
      <div class="dialog-buttons">
        <Button onClick={onClose}>{words.common.cancel}</Button>
        <Button kind="danger" busy={busy} onClick={() => void drop()}>
          {words.bin.drop}
        </Button>
      </div>
    </Dialog>
  );
}
