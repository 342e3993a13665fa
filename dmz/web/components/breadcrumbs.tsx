import { useLayoutEffect, useRef } from 'preact/hooks';
import { markDropPlace } from '#dmz/web/components/drop-files.ts';
import { Icon } from '#dmz/web/components/icon.tsx';
import { PageLink } from '#dmz/web/components/page-link.tsx';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { useWords } from '#dmz/web/state/client.ts';

/** The way from Home to here; files and rows can be dropped on each step. On narrow windows it scrolls, showing its end. */
export function Breadcrumbs({
  path,
  dropFolder,
}: {
  readonly path: FolderPath;
  readonly dropFolder: FolderPath | undefined;
}) {
  const words = useWords();
  const scroller = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    scroller.current?.scrollTo({ left: scroller.current.scrollWidth });
  }, [path]);
  const names = [words.files.home, ...path];
  return (
    <nav class="breadcrumbs" aria-label={words.files.path} ref={scroller}>
      <ol>
        {names.map((name, index) => {
          const last = index === names.length - 1;
          const folder = path.slice(0, index);
          const isHeldOver = dropFolder?.join('/') === folder.join('/');
          return (
            <li key={index} class={isHeldOver ? 'crumb-drop' : ''} {...markDropPlace(folder)}>
              {index > 0 && <Icon name="chevronRight" size={16} />}
              <PageLink to={{ name: 'files', folder }} current={last} isData={index > 0}>
                {name}
              </PageLink>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}
