import { useLayoutEffect, useState } from 'preact/hooks';
import { Button } from '#dmz/web/components/button.tsx';
import { copyText, saveText } from '#dmz/web/components/text-out.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** The codes, shown this once, and ways to keep them. */
export function RecoveryCodes({
  codes,
  username,
  onDone,
}: {
  readonly codes: readonly string[];
  readonly username: string;
  readonly onDone: () => void;
}) {
  const { brand, notices } = useClient();
  const words = useWords();
  const [stored, setStored] = useState(false);
  // Before they can be seen, not after: a reload in between would lose them unasked.
  useLayoutEffect(() => {
    if (stored) return;
    // Nothing shows them a second time.
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener('beforeunload', ask);
    return () => window.removeEventListener('beforeunload', ask);
  }, [stored]);
  const heading = words.setup.codesFile(brand);
  const asText = `${heading} (${username})\n\n${codes.join('\n')}\n`;
  return (
    <div class="recovery" data-view="recovery-codes-shown">
      <p>{words.setup.codesIntro}</p>
      <div class="print-area">
        <p class="print-only">
          {heading} (<bdi translate={false}>{username}</bdi>)
        </p>
        <ol class="recovery-codes" translate={false}>
          {codes.map((code) => (
            <li key={code}>{code}</li>
          ))}
        </ol>
      </div>
      <div class="button-row">
        <Button
          icon="copy"
          onClick={() => {
            void copyText(codes.join('\n')).then((copied) =>
              copied ? notices.info(words.setup.copied) : notices.failure(words.setup.copyFailed),
            );
          }}
        >
          {words.setup.copyCodes}
        </Button>
        <Button icon="download" onClick={() => saveText(`${username}-recovery-codes.txt`, asText)}>
          {words.setup.downloadCodes}
        </Button>
        <Button icon="printer" onClick={() => window.print()}>
          {words.setup.printCodes}
        </Button>
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={stored}
          onChange={(event) => setStored(event.currentTarget.checked)}
        />
        <span>{words.setup.stored}</span>
      </label>
      <Button kind="primary" wide disabled={!stored} onClick={onDone}>
        {words.setup.done}
      </Button>
    </div>
  );
}
