import { named } from '#dmz/web/i18n/sentence.ts';
import { useRef, useState } from 'preact/hooks';
import { Button, IconButton } from '#dmz/web/components/button.tsx';
import { ConflictFacts, ForAll } from '#dmz/web/components/conflict-facts.tsx';
import { FullPath } from '#dmz/web/components/full-path.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { TextField } from '#dmz/web/components/text-field.tsx';
import { checkName, suggestName } from '#dmz/web/files/path.ts';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';
import type { ConflictChoice, Upload } from '#dmz/web/state/upload.ts';

/** More lines than this are not read by anybody; what needs a person comes first. */
const linesMax = 100;

/** Waiting for an answer first, then what moves, then what failed, then the rest. */
const order: Readonly<Record<Upload['state']['value']['name'], number>> = {
  conflict: 0,
  'bad-name': 0,
  failed: 1,
  'needs-file': 1,
  sending: 2,
  reconnecting: 2,
  paused: 2,
  waiting: 3,
  done: 4,
  skipped: 4,
  cancelled: 4,
};

function Progress({ fraction, label }: { readonly fraction: number; readonly label: string }) {
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(fraction * 100)}
    >
      <div class="progress-done" style={{ width: `${fraction * 100}%` }} />
    </div>
  );
}

function describeState(
  upload: Upload,
  words: ReturnType<typeof useWords>,
  formats: ReturnType<typeof useFormats>,
): string {
  const state = upload.state.value;
  switch (state.name) {
    case 'waiting':
      return words.uploads.waiting;
    case 'sending': {
      const stored = upload.storedBytes.value;
      const rate = upload.bytesPerSecond.value;
      const figures = words.uploads.figures(formats.size(stored), formats.size(upload.sizeBytes));
      if (rate <= 0) return figures;
      const left = words.uploads.left(formats.duration((upload.sizeBytes - stored) / rate));
      return `${figures} · ${words.uploads.rate(formats.size(rate))} · ${left}`;
    }
    case 'paused':
      return words.uploads.paused;
    case 'needs-file':
      return state.refused
        ? words.uploads.otherFile
        : words.uploads.needsFile(formats.percent(fractionOf(upload)));
    case 'reconnecting':
      return words.uploads.reconnecting;
    case 'conflict':
      return words.uploads.conflict;
    case 'bad-name':
      return words.uploads.badName;
    case 'failed': {
      const { reference } = state.problem.details;
      const text = describeFailure(state.problem, words);
      return reference === undefined ? text : `${text} ${words.common.reference(reference)}`;
    }
    case 'done':
      return words.uploads.done;
    case 'skipped':
      return words.uploads.skipped;
    case 'cancelled':
      return words.uploads.cancelled;
  }
}

function ConflictChoices({ upload, several }: { readonly upload: Upload; readonly several: boolean }) {
  const { session, uploads } = useClient();
  const words = useWords();
  const mayReplace = session.rights.value.may(upload.folder, 'overwrite');
  const [forAll, setForAll] = useState(false);
  const choose = (choice: ConflictChoice) => (): void => uploads.resolve(upload, choice, forAll);
  return (
    <div class="conflict">
      <FullPath path={[...upload.folder, upload.name.value]} />
      <ConflictFacts
        mine={{ size: upload.sizeBytes, mtimeMs: upload.mtimeMs }}
        there={[...upload.folder, upload.name.value]}
      />
      {mayReplace && <Button onClick={choose('replace')}>{words.uploads.replace}</Button>}
      <Button onClick={choose('keep-both')}>{words.uploads.keepBoth}</Button>
      <Button onClick={choose('skip')}>{words.uploads.skip}</Button>
      {several && <ForAll checked={forAll} onChange={setForAll} />}
    </div>
  );
}

/** For a name that can't be used here: the nearest that can, to be changed or taken. */
function NewName({ upload, several }: { readonly upload: Upload; readonly several: boolean }) {
  const { uploads } = useClient();
  const words = useWords();
  const [name, setName] = useState(suggestName(upload.name.value));
  const [wrong, setWrong] = useState(false);
  const [forAll, setForAll] = useState(false);
  const folder = upload.folder.map(suggestName).join('/');
  return (
    <form
      class="conflict"
      data-view="upload-new-name"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const isUsable = checkName(name) === undefined;
        setWrong(!isUsable);
        if (isUsable) uploads.rename(upload, name, forAll);
      }}
    >
      <TextField
        label={
          folder === upload.folder.join('/')
            ? words.uploads.newName
            : words.uploads.newNameIn(named(upload.folder.map(suggestName).join(' › ')))
        }
        value={name}
        onInput={(typed) => {
          setName(typed);
          setWrong(false);
        }}
        error={wrong ? words.name.refused : undefined}
      />
      <Button type="submit">{words.uploads.uploadAs}</Button>
      <Button onClick={() => uploads.skip(upload)}>{words.uploads.skip}</Button>
      {several && <ForAll checked={forAll} onChange={setForAll} />}
    </form>
  );
}

