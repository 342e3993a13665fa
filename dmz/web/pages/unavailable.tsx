import { Card } from '#dmz/web/components/card.tsx';
import { OutageCountdown } from '#dmz/web/components/outage.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';
import type { Outage } from '#dmz/web/state/session.ts';

/** Shown in place of everything while main, or the way to the server, is down. */
export function UnavailablePage({ outage }: { readonly outage: Outage }) {
  const { session } = useClient();
  const words = useWords();
  return (
    <Card view="unavailable" title={words.outage.title} focusTitle>
      <OutageCountdown outage={outage} onRetry={() => session.refresh()} />
    </Card>
  );
}
