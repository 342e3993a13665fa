import { useEffect, useState } from 'preact/hooks';
import { Card } from '#dmz/web/components/card.tsx';
import { startingDelayMs } from '#dmz/web/limits.ts';
import { useWords } from '#dmz/web/state/client.ts';

/** Before the server said who is signed in: nothing at first, so that nothing flickers. */
export function StartingPage() {
  const words = useWords();
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setVisible(true), startingDelayMs);
    return () => clearTimeout(timer);
  }, []);
  if (!visible) return null;
  return (
    <Card view="starting" title={words.common.loading} focusTitle>
      <span class="spinner" aria-hidden="true" />
    </Card>
  );
}
