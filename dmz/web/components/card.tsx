import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { BrandMark } from '#dmz/web/components/brand-mark.tsx';
import { useClient } from '#dmz/web/state/client.ts';

/** The card in the middle of an otherwise empty page: everything before and outside of the files. */
export function Card({
  view,
  title,
  wide,
  focusTitle,
  above,
  children,
}: {
  /** What this is, in the page's own words: the catalogue of scenes finds it by this name. */
  readonly view: string;
  readonly title: string;
  readonly wide?: boolean;
  /** Read the title out when the card appears (no field in it takes the focus). */
  readonly focusTitle?: boolean;
  readonly above?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  const { brand } = useClient();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – ${brand}`;
    if (focusTitle === true) heading.current?.focus();
  }, [title]);
  return (
    <main class="card-page" data-view={view}>
      <div class={wide === true ? 'card card-wide' : 'card'}>
        <div class="card-brand">
          <BrandMark />
          <span translate={false}>{brand}</span>
        </div>
        {above}
        <h1 class="card-title" ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {children}
      </div>
    </main>
  );
}