function fractionOf({ storedBytes, sizeBytes }: Upload): number {
  return sizeBytes === 0 ? 0 : storedBytes.value / sizeBytes;
}

/** For an upload that was begun before the page was opened. */
function FileChooser({ upload }: { readonly upload: Upload }) {
  const { uploads } = useClient();
  const words = useWords();
  const picker = useRef<HTMLInputElement>(null);
  return (
    <div class="conflict">
      <Button onClick={() => picker.current?.click()}>{words.uploads.chooseFile}</Button>
      <input
        ref={picker}
        class="visually-hidden upload-chooser"
        type="file"
        tabIndex={-1}
        aria-label={words.uploads.chooseFileFor(upload.name.value)}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          if (file !== undefined) void uploads.provide(upload, file);
          event.currentTarget.value = '';
        }}
      />
    </div>
  );
}

function UploadLine({ upload, several }: { readonly upload: Upload; readonly several: boolean }) {
  const { uploads } = useClient();
  const words = useWords();
  const formats = useFormats();
  const state = upload.state.value.name;
  const name = upload.name.value;
  const begun = state === 'sending' || state === 'paused' || state === 'needs-file';
  return (
    <li class={`upload upload-${state}`}>
      <div class="upload-text">
        <span class="upload-name" translate={false} title={[...upload.folder, name].join('/')}>
          {name}
        </span>
        <span class="upload-state">{describeState(upload, words, formats)}</span>
        {begun && <Progress fraction={fractionOf(upload)} label={name} />}
        {state === 'conflict' && <ConflictChoices upload={upload} several={several} />}
        {state === 'bad-name' && <NewName upload={upload} several={several} />}
        {state === 'needs-file' && <FileChooser upload={upload} />}
      </div>
      {state === 'done' && <Icon name="check" />}
      {state === 'failed' && (
        <IconButton icon="retry" label={words.uploads.retry(name)} onClick={() => uploads.retry(upload)} />
      )}
      {upload.isRunning && (
        <IconButton icon="pause" label={words.uploads.pause(name)} onClick={() => uploads.pause(upload)} />
      )}
      {state === 'paused' && (
        <IconButton icon="play" label={words.uploads.resume(name)} onClick={() => uploads.resume(upload)} />
      )}
      {!upload.isOver && (
        <IconButton icon="close" label={words.uploads.cancel(name)} onClick={() => uploads.cancel(upload)} />
      )}
    </li>
  );
}

/** Over everything: how fast, how long still. */
function TotalFigures() {
  const { uploads } = useClient();
  const words = useWords();
  const formats = useFormats();
  const rate = uploads.bytesPerSecond.value;
  if (rate <= 0) return null;
  return (
    <p class="upload-total muted">
      {words.uploads.rate(formats.size(rate))} ·{' '}
      {words.uploads.left(formats.duration(uploads.secondsLeft.value))}
    </p>
  );
}

/** What is being uploaded, and what became of it. A corner of the window; a sheet at the bottom of a phone. */
export function UploadPanel() {
  const { uploads } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [open, setOpen] = useState(true);
  const items = uploads.items.value;
  if (items.length === 0) return null;
  const running = uploads.running.value;
  const fraction = uploads.fraction.value;
  const several = items.length > 1;
  const lines = items
    .toSorted((a, b) => order[a.state.value.name] - order[b.state.value.name] || a.id - b.id)
    .slice(0, linesMax);
  const done = formats.number(uploads.doneCount.value);
  return (
    <section class="upload-panel" data-view="uploads" aria-label={words.uploads.title}>
      <div class="upload-head">
        <h2>
          {words.uploads.title}{' '}
          <span class="muted">{words.uploads.progress(done, formats.number(items.length))}</span>
        </h2>
        {running && <span class="upload-percent">{formats.percent(fraction)}</span>}
        <IconButton
          icon={open ? 'chevronDown' : 'arrowUp'}
          label={open ? words.uploads.collapse : words.uploads.expand}
          expanded={open}
          onClick={() => setOpen(!open)}
        />
        {several && running && (
          <IconButton icon="pause" label={words.uploads.pauseAll} onClick={() => uploads.pauseAll()} />
        )}
        {several && !running && uploads.paused.value && (
          <IconButton icon="play" label={words.uploads.resumeAll} onClick={() => uploads.resumeAll()} />
        )}
        {!running && (
          <IconButton icon="close" label={words.uploads.clear} onClick={() => uploads.clearOver()} />
        )}
      </div>
      {running && <Progress fraction={fraction} label={words.uploads.title} />}
      {running && several && <TotalFigures />}
      {open && (
        <ul class="upload-list">
          {lines.map((upload) => (
            <UploadLine key={upload.id} upload={upload} several={several} />
          ))}
        </ul>
      )}
    </section>
  );
}
