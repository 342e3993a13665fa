import type { ComponentChildren } from 'preact';

/** One topic on a page of settings. */
export function Panel({
  title,
  badge,
  children,
}: {
  readonly title: string;
  readonly badge?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <section class="panel">
      <div class="panel-head">
        <h2>{title}</h2>
        {badge}
      </div>
      {children}
    </section>
  );
}
