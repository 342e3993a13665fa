import type { ComponentChildren } from 'preact';

/** One topic on a page of settings. */
export function Panel({
  view,
  title,
  badge,
  children,
}: {
  /** What this is, in the page's own words: the catalogue of scenes finds it by this name. */
  readonly view: string;
  readonly title: string;
  readonly badge?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <section class="panel" data-view={view}>
      <div class="panel-head">
        <h2>{title}</h2>
        {badge}
      </div>
      {children}
    </section>
  );
}
