import { useEffect, useState } from 'preact/hooks';
import { countUnserved } from '#dmz/web/api/files.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Dialog } from '#dmz/web/components/dialog.tsx';
import { pathOf, type Entry } from '#dmz/web/files/entry.ts';
import { unservedLookedForMax } from '#dmz/web/limits.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/**
 * What lies in a folder and can't be shown, because another program gave it a name or kind that nothing here may have.
 * Whoever looks at the folder, or is about to delete it, is told.
 */

/** Under the list; opens the names. */
export function UnservedNote({ onShow }: { readonly onShow: () => void }) {
  const { folder } = useClient();
  const words = useWords();
  const formats = useFormats();
  const unserved = folder.unserved.value;
  if (unserved === undefined) return null;
  return (
    <p class="file-foot unserved-note">
      <Button kind="link" onClick={onShow}>
        {words.unserved.note(unserved.count, formats.number(unserved.count))}
      </Button>
    </p>
  );
}

export function UnservedDialog({ onClose }: { readonly onClose: () => void }) {
  const { folder } = useClient();
  const words = useWords();
  const formats = useFormats();
  // As it was when it was asked for: the list may be read again meanwhile.
  const [unserved] = useState(folder.unserved.value);
  const { count, names } = unserved ?? { count: 0, names: [] };
  const more = count - names.length;
  return (
    <Dialog view="unserved" title={words.unserved.title(count, formats.number(count))} onClose={onClose}>
      <p>{words.unserved.why}</p>
      <ul class="dialog-places">
        {names.map((name, index) => (
          <li key={index} translate={false}>
            {name}
          </li>
        ))}
        {more > 0 && <li class="muted">{words.common.more(formats.number(more))}</li>}
      </ul>
      <div class="dialog-buttons">
        <Button kind="primary" onClick={onClose}>
          {words.common.close}
        </Button>
      </div>
    </Dialog>
  );
}

/** For folders that are about to be deleted: what goes with them unseen. */
export function UnservedWarning({ entries }: { readonly entries: readonly Entry[] }) {
  const { http } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [count, setCount] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    const look = async (): Promise<void> => {
      const folders = entries.filter(({ type }) => type === 'folder').slice(0, unservedLookedForMax);
      for (const folder of folders) {
        const found = await countUnserved(http, pathOf(folder), leaving.signal);
        setCount((sum) => sum + found);
      }
    };
    // Without an answer nothing is said; the deletion itself will tell what is wrong.
    look().catch(() => undefined);
    return () => leaving.abort();
  }, []);
  if (count === 0) return null;
  return <p role="status">{words.unserved.deleted(count, formats.number(count))}</p>;
}
