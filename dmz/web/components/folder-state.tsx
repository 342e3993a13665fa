import { Said } from '#dmz/web/components/said.tsx';
import { named } from '#dmz/web/i18n/sentence.ts';
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ApiProblem } from '#dmz/web/api/problem.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Icon, type IconName } from '#dmz/web/components/icon.tsx';
import { PageLink } from '#dmz/web/components/page-link.tsx';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { skeletonDelayMs } from '#dmz/web/limits.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** What stands in the list's place when there is no list. */
export function Blank({
  view,
  icon,
  title,
  children,
}: {
  readonly view: string;
  readonly icon: IconName;
  readonly title: string;
  readonly children?: ComponentChildren;
}) {
  return (
    <div class="blank" data-view={view}>
      <span class="blank-icon">
        <Icon name={icon} size={28} />
      </span>
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Grey rows in the shape of the list, after a moment: a fast folder shows none. */
export function LoadingFolder() {
  const words = useWords();
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setVisible(true), skeletonDelayMs);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="skeleton" data-view="folder-loading" role="status" aria-label={words.common.loading}>
      {visible &&
        Array.from({ length: 8 }, (_, index) => (
          <div class="skeleton-row" key={index}>
            <span class="skeleton-bar skeleton-check" />
            <span class={`skeleton-bar skeleton-name skeleton-name-${index % 3}`} />
            <span class="skeleton-bar skeleton-size on-desktop" />
            <span class="skeleton-bar skeleton-size on-desktop" />
          </div>
        ))}
    </div>
  );
}

/** `onUpload` undefined: nothing may be put in here. */
export function EmptyFolder({ onUpload }: { readonly onUpload: (() => void) | undefined }) {
  const { folder } = useClient();
  const words = useWords();
  const typed = folder.filter.value;
  if (folder.entries.value.length > 0)
    return (
      <Blank view="folder-no-hit" icon="search" title={words.files.noHitTitle}>
        <p>
          <Said text={words.files.noHit(named(typed))} />
        </p>
        <Button
          onClick={() => {
            folder.filter.value = '';
          }}
        >
          {words.files.clearFilter}
        </Button>
      </Blank>
    );
  if (onUpload === undefined)
    return <Blank view="folder-closed" icon="folder" title={words.files.emptyTitle} />;
  const first = folder.path.value.length === 0;
  return (
    <Blank
      view={first ? 'first-visit' : 'folder-empty'}
      icon="upload"
      title={first ? words.files.firstTitle : words.files.emptyTitle}
    >
      {first && <p>{words.files.first}</p>}
      <p class="off-touch">{words.files.empty}</p>
      <Button icon="upload" onClick={onUpload}>
        {words.files.uploadFiles}
      </Button>
    </Blank>
  );
}

export function FailedFolder({ problem }: { readonly problem: ApiProblem }) {
  const { folder, session } = useClient();
  const words = useWords();
  const { reference } = problem.details;
  const gone = problem.status === 404 || problem.status === 409;
  const forbidden = problem.status === 403;
  const title = gone
    ? words.files.missingTitle
    : forbidden
      ? words.files.forbiddenTitle
      : words.files.brokenTitle;
  const text = gone
    ? words.files.missing
    : forbidden
      ? session.rights.value.may(folder.path.value, 'write')
        ? words.files.dropBox
        : words.files.forbidden
      : problem.isOutage
        ? describeFailure(problem, words)
        : words.files.broken;
  return (
    <Blank
      view={gone ? 'folder-gone' : forbidden ? 'folder-forbidden' : 'folder-broken'}
      icon={problem.status === 0 ? 'wifiOff' : 'alert'}
      title={title}
    >
      <p role="alert">
        {text}{' '}
        {reference !== undefined && (
          <span class="reference" translate={false}>
            {words.common.reference(reference)}
          </span>
        )}
      </p>
      <div class="button-row">
        {!forbidden && !gone && (
          <Button icon="retry" onClick={() => void folder.open(folder.path.value)}>
            {words.common.tryAgain}
          </Button>
        )}
        {folder.path.value.length > 0 && (
          <PageLink class="button button-plain" to={{ name: 'files', folder: [] }}>
            {words.files.goHome}
          </PageLink>
        )}
      </div>
    </Blank>
  );
}
