import { useEffect, useState } from 'preact/hooks';

/** Whole seconds until a moment, counting down to 0 while the component lives. */
export function useSecondsUntil(timeMs: number): number {
  const [nowMs, setNowMs] = useState(() => Date.now());
  const over = nowMs >= timeMs;
  useEffect(() => {
    setNowMs(Date.now());
    if (over) return;
    const timer = setInterval(() => setNowMs(Date.now()), 250);
    return () => clearInterval(timer);
  }, [timeMs, over]);
  return Math.max(0, Math.ceil((timeMs - nowMs) / 1000));
}
