/**
 * Which rows of a long list exist in the page. Rows have one fixed height, so it is arithmetic: no measuring, the same
 * work for ten rows and a hundred thousand.
 */
interface ListWindow {
  /** First row to render. */
  readonly first: number;
  /** One past the last. */
  readonly end: number;
}

/** Rows above and below the visible ones, so that fast scrolling shows no gaps. */
export const overscanRows = 8;

export function windowOf(list: {
  readonly scrollTop: number;
  readonly viewportHeight: number;
  readonly rowHeight: number;
  readonly count: number;
}): ListWindow {
  const { scrollTop, viewportHeight, rowHeight, count } = list;
  const firstVisible = Math.floor(Math.max(0, scrollTop) / rowHeight);
  const endVisible = Math.ceil((Math.max(0, scrollTop) + viewportHeight) / rowHeight);
  const end = Math.min(count, endVisible + overscanRows);
  return { first: Math.max(0, Math.min(firstVisible - overscanRows, end)), end };
}

/** The least scrolling that makes a row wholly visible. */
export function scrollTopToShow(
  index: number,
  list: { readonly scrollTop: number; readonly viewportHeight: number; readonly rowHeight: number },
): number {
  const top = index * list.rowHeight;
  const bottom = top + list.rowHeight;
  if (top < list.scrollTop) return top;
  if (bottom > list.scrollTop + list.viewportHeight) return bottom - list.viewportHeight;
  return list.scrollTop;
}

/** The row that a key goes to in a list; undefined: it is none of these keys. */
export function rowByKey(
  key: string,
  at: number,
  list: { readonly count: number; readonly viewportHeight: number; readonly rowHeight: number },
): number | undefined {
  const pageRows = Math.max(1, Math.floor(list.viewportHeight / list.rowHeight) - 1);
  const row = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + pageRows,
    PageUp: at - pageRows,
    Home: 0,
    End: list.count - 1,
  }[key];
  return row === undefined ? undefined : Math.max(0, Math.min(list.count - 1, row));
}
