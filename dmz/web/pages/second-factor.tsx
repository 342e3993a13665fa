import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import type { Challenge } from '#dmz/http-api/sign-in.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Card } from '#dmz/web/components/card.tsx';
import { cleanCode, CodeField } from '#dmz/web/components/code-field.tsx';
import { useSecondsUntil } from '#dmz/web/components/countdown.ts';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { describeCodeFailure } from '#dmz/web/i18n/code-failure.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** How long a sent code has to travel before another may be asked for, when the server didn't say otherwise. */
const resendSeconds = 30;

function describeSource(challenge: Challenge, sent: boolean, words: Catalogue): string {
  if (challenge.sealed === true) return words.code.sealed;
  if (!sent) return words.code.notSent;
  switch (challenge.method) {
    case 'totp':
      return words.code.fromApp;
    case 'email':
      return words.code.byEmail(challenge.hint);
    case 'sms':
      return words.code.bySms(challenge.hint);
  }
}

/** What is asked for, and where it comes from. `letters`: a recovery code, or one from the administrator. */
function describeAnswer(challenge: Challenge, letters: boolean, sent: boolean, words: Catalogue) {
  const { code } = words;
  if (!letters)
    return { title: code.title, source: describeSource(challenge, sent, words), label: code.label };
  return challenge.recovery
    ? { title: code.recoveryTitle, source: code.recoverySource, label: code.recoveryLabel }
    : { title: code.givenTitle, source: code.givenSource, label: code.givenLabel };
}

/** Link to another delivered code, with the wait before it. */
function Resend({
  challenge,
  onResend,
}: {
  readonly challenge: Challenge;
  readonly onResend: () => Promise<number>;
}) {
  const words = useWords();
  const formats = useFormats();
  const [readyAtMs, setReadyAtMs] = useState(
    () => Date.now() + (challenge.resend_in ?? resendSeconds) * 1000,
  );
  const seconds = useSecondsUntil(readyAtMs);
  return (
    <Button
      kind="link"
      disabled={seconds > 0}
      onClick={() => {
        void onResend().then((waitMs) => setReadyAtMs(Date.now() + waitMs));
      }}
    >
      {seconds > 0 ? words.code.resendIn(formats.duration(seconds)) : words.code.resend}
    </Button>
  );
}

/** Second step: same card, same place. Says where the code comes from, and why one was not accepted. */
export function SecondFactorPage({
  username,
  challenge,
  expiresAtMs,
}: {
  readonly username: string;
  readonly challenge: Challenge;
  readonly expiresAtMs: number;
}) {
  const { session } = useClient();
  const words = useWords();
  const sourceId = useId();
  const { letters, failure, ...answer } = useAnswer(challenge, expiresAtMs);
  const sent = challenge.method === 'totp' || challenge.sent_ago !== undefined || answer.sentAgain;
  const text = describeAnswer(challenge, letters, sent, words);
  const isSealed = challenge.sealed === true;

  return (
    <Card
      view="second-factor"
      title={text.title}
      above={
        <div class="card-who">
          <button type="button" class="button button-link" onClick={() => void session.abandonCode()}>
            <Icon name="chevronLeft" />
            <span>{words.code.back}</span>
          </button>
          <span class="muted" translate={false}>
            {username}
          </span>
        </div>
      }
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void answer.submit();
        }}
      >
        <p class="card-lead" id={sourceId}>
          {text.source}
        </p>
        <CodeField
          label={text.label}
          value={answer.code}
          onInput={answer.setCode}
          letters={letters}
          invalid={failure !== undefined}
          describedBy={sourceId}
          inputRef={answer.field}
        />
        {failure !== undefined && (
          <Message kind="danger" reference={failure.reference}>
            {failure.text}
          </Message>
        )}
        {challenge.remember_device === true && (
          <label class="check">
            <input
              type="checkbox"
              checked={answer.remember}
              onChange={(event) => answer.setRemember(event.currentTarget.checked)}
            />
            <span>{words.code.remember}</span>
          </label>
        )}
        {answer.sentAgain && failure === undefined && (
          <Message kind="ok">{isSealed ? words.code.resentSealed : words.code.resent}</Message>
        )}
        <Button kind="primary" type="submit" wide busy={answer.busy}>
          {answer.busy ? words.code.working : words.code.submit}
        </Button>
        <div class="card-foot">
          <div class="card-links">
            {(isSealed ? challenge.resend_in !== undefined : challenge.method !== 'totp') && !letters && (
              <Resend challenge={challenge} onResend={answer.resend} />
            )}
            {challenge.given !== true && (
              <Button kind="link" onClick={answer.switchLetters}>
                {letters
                  ? challenge.method === 'totp'
                    ? words.code.useApp
                    : words.code.useDelivered
                  : challenge.recovery
                    ? words.code.useRecovery
                    : words.code.useGiven}
              </Button>
            )}
          </div>
          {!isSealed && <span class="muted">{words.code.attemptsLeft(answer.attemptsLeft)}</span>}
        </div>
      </form>
    </Card>
  );
}

