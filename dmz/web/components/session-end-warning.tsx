import { Button } from '#dmz/web/components/button.tsx';
import { useSecondsUntil } from '#dmz/web/components/countdown.ts';
import { Icon } from '#dmz/web/components/icon.tsx';
import type { SessionEnd } from '#dmz/web/state/session-end.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** A bar over the page while the session is about to end. */
export function SessionEndWarning() {
  const { sessionEnd } = useClient();
  const warning = sessionEnd.warning.value;
  return (
    <div class="session-end-area" aria-live="assertive">
      {warning !== undefined && <Warning key={warning.atMs} warning={warning} />}
    </div>
  );
}

function Warning({ warning }: { readonly warning: SessionEnd }) {
  const { sessionEnd } = useClient();
  const words = useWords();
  const formats = useFormats();
  const seconds = useSecondsUntil(warning.atMs);
  return (
    <div class="session-end" data-view="session-end">
      <Icon name="alert" />
      <p>
        {/* Read out once: a number that changes each second would be read each second. */}
        <span aria-hidden="true">{words.sessionEnd.in(formats.duration(seconds))}</span>
        <span class="visually-hidden">{words.sessionEnd.soon}</span>
        {!warning.extendable && ` ${words.sessionEnd.hard}`}
      </p>
      {warning.extendable && (
        <Button kind="primary" onClick={() => void sessionEnd.stay()}>
          {words.sessionEnd.stay}
        </Button>
      )}
    </div>
  );
}
