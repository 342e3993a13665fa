import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '#dmz/web/components/button.tsx';
import { useSecondsUntil } from '#dmz/web/components/countdown.ts';
import type { Outage } from '#dmz/web/state/session.ts';
import { useFormats, useWords } from '#dmz/web/state/client.ts';

/** The server is down: says so, counts down, tries again by itself or at once. */
export function OutageCountdown({
  outage,
  onRetry,
}: {
  readonly outage: Outage;
  readonly onRetry: () => Promise<void>;
}) {
  const words = useWords();
  const formats = useFormats();
  const [retrying, setRetrying] = useState(false);
  const tried = useRef(0);
  const seconds = useSecondsUntil(outage.retryAtMs);

  const retry = (): void => {
    if (retrying) return;
    tried.current = outage.retryAtMs;
    setRetrying(true);
    void onRetry().finally(() => setRetrying(false));
  };
  useEffect(() => {
    if (seconds === 0 && tried.current !== outage.retryAtMs) retry();
  }, [seconds, outage.retryAtMs]);

  return (
    <div class="outage" data-view="outage">
      <p role="status">{words.outage[outage.side]}</p>
      <p class="muted" aria-live="off">
        {retrying || seconds === 0 ? words.outage.retrying : words.outage.retryIn(formats.duration(seconds))}
      </p>
      <Button icon="retry" busy={retrying} onClick={retry}>
        {words.outage.retryNow}
      </Button>
    </div>
  );
}