/** What is typed and what became of it, until the session is whole or begins again. */
function useAnswer(challenge: Challenge, expiresAtMs: number) {
  const { session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const field = useRef<HTMLInputElement>(null);
  const [code, setCode] = useState('');
  /** Typing letters: a recovery code, or one from the administrator. */
  const [letters, setLetters] = useState(challenge.given === true);
  const [busy, setBusy] = useState(false);
  const [attemptsLeft, setAttemptsLeft] = useState(challenge.attempts_left);
  const [failure, setFailure] = useState<{ text: string; reference?: string | undefined } | undefined>();
  const [remember, setRemember] = useState(false);
  const [sentAgain, setSentAgain] = useState(false);
  const secondsLeft = useSecondsUntil(expiresAtMs);

  useEffect(() => field.current?.focus(), [letters]);
  useEffect(() => {
    if (secondsLeft === 0 && !busy) session.startAgain();
  }, [secondsLeft === 0]);

  const kind = letters ? 'recovery' : challenge.method === 'totp' ? 'app' : 'delivered';
  const submit = async (): Promise<void> => {
    if (busy) return;
    const typed = cleanCode(field.current?.value ?? code);
    field.current?.focus();
    // Who uses no code is asked like everybody.
    if (typed === '' && challenge.sealed !== true) {
      setFailure({ text: words.code.missing });
      return;
    }
    setBusy(true);
    try {
      await session.answer(typed, remember);
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      const left = problem.details.attemptsLeft;
      // The half session is over: nothing typed here can work any more.
      if (problem.status === 401 && (problem.codeReason === undefined || left === 0)) {
        session.startAgain(challenge.sealed === true ? 'refused' : 'start-again');
        return;
      }
      if (left !== undefined) setAttemptsLeft(left);
      setFailure({
        text: describeCodeFailure(problem, kind, words, formats, Date.now()),
        reference: problem.details.reference,
      });
      if (problem.codeReason !== undefined) setCode('');
      setBusy(false);
    }
  };

  /** Milliseconds until the next one may be asked for. */
  const resend = async (): Promise<number> => {
    setFailure(undefined);
    try {
      await session.resend();
      setSentAgain(true);
      return resendSeconds * 1000;
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      if (problem.status === 401) session.startAgain();
      setFailure({ text: words.code.resendFailed, reference: problem.details.reference });
      return problem.details.retryAfterMs ?? resendSeconds * 1000;
    } finally {
      field.current?.focus();
    }
  };

  const switchLetters = (): void => {
    setLetters(!letters);
    setCode('');
    setFailure(undefined);
  };

  return {
    field,
    code,
    setCode,
    letters,
    switchLetters,
    remember,
    setRemember,
    busy,
    failure,
    attemptsLeft,
    sentAgain,
    submit,
    resend,
  };
}
