import { useEffect, useState } from 'preact/hooks';
import { findFile, type FileFacts } from '#dmz/web/api/files.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** Two files want one name: size and date of both, so that it need not be guessed which is to stay. */
export function ConflictFacts({ mine, there }: { readonly mine: FileFacts; readonly there: FolderPath }) {
  const { http } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [present, setPresent] = useState<FileFacts | undefined>();
  useEffect(() => {
    const leaving = new AbortController();
    setPresent(undefined);
    // Without an answer the question is asked as it is: the server has the last word on what may be replaced.
    findFile(http, there, leaving.signal).then(setPresent, () => undefined);
    return () => leaving.abort();
  }, [there.join('/')]);
  const describe = ({ size, mtimeMs }: FileFacts): string =>
    [formats.size(size), formats.modified(mtimeMs, Date.now())].filter(Boolean).join(' · ');
  return (
    <dl class="conflict-facts">
      {present !== undefined && (
        <div>
          <dt>{words.conflict.there}</dt>
          <dd title={formats.fullDate(present.mtimeMs)}>{describe(present)}</dd>
        </div>
      )}
      <div>
        <dt>{words.conflict.mine}</dt>
        <dd title={formats.fullDate(mine.mtimeMs)}>{describe(mine)}</dd>
      </div>
    </dl>
  );
}

/** Whether the answer is meant for all that wait with the same question. */
export function ForAll({
  checked,
  onChange,
}: {
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}) {
  const words = useWords();
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{words.uploads.forAll}</span>
    </label>
  );
}
