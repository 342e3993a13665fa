import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Button } from '#dmz/web/components/button.tsx';
import { cleanCode, CodeField } from '#dmz/web/components/code-field.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { useWords } from '#dmz/web/state/client.ts';

/** What the server said about the administrator's code; undefined: it wants none. */
export interface TicketQuestion {
  /** One was typed and is not right. */
  readonly wrong: boolean;
  readonly attemptsLeft: number | undefined;
}

/** Phone in hand, before the picture is shown; and the administrator's code where a set-up needs one. */
export function SetupReady({
  question,
  busy,
  onReady,
}: {
  readonly question: TicketQuestion | undefined;
  readonly busy: boolean;
  readonly onReady: (ticket: string | undefined) => void;
}) {
  const words = useWords();
  const field = useRef<HTMLInputElement>(null);
  const [ticket, setTicket] = useState('');
  const [missing, setMissing] = useState(false);
  // With the question, not after it: somebody may type at once.
  useLayoutEffect(() => {
    setTicket('');
    field.current?.focus();
  }, [question]);
  const problem = missing
    ? words.code.missing
    : question?.wrong === true
      ? words.setup.ticketWrong
      : undefined;
  return (
    <form
      class="setup-ready"
      data-view={question === undefined ? 'setup-ready' : 'setup-ticket'}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const typed = cleanCode(ticket);
        setMissing(question !== undefined && typed === '');
        if (busy || (question !== undefined && typed === '')) return;
        onReady(question === undefined ? undefined : typed);
      }}
    >
      <p>{words.setup.readyIntro}</p>
      <ol class="numbered">
        <li>{words.setup.readyApp}</li>
        <li>{words.setup.readyAdd}</li>
        <li>{words.setup.readyTime}</li>
      </ol>
      {question !== undefined && (
        <>
          <p>{words.setup.ticketIntro}</p>
          <CodeField
            label={words.code.givenLabel}
            value={ticket}
            onInput={setTicket}
            letters
            invalid={problem !== undefined}
            inputRef={field}
          />
          {problem !== undefined && <Message kind="danger">{problem}</Message>}
        </>
      )}
      <Button kind="primary" type="submit" wide busy={busy}>
        {words.setup.readySubmit}
      </Button>
      {question?.attemptsLeft !== undefined && (
        <p class="muted">{words.code.attemptsLeft(question.attemptsLeft)}</p>
      )}
    </form>
  );
}
