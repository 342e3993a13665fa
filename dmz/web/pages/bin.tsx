import { useEffect, useState } from 'preact/hooks';
import type { BinEntry } from '#dmz/web/api/bin.ts';
import { AppHeader } from '#dmz/web/components/app-header.tsx';
import { BinQuestion, TakenQuestion } from '#dmz/web/components/bin-dialogs.tsx';
import { Button } from '#dmz/web/components/button.tsx';
import { Blank, LoadingFolder } from '#dmz/web/components/folder-state.tsx';
import { FullPath } from '#dmz/web/components/full-path.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { PageLink } from '#dmz/web/components/page-link.tsx';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** What was deleted or replaced, newest first, and the way back. */
export function BinPage({ username }: { readonly username: string }) {
  const { bin, brand } = useClient();
  const words = useWords();
  const [asked, setAsked] = useState<
    { readonly name: 'taken' | 'empty'; readonly entries: readonly BinEntry[] } | undefined
  >();
  const [busy, setBusy] = useState(false);
  const entries = bin.entries.value;
  const chosen = entries.filter(({ id }) => bin.chosen.value.has(id));

  useEffect(() => {
    document.title = `${words.bin.title} – ${brand}`;
  }, [words]);
  useEffect(() => {
    // Another window, or the program on another machine, may have changed it.
    const refresh = (): void => {
      if (document.visibilityState === 'visible') void bin.load();
    };
    void bin.load();
    document.addEventListener('visibilitychange', refresh);
    return () => {
      document.removeEventListener('visibilitychange', refresh);
      bin.close();
    };
  }, []);

  const restore = async (wanted: readonly BinEntry[], keepBoth = false): Promise<void> => {
    if (busy) return;
    setBusy(true);
    const taken = await bin.restore(wanted, keepBoth);
    setBusy(false);
    setAsked(taken.length > 0 ? { name: 'taken', entries: taken } : undefined);
  };

  return (
    <div class="app">
      <AppHeader />
      <main class="bin" data-view="bin" id="content" tabIndex={-1}>
        <PageLink class="back-link" to={{ name: 'files', folder: [] }}>
          <Icon name="chevronLeft" />
          {words.options.back}
        </PageLink>
        <div class="bin-head">
          <h1>{words.bin.title}</h1>
          {entries.length > 0 && (
            <div class="bin-actions">
              <Button
                icon="retry"
                disabled={chosen.length === 0}
                busy={busy}
                onClick={() => void restore(chosen)}
              >
                {words.bin.restore}
              </Button>
              <Button
                icon="trash"
                kind="danger"
                onClick={() => setAsked({ name: 'empty', entries: chosen.length > 0 ? chosen : entries })}
              >
                {chosen.length > 0 ? words.bin.drop : words.bin.empty}
              </Button>
            </div>
          )}
        </div>
        <div class="bin-card">
          <BinContent username={username} onRestore={(entry) => void restore([entry])} />
        </div>
      </main>
      {asked?.name === 'taken' && (
        <TakenQuestion
          entries={asked.entries}
          busy={busy}
          onKeepBoth={() => void restore(asked.entries, true)}
          onClose={() => setAsked(undefined)}
        />
      )}
      {asked?.name === 'empty' && (
        <BinQuestion
          entries={asked.entries}
          isAll={asked.entries.length === entries.length}
          onClose={() => setAsked(undefined)}
        />
      )}
    </div>
  );
}

function BinContent({
  username,
  onRestore,
}: {
  readonly username: string;
  readonly onRestore: (entry: BinEntry) => void;
}) {
  const { bin } = useClient();
  const words = useWords();
  const state = bin.state.value;
  const entries = bin.entries.value;
  if (state.name === 'loading') return <LoadingFolder />;
  if (state.name === 'failed')
    return (
      <Blank view="bin-broken" icon="alert" title={words.bin.brokenTitle}>
        <p role="alert">{describeFailure(state.problem, words)}</p>
        <Button icon="retry" onClick={() => void bin.load()}>
          {words.common.tryAgain}
        </Button>
      </Blank>
    );
  if (entries.length === 0)
    return (
      <Blank view="bin-empty" icon="trash" title={words.bin.nothingTitle}>
        <p>{words.bin.nothing}</p>
      </Blank>
    );
  return (
    <>
      <label class="bin-all check">
        <input
          type="checkbox"
          checked={bin.chosen.value.size === entries.length}
          indeterminate={bin.chosen.value.size > 0 && bin.chosen.value.size < entries.length}
          onChange={() => bin.toggleAll()}
        />
        <span>{words.files.selectAll}</span>
      </label>
      <ul class="bin-list" aria-label={words.bin.title}>
        {entries.map((entry) => (
          <BinRow key={entry.id} entry={entry} username={username} onRestore={onRestore} />
        ))}
      </ul>
      {state.next !== undefined && (
        <div class="bin-more">
          <Button onClick={() => void bin.more()}>{words.bin.more}</Button>
        </div>
      )}
    </>
  );
}

function BinRow({
  entry,
  username,
  onRestore,
}: {
  readonly entry: BinEntry;
  readonly username: string;
  readonly onRestore: (entry: BinEntry) => void;
}) {
  const { bin } = useClient();
  const words = useWords();
  const formats = useFormats();
  const nowMs = Date.now();
  const when = formats.modified(entry.deletedAtMs, nowMs);
  return (
    <li class="bin-row">
      <label class="row-check">
        <input
          type="checkbox"
          checked={bin.chosen.value.has(entry.id)}
          aria-label={words.files.select(entry.name)}
          onChange={() => bin.toggle(entry.id)}
        />
      </label>
      <Icon name={entry.type === 'folder' ? 'folder' : 'file'} />
      <div class="bin-what">
        <span class="name" translate={false} title={entry.name}>
          {entry.name}
        </span>
        <FullPath path={entry.parent} />
      </div>
      <div class="bin-facts" title={formats.fullDate(entry.deletedAtMs)}>
        <span>{entry.reason === 'replaced' ? words.bin.replacedAt(when) : words.bin.deletedAt(when)}</span>
        {entry.by !== username && (
          <span>
            {words.bin.by} <bdi translate={false}>{entry.by}</bdi>
          </span>
        )}
        {entry.size !== undefined && <span>{formats.size(entry.size)}</span>}
        <span>{words.bin.left(formats.span((entry.expiresAtMs - nowMs) / 1000))}</span>
      </div>
      <button
        type="button"
        class="button button-plain"
        aria-label={words.bin.restoreOne(entry.name)}
        onClick={() => onRestore(entry)}
      >
        {words.bin.restore}
      </button>
    </li>
  );
}
