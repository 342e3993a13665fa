import { rowByKey } from '#dmz/web/files/list-window.ts';
import type { TargetedKeyboardEvent } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { getPage } from '#dmz/web/api/files.ts';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { buildNameOrder } from '#dmz/web/files/entry-order.ts';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { pickedFoldersMax } from '#dmz/web/limits.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/**
 * Walks through the folders to choose one; the list is one stop of the Tab key, with arrows inside. `isClosed`: folders
 * that can't be entered (a folder being moved).
 */
export function FolderPicker({
  path,
  isClosed,
  onGo,
}: {
  readonly path: FolderPath;
  readonly isClosed: (folder: FolderPath) => boolean;
  readonly onGo: (folder: FolderPath) => void;
}) {
  const words = useWords();
  const { names, problem } = useFolderNames(path);
  const crumbs = [words.files.home, ...path];
  const list = useRef<HTMLUListElement>(null);
  const here = useRef<HTMLButtonElement>(null);
  /** The button that was pressed is gone when the next folder is there: the focus goes on in that. */
  const takesFocus = useRef(true);
  const [focused, setFocused] = useState<string | undefined>();
  const open = names?.filter((name) => !isClosed([...path, name])) ?? [];
  const inTabOrder = open.find((name) => name === focused) ?? open[0];
  const choices = (): HTMLButtonElement[] => [
    ...(list.current?.querySelectorAll<HTMLButtonElement>('button:enabled') ?? []),
  ];
  useLayoutEffect(() => {
    if (names === undefined || !takesFocus.current) return;
    takesFocus.current = false;
    (choices()[0] ?? here.current)?.focus();
  }, [names]);
  const go = (folder: FolderPath): void => {
    takesFocus.current = true;
    onGo(folder);
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    const all = choices();
    const at = all.findIndex((button) => button === document.activeElement);
    const row = rowByKey(event.key, at, {
      count: all.length,
      viewportHeight: list.current?.clientHeight ?? 0,
      rowHeight: all[0]?.offsetHeight ?? 1,
    });
    if (row !== undefined) all[row]?.focus();
    else if (event.key === 'Backspace' && path.length > 0) go(path.slice(0, -1));
    else return;
    event.preventDefault();
  };
  return (
    <div class="folder-picker" onKeyDown={onKeyDown}>
      <nav class="picker-path" aria-label={words.files.path}>
        {crumbs.map((name, index) => (
          <span key={index}>
            {index > 0 && <Icon name="chevronRight" size={14} />}
            <button
              type="button"
              ref={index === crumbs.length - 1 ? here : null}
              aria-current={index === crumbs.length - 1 ? 'location' : undefined}
              translate={index > 0 ? false : undefined}
              onClick={() => onGo(path.slice(0, index))}
            >
              {name}
            </button>
          </span>
        ))}
      </nav>
      <ul class="picker-list" ref={list} aria-busy={names === undefined}>
        {names?.map((name) => (
          <li key={name}>
            <button
              type="button"
              disabled={isClosed([...path, name])}
              tabIndex={name === inTabOrder ? 0 : -1}
              onFocus={() => setFocused(name)}
              onClick={() => go([...path, name])}
            >
              <Icon name="folder" />
              <span translate={false}>{name}</span>
            </button>
          </li>
        ))}
        {names?.length === 0 && <li class="muted picker-empty">{words.move.noFolders}</li>}
      </ul>
      {problem !== undefined && <Message kind="danger">{problem}</Message>}
    </div>
  );
}

function useFolderNames(path: FolderPath): {
  readonly names: readonly string[] | undefined;
  readonly problem: string | undefined;
} {
  const { http, preferences } = useClient();
  const words = useWords();
  const [names, setNames] = useState<readonly string[] | undefined>();
  const [problem, setProblem] = useState<string | undefined>();
  useEffect(() => {
    const leaving = new AbortController();
    setNames(undefined);
    setProblem(undefined);
    const read = async (): Promise<void> => {
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await getPage(http, path, {
          sort: 'name',
          signal: leaving.signal,
          ...(cursor !== undefined && { cursor }),
        });
        found.push(...page.entries.filter(({ type }) => type === 'folder').map(({ name }) => name));
        cursor = page.next;
      } while (cursor !== undefined && found.length < pickedFoldersMax);
      if (!leaving.signal.aborted) setNames(found.toSorted(buildNameOrder(preferences.locale.value)));
    };
    read().catch((thrown: unknown) => {
      if (leaving.signal.aborted) return;
      setNames([]);
      setProblem(describeFailure(toApiProblem(thrown), words));
    });
    return () => leaving.abort();
  }, [path.join('/')]);
  return { names, problem };
}
