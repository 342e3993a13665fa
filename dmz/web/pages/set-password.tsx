import { useState } from 'preact/hooks';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { postLinkedPassword } from '#dmz/web/api/sign-in.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Card } from '#dmz/web/components/card.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { findObjection, NewPasswordFields, nothingTyped } from '#dmz/web/components/new-password.tsx';
import type { Formats } from '#dmz/web/format/formats.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { describeWeakPassword } from '#dmz/web/i18n/step-up-failure.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

function describeProblem(problem: ApiProblem, words: Catalogue, formats: Formats): string {
  if (problem.isOutage) return words.failure.outage;
  if (problem.status === 401) return words.setPassword.gone;
  if (problem.status === 429)
    return words.signIn.tooMany(formats.duration((problem.details.retryAfterMs ?? 60_000) / 1000));
  if (problem.details.reason === 'weak-password') return describeWeakPassword(problem, words);
  return words.setPassword.failed;
}

/**
 * Where a mailed link leads. What stands after `#` is sent only with the new password: opening the page, as programs
 * that look through mails do, spends nothing.
 */
export function SetPasswordPage() {
  const { http, notices, route, session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [typed, setTyped] = useState(nothingTyped);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<{ text: string; reference?: string | undefined } | undefined>();
  const leave = (): void => route.correct({ name: 'files', folder: [] });

  const submit = async (): Promise<void> => {
    if (busy) return;
    const objection = findObjection(typed, words);
    setFailure(objection === undefined ? undefined : { text: objection });
    if (objection !== undefined) return;
    setBusy(true);
    try {
      const token = window.location.hash.slice(1);
      const { username } = await postLinkedPassword(http, token, typed.password);
      session.username = username;
      notices.info(words.setPassword.done);
      leave();
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      setFailure({
        text: describeProblem(problem, words, formats),
        reference: problem.details.reference,
      });
      setBusy(false);
    }
  };

  return (
    <Card view="set-password" title={words.setPassword.title} focusTitle>
      <form
        method="post"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <NewPasswordFields typed={typed} onInput={setTyped} />
        <Button kind="primary" type="submit" wide busy={busy}>
          {busy ? words.setPassword.working : words.setPassword.submit}
        </Button>
        {failure !== undefined && (
          <Message kind="danger" reference={failure.reference}>
            {failure.text}
          </Message>
        )}
        <div class="card-foot">
          <div class="card-links">
            <Button kind="link" onClick={leave}>
              {words.setPassword.leave}
            </Button>
          </div>
        </div>
      </form>
    </Card>
  );
}
