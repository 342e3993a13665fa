import { useWords } from '#dmz/web/state/client.ts';

const radius = 20;
const circumference = 2 * Math.PI * radius;

/** Time running out, as a closing ring with the number inside. */
export function CountdownRing({ seconds, of }: { readonly seconds: number; readonly of: number }) {
  const words = useWords();
  const left = Math.max(0, Math.min(1, seconds / Math.max(1, of)));
  return (
    <div
      class={seconds <= 5 ? 'ring ring-urgent' : 'ring'}
      role="timer"
      aria-live="off"
      aria-label={words.setup.secondsLeft(seconds)}
    >
      <svg viewBox="0 0 48 48" width="56" height="56" aria-hidden="true" focusable="false">
        <circle class="ring-track" cx="24" cy="24" r={radius} />
        <circle
          class="ring-left"
          cx="24"
          cy="24"
          r={radius}
          transform="rotate(-90 24 24)"
          stroke-dasharray={String(circumference)}
          stroke-dashoffset={String(circumference * (1 - left))}
        />
      </svg>
      <span class="ring-number" aria-hidden="true">
        {seconds}
      </span>
    </div>
  );
}
