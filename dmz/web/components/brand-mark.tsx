import { useClient } from '#dmz/web/state/client.ts';

/** The logo of this place, or our mark: a gate in a gate. The name stands beside it. */
export function BrandMark({ size = 24 }: { size?: number }) {
  const { branding } = useClient();
  if (branding.logo !== undefined)
    return <img class="brand-logo" src={branding.logo} height={size} alt="" draggable={false} />;
  return (
    <svg
      class="brand-mark"
      viewBox="0 0 32 32"
      width={size}
      height={size}
      aria-hidden="true"
      focusable="false"
    >
      <rect class="brand-mark-ground" width="32" height="32" rx="8" />
      <path class="brand-mark-arch" d="M8 26V14a8 8 0 0 1 16 0v12" />
      <path class="brand-mark-door" d="M13 26V15a3 3 0 0 1 6 0v11z" />
    </svg>
  );
}
