import { Said } from '#dmz/web/components/said.tsx';
import { Button, IconButton } from '#dmz/web/components/button.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';
import type { Notice } from '#dmz/web/state/notices.ts';

const icons = { info: 'check', reminder: 'shield', failure: 'alert' } as const;

/** The page's live regions: they exist from the start, because regions that appear with their text are not read. */
export function NoticeArea() {
  const { notices, route } = useClient();
  const follow = (link: Notice['link']): void => {
    if (link === undefined) return;
    route.go(link.to);
    notices.dismiss();
  };
  const words = useWords();
  const notice = notices.current.value;
  return (
    <>
      <div class="visually-hidden" aria-live="polite">
        <Said text={notices.spoken.value} />
      </div>
      <div class="notice-area" aria-live="polite">
        {notice !== undefined && (
          <div class={`notice notice-${notice.kind}`} data-view="notice">
            {notice.kind === 'work' ? <span class="spinner" /> : <Icon name={icons[notice.kind]} />}
            <p>
              <Said text={notice.text} />{' '}
              {notice.reference !== undefined && (
                <span class="reference" translate={false}>
                  {words.common.reference(notice.reference)}
                </span>
              )}
            </p>
            {notice.action !== undefined && (
              <Button
                onClick={() => {
                  notices.dismiss();
                  notice.action?.run();
                }}
              >
                {notice.action.label}
              </Button>
            )}
            {notice.link !== undefined && route.place.value.name !== notice.link.to.name && (
              <Button onClick={() => follow(notice.link)}>{notice.link.label}</Button>
            )}
            {notice.onCancel === undefined ? (
              <IconButton icon="close" label={words.common.dismiss} onClick={() => notices.dismiss()} />
            ) : (
              <Button onClick={notice.onCancel}>{words.common.cancel}</Button>
            )}
          </div>
        )}
      </div>
    </>
  );
}
