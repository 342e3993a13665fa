import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from '#dmz/web/components/icon.tsx';
import { useWords } from '#dmz/web/state/client.ts';

/** A sentence inside a page: what happened, what to do, and the reference to quote. */
export function Message({
  kind,
  reference,
  children,
}: {
  readonly kind: 'danger' | 'warn' | 'ok' | 'info';
  readonly reference?: string | undefined;
  readonly children: ComponentChildren;
}) {
  const words = useWords();
  const icon: IconName = kind === 'ok' ? 'check' : 'alert';
  return (
    <div class={`message message-${kind}`} role={kind === 'danger' ? 'alert' : 'status'}>
      {kind !== 'info' && <Icon name={icon} />}
      <p>
        {children}{' '}
        {reference !== undefined && (
          <span class="reference" translate={false}>
            {words.common.reference(reference)}
          </span>
        )}
      </p>
    </div>
  );
}
