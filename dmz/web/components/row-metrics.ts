import { useEffect, useState } from 'preact/hooks';

/** Pixels; the same numbers stand in styles/file-list.css. */
const rowHeights = { desktop: 40, touch: 44, phone: 60 };

const phoneQuery = '(max-width: 640px)';
const touchQuery = '(pointer: coarse)';

/** Height of a row in this window: two lines on phones, at least a finger's size on touch screens. */
export function useRowHeight(): number {
  const measure = (): number =>
    matchMedia(phoneQuery).matches
      ? rowHeights.phone
      : matchMedia(touchQuery).matches
        ? rowHeights.touch
        : rowHeights.desktop;
  const [height, setHeight] = useState(measure);
  useEffect(() => {
    const queries = [matchMedia(phoneQuery), matchMedia(touchQuery)];
    const update = (): void => setHeight(measure());
    for (const query of queries) query.addEventListener('change', update);
    return () => {
      for (const query of queries) query.removeEventListener('change', update);
    };
  }, []);
  return height;
}
