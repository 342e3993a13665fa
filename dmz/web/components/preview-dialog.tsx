import { named } from '#dmz/web/i18n/sentence.ts';
import { useEffect, useState } from 'preact/hooks';
import { getFileStart } from '#dmz/web/api/files.ts';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import { Button, IconButton } from '#dmz/web/components/button.tsx';
import { Dialog } from '#dmz/web/components/dialog.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { pathOf, type Entry, previewKindOf } from '#dmz/web/files/entry.ts';
import { decodeText } from '#dmz/web/files/text-decoding.ts';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { previewImageBytesMax, previewTextBytesMax } from '#dmz/web/limits.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

type Content =
  | { readonly name: 'loading' }
  | { readonly name: 'image'; readonly url: string }
  | { readonly name: 'text'; readonly text: string; readonly isCut: boolean }
  | { readonly name: 'failed'; readonly sentence: string; readonly reference?: string | undefined };

/** One file, and the ones before and after it that can be shown as well. */
export function PreviewDialog({
  entry,
  among,
  onShow,
  onClose,
}: {
  readonly entry: Entry;
  readonly among: readonly Entry[];
  readonly onShow: (entry: Entry) => void;
  readonly onClose: () => void;
}) {
  const { actions } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [content, fail] = useContent(entry);
  const at = among.findIndex(({ name }) => name === entry.name);
  const [before, after] = [among[at - 1], among[at + 1]];
  return (
    <Dialog
      view="preview"
      title={named(entry.name)}
      class="dialog-preview"
      onClose={onClose}
      onKey={(key) => {
        if (key === 'ArrowLeft' && before !== undefined) onShow(before);
        if (key === 'ArrowRight' && after !== undefined) onShow(after);
      }}
    >
      <div class="preview" aria-busy={content.name === 'loading'}>
        {content.name === 'loading' && (
          <span class="spinner" role="status" aria-label={words.common.loading} />
        )}
        {content.name === 'image' && (
          <img src={content.url} alt={entry.name} onError={() => fail(words.preview.broken)} />
        )}
        {content.name === 'text' && (
          <pre tabIndex={0} aria-label={entry.name}>
            {content.text}
          </pre>
        )}
        {content.name === 'failed' && (
          <Message kind="danger" reference={content.reference}>
            {content.sentence}
          </Message>
        )}
      </div>
      {content.name === 'text' && content.isCut && (
        <p class="muted">{words.preview.cut(formats.size(previewTextBytesMax))}</p>
      )}
      <div class="dialog-buttons preview-buttons">
        <IconButton
          icon="chevronLeft"
          label={words.preview.before}
          disabled={before === undefined}
          onClick={() => before !== undefined && onShow(before)}
        />
        <IconButton
          icon="chevronRight"
          label={words.preview.after}
          disabled={after === undefined}
          onClick={() => after !== undefined && onShow(after)}
        />
        <span class="preview-size muted">{formats.size(entry.size)}</span>
        <Button icon="download" onClick={() => void actions.download([entry])}>
          {words.files.download}
        </Button>
        <Button kind="primary" onClick={onClose}>
          {words.common.close}
        </Button>
      </div>
    </Dialog>
  );
}

/** What there is to show, and how to say that it could not be shown after all. */
function useContent(entry: Entry): [Content, (sentence: string) => void] {
  const { http } = useClient();
  const words = useWords();
  const [content, setContent] = useState<Content>({ name: 'loading' });
  useEffect(() => {
    const leaving = new AbortController();
    let url: string | undefined;
    setContent({ name: 'loading' });
    const load = async (): Promise<Content> => {
      const isImage = previewKindOf(entry.name) === 'image';
      if (isImage && entry.size > previewImageBytesMax)
        return { name: 'failed', sentence: words.preview.tooLarge };
      const bytesMax = isImage ? previewImageBytesMax : previewTextBytesMax;
      const bytes = await getFileStart(http, pathOf(entry), {
        bytesMax: entry.size === 0 ? 0 : bytesMax,
        signal: leaving.signal,
      });
      if (!isImage) {
        const isCut = entry.size > bytesMax;
        const text = decodeText(new Uint8Array(await bytes.arrayBuffer()), isCut);
        if (text === undefined) return { name: 'failed', sentence: words.preview.noText };
        return { name: 'text', text, isCut };
      }
      url = URL.createObjectURL(bytes);
      return { name: 'image', url };
    };
    load().then(
      (loaded) => {
        if (!leaving.signal.aborted) setContent(loaded);
      },
      (thrown: unknown) => {
        if (leaving.signal.aborted) return;
        const problem = toApiProblem(thrown);
        const { reference } = problem.details;
        setContent({ name: 'failed', sentence: describeFailure(problem, words), reference });
      },
    );
    return () => {
      leaving.abort();
      if (url !== undefined) URL.revokeObjectURL(url);
    };
  }, [pathOf(entry).join('/')]);
  return [content, (sentence) => setContent({ name: 'failed', sentence })];
}
