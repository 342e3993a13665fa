import { pathOf, type Entry } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { namedInQuestionMax } from '#dmz/web/limits.ts';
import { useFormats, useWords } from '#dmz/web/state/client.ts';

/** A place in full, as a question names it: `Home / Projects / 2026`. No name can contain the slash. */
export function FullPath({ path }: { readonly path: FolderPath }) {
  const words = useWords();
  return (
    <span class="full-path" translate={false}>
      {[words.files.home, ...path].join(' / ')}
    </span>
  );
}

/** As many lines as styles/controls.css leaves to see; a list that scrolls has to be reached by keyboard. */
const placesInViewMax = 4;

/** What a question is about, in full; of many the first ones, and how many more. */
export function NamedPlaces({ entries }: { readonly entries: readonly Pick<Entry, 'parent' | 'name'>[] }) {
  const words = useWords();
  const formats = useFormats();
  const more = entries.length - namedInQuestionMax;
  return (
    <ul class="dialog-places" tabIndex={entries.length > placesInViewMax ? 0 : undefined}>
      {entries.slice(0, namedInQuestionMax).map((entry, index) => (
        <li key={index}>
          <FullPath path={pathOf(entry)} />
        </li>
      ))}
      {more > 0 && <li class="muted">{words.common.more(formats.number(more))}</li>}
    </ul>
  );
}
