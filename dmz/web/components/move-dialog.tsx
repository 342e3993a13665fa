import { Said } from '#dmz/web/components/said.tsx';
import { named } from '#dmz/web/i18n/sentence.ts';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '#dmz/web/components/button.tsx';
import { ConflictFacts, ForAll } from '#dmz/web/components/conflict-facts.tsx';
import { Dialog } from '#dmz/web/components/dialog.tsx';
import { FullPath, NamedPlaces } from '#dmz/web/components/full-path.tsx';
import { FolderPicker } from '#dmz/web/components/folder-picker.tsx';
import { pathOf, type Entry } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';
import type { ConflictChoice } from '#dmz/web/state/upload.ts';

export type MoveKind = 'move' | 'copy';

type Step =
  | { readonly name: 'choosing' }
  | { readonly name: 'working'; readonly done: number }
  | {
      readonly name: 'conflict';
      readonly entry: Entry;
      readonly answer: (choice: ConflictChoice, forAll: boolean) => void;
    };

/** Where to, then how far it got, then what to do about names that are taken. `target`: chosen already, by dropping. */
export function MoveDialog({
  kind,
  entries,
  target,
  onClose,
}: {
  readonly kind: MoveKind;
  readonly entries: readonly Entry[];
  readonly target?: FolderPath | undefined;
  readonly onClose: () => void;
}) {
  const { session, actions } = useClient();
  const words = useWords();
  const formats = useFormats();
  const from = entries[0]?.parent ?? [];
  const [path, setPath] = useState(target ?? from);
  const [step, setStep] = useState<Step>({ name: 'choosing' });
  const [forAll, setForAll] = useState(false);
  const stopping = useRef(new AbortController());
  const isHere = path.join('/') === from.join('/');
  const several = entries.length > 1;

  const start = async (into: FolderPath): Promise<void> => {
    setStep({ name: 'working', done: 0 });
    await actions.moveOrCopy(kind, entries, into, {
      signal: stopping.current.signal,
      onProgress: (done) => setStep({ name: 'working', done }),
      onConflict: (entry) =>
        new Promise((resolve) => {
          setForAll(false);
          const answer = (choice: ConflictChoice, all: boolean): void => resolve({ choice, forAll: all });
          setStep({ name: 'conflict', entry, answer });
        }),
    });
    onClose();
  };
  /** Ends after what is being moved right now; also when the page goes elsewhere. */
  const stop = useRef((): void => undefined);
  stop.current = (): void => {
    stopping.current.abort();
    if (step.name === 'conflict') step.answer('skip', true);
  };
  useEffect(() => {
    if (target !== undefined) void start(target);
    return () => stop.current();
  }, []);

  const cancel = (): void => {
    stop.current();
    if (step.name === 'choosing') onClose();
  };
  const moved = entries.filter(({ type }) => type === 'folder').map((entry) => pathOf(entry).join('/'));
  const title = words.move.title(kind, entries.length, named(entries[0]?.name ?? ''));
  return (
    <Dialog
      view={step.name === 'conflict' ? 'move-conflict' : step.name === 'working' ? 'move-working' : 'move'}
      title={title}
      onClose={cancel}
    >
      {step.name === 'choosing' && (
        <>
          <NamedPlaces entries={entries} />
          <FolderPicker path={path} isClosed={(one) => moved.includes(one.join('/'))} onGo={setPath} />
          <div class="dialog-buttons">
            <Button onClick={cancel}>{words.common.cancel}</Button>
            <Button kind="primary" disabled={kind === 'move' && isHere} onClick={() => void start(path)}>
              {words.move.submit(kind)}
            </Button>
          </div>
        </>
      )}
      {step.name === 'working' && (
        <>
          <p class="dialog-place">
            <FullPath path={path} />
          </p>
          <progress
            class="meter"
            max={entries.length}
            value={step.done}
            aria-label={words.move.working(formats.number(step.done), formats.number(entries.length))}
          />
          <p role="status">{words.move.working(formats.number(step.done), formats.number(entries.length))}</p>
          <div class="dialog-buttons">
            <Button onClick={cancel}>{words.common.cancel}</Button>
          </div>
        </>
      )}
      {step.name === 'conflict' && (
        <>
          <p role="alert">
            <Said text={words.name.takenThere(named(step.entry.name))} />
          </p>
          <p class="dialog-place">
            <FullPath path={[...path, step.entry.name]} />
          </p>
          {step.entry.type === 'file' && (
            <ConflictFacts mine={step.entry} there={[...path, step.entry.name]} />
          )}
          {several && <ForAll checked={forAll} onChange={setForAll} />}
          <div class="dialog-buttons">
            <Button onClick={() => step.answer('skip', forAll)}>{words.uploads.skip}</Button>
            <Button onClick={() => step.answer('keep-both', forAll)}>{words.uploads.keepBoth}</Button>
            {step.entry.type === 'file' && session.rights.value.may(path, 'overwrite') && (
              <Button kind="danger" onClick={() => step.answer('replace', forAll)}>
                {words.uploads.replace}
              </Button>
            )}
          </div>
        </>
      )}
    </Dialog>
  );
}
