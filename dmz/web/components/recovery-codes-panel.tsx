import { useState } from 'preact/hooks';
import { renewRecoveryCodes } from '#dmz/web/api/self-service.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { Panel } from '#dmz/web/components/panel.tsx';
import { RecoveryCodes } from '#dmz/web/components/recovery-codes.tsx';
import { StepUpForm } from '#dmz/web/components/step-up-form.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** How many are left, and a new set. */
export function RecoveryCodesPanel({ username, left }: { readonly username: string; readonly left: number }) {
  const { http, session } = useClient();
  const words = useWords();
  const state = session.state.value;
  const [open, setOpen] = useState(false);
  const [codes, setCodes] = useState<readonly string[] | undefined>();
  return (
    <Panel view="recovery-codes" title={words.recoveryCodes.title}>
      {codes === undefined && <p>{words.options.recoveryLeft(left)}</p>}
      {codes === undefined && state.name === 'signed-in' && state.account.session.method === 'recovery' && (
        <Message kind="warn">
          {left === 0 ? words.recoveryCodes.usedLast : words.recoveryCodes.usedOne}
        </Message>
      )}
      {codes !== undefined && (
        <RecoveryCodes codes={codes} username={username} onDone={() => setCodes(undefined)} />
      )}
      {codes === undefined && !open && (
        <Button icon="retry" onClick={() => setOpen(true)}>
          {words.recoveryCodes.renew}
        </Button>
      )}
      {open && (
        <StepUpForm
          submit={words.recoveryCodes.renew}
          onCancel={() => setOpen(false)}
          onSubmit={async (proof) => {
            setCodes(await renewRecoveryCodes(http, proof));
            setOpen(false);
            await session.refresh();
            return undefined;
          }}
        >
          <p>{words.recoveryCodes.consequence}</p>
        </StepUpForm>
      )}
    </Panel>
  );
}
