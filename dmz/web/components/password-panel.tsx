import { useState } from 'preact/hooks';
import { changePassword } from '#dmz/web/api/self-service.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { findObjection, NewPasswordFields, nothingTyped } from '#dmz/web/components/new-password.tsx';
import { Panel } from '#dmz/web/components/panel.tsx';
import { StepUpForm } from '#dmz/web/components/step-up-form.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';

export function PasswordPanel() {
  const { http, notices, session } = useClient();
  const words = useWords();
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState(nothingTyped);
  const close = (): void => {
    setOpen(false);
    setTyped(nothingTyped);
  };
  return (
    <Panel view="password" title={words.password.title}>
      {!open && (
        <Button icon="key" onClick={() => setOpen(true)}>
          {words.password.change}
        </Button>
      )}
      {open && (
        <StepUpForm
          submit={words.password.change}
          onCancel={close}
          onSubmit={async (proof) => {
            const objection = findObjection(typed, words);
            if (objection !== undefined) return objection;
            await changePassword(http, typed.password, proof);
            notices.info(words.password.done);
            close();
            await session.refresh();
            return undefined;
          }}
        >
          <NewPasswordFields typed={typed} onInput={setTyped} />
        </StepUpForm>
      )}
    </Panel>
  );
}
