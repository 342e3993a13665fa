import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Button } from '#dmz/web/components/button.tsx';
import { cleanCode, CodeField } from '#dmz/web/components/code-field.tsx';
import { useSecondsUntil } from '#dmz/web/components/countdown.ts';
import { Message } from '#dmz/web/components/message.tsx';
import { useFormats, useWords } from '#dmz/web/state/client.ts';

/** One code from the app, which proves that the phone stored the secret. */
export function SetupProve({
  expiresAtMs,
  failure,
  attemptsLeft,
  busy,
  onProve,
  onExpired,
}: {
  readonly expiresAtMs: number;
  readonly failure: string | undefined;
  readonly attemptsLeft: number | undefined;
  readonly busy: boolean;
  readonly onProve: (code: string) => void;
  readonly onExpired: () => void;
}) {
  const words = useWords();
  const formats = useFormats();
  const field = useRef<HTMLInputElement>(null);
  const [code, setCode] = useState('');
  const [missing, setMissing] = useState(false);
  const seconds = useSecondsUntil(expiresAtMs);
  useEffect(() => field.current?.focus(), []);
  // Before anybody sees the message: what is typed after it must stay.
  useLayoutEffect(() => {
    if (failure === undefined) return;
    setCode('');
    field.current?.focus();
  }, [failure, attemptsLeft]);
  useEffect(() => {
    if (seconds === 0) onExpired();
  }, [seconds === 0]);
  const shown = missing ? words.code.missing : failure;
  return (
    <form
      data-view="setup-prove"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const typed = cleanCode(code);
        setMissing(typed === '');
        if (typed !== '' && !busy) onProve(typed);
      }}
    >
      <p>{words.setup.proveIntro}</p>
      <CodeField
        label={words.code.label}
        value={code}
        onInput={setCode}
        letters={false}
        invalid={shown !== undefined}
        inputRef={field}
      />
      {shown !== undefined && <Message kind="danger">{shown}</Message>}
      <Button kind="primary" type="submit" wide busy={busy}>
        {words.setup.proveSubmit}
      </Button>
      <div class="card-foot">
        <span class="muted">{words.setup.proveLeft(formats.duration(seconds))}</span>
        {attemptsLeft !== undefined && <span class="muted">{words.code.attemptsLeft(attemptsLeft)}</span>}
      </div>
    </form>
  );
}
