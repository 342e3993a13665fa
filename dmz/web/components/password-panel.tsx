import { useState } from 'preact/hooks';
import { changePassword } from '#dmz/web/api/self-service.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Panel } from '#dmz/web/components/panel.tsx';
import { StepUpForm } from '#dmz/web/components/step-up-form.tsx';
import { TextField } from '#dmz/web/components/text-field.tsx';
import { newPasswordCharactersMin } from '#dmz/web/limits.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** How hard to guess, as far as length and variety say; the server has the last word. */
function strengthOf(password: string): 0 | 1 | 2 | 3 {
  if (password.length < newPasswordCharactersMin) return 0;
  const variety = new Set(password).size;
  if (variety < 6) return 1;
  return password.length >= 20 && variety >= 10 ? 3 : 2;
}

export function PasswordPanel() {
  const { http, notices, session } = useClient();
  const words = useWords();
  const [open, setOpen] = useState(false);
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const close = (): void => {
    setOpen(false);
    setPassword('');
    setAgain('');
  };
  const strength = strengthOf(password);
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
            if (password.length < newPasswordCharactersMin)
              return words.password.short(newPasswordCharactersMin);
            if (password !== again) return words.password.different;
            await changePassword(http, password, proof);
            notices.info(words.password.done);
            close();
            await session.refresh();
            return undefined;
          }}
        >
          <TextField
            label={words.password.next}
            name="new-password"
            type="password"
            autocomplete="new-password"
            value={password}
            onInput={setPassword}
          />
          <p class="strength" aria-live="polite">
            <progress class="meter" max={3} value={strength} aria-label={words.password.strength} />
            <span class="muted">
              {password === ''
                ? words.password.rule(newPasswordCharactersMin)
                : words.password.strengths[strength]}
            </span>
          </p>
          <TextField
            label={words.password.again}
            name="new-password-again"
            type="password"
            autocomplete="new-password"
            value={again}
            onInput={setAgain}
          />
        </StepUpForm>
      )}
    </Panel>
  );
}
