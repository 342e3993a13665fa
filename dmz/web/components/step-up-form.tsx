import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import type { StepUp } from '#dmz/web/api/self-service.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { cleanCode, CodeField } from '#dmz/web/components/code-field.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { TextField } from '#dmz/web/components/text-field.tsx';
import { describeStepUpFailure } from '#dmz/web/i18n/step-up-failure.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** Asks for the password, and for a code from who is enrolled, before something about the account is changed. */
export function StepUpForm({
  submit,
  danger = false,
  children,
  onSubmit,
  onCancel,
}: {
  readonly submit: string;
  readonly danger?: boolean;
  /** Fields above the proof. */
  readonly children?: ComponentChildren;
  /** A sentence: what is missing above. Rejects ApiProblem when the server says no. */
  readonly onSubmit: (proof: StepUp) => Promise<string | undefined>;
  readonly onCancel: () => void;
}) {
  const { session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const titleId = useId();
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<{ text: string; reference?: string | undefined } | undefined>();
  const state = session.state.value;
  const enrolled = state.name === 'signed-in' && state.account.two_factor.enrolled;

  const send = async (): Promise<void> => {
    if (busy) return;
    const missing =
      password === ''
        ? words.stepUp.missingPassword
        : enrolled && code === ''
          ? words.code.missing
          : undefined;
    setFailure(missing === undefined ? undefined : { text: missing });
    if (missing !== undefined) return;
    setBusy(true);
    try {
      const objection = await onSubmit({ password, code: cleanCode(code) });
      if (objection !== undefined) setFailure({ text: objection });
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      setFailure({
        text: describeStepUpFailure(problem, words, formats, Date.now()),
        reference: problem.details.reference,
      });
      if (problem.codeReason !== undefined) setCode('');
    }
    setBusy(false);
  };

  return (
    <form
      class="step-up"
      data-view="step-up"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {children}
      <p class="muted" id={titleId}>
        {enrolled ? words.stepUp.withCode : words.stepUp.withPassword}
      </p>
      <TextField
        label={words.stepUp.password}
        name="current-password"
        type="password"
        autocomplete="current-password"
        value={password}
        onInput={setPassword}
        describedBy={titleId}
      />
      {enrolled && (
        <CodeField
          label={words.code.label}
          value={code}
          onInput={setCode}
          letters={false}
          invalid={false}
          inputRef={null}
        />
      )}
      {failure !== undefined && (
        <Message kind="danger" reference={failure.reference}>
          {failure.text}
        </Message>
      )}
      <div class="button-row">
        <Button kind={danger ? 'danger' : 'primary'} type="submit" busy={busy}>
          {submit}
        </Button>
        <Button onClick={onCancel}>{words.common.cancel}</Button>
      </div>
    </form>
  );
}
