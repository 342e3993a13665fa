import type { Table } from '../row.ts';
import { attributes } from './attributes.ts';
import { content } from './content.ts';
import { extensions } from './extensions.ts';
import { folders } from './folders.ts';
import { handles } from './handles.ts';
import { links } from './links.ts';
import { names } from './names.ts';
import { notYet } from './not-yet.ts';
import { opening } from './opening.ts';
import { renaming } from './renaming.ts';

/** The whole table, chapter by chapter. */
export const everything: readonly Table[] = [
  opening,
  handles,
  content,
  attributes,
  names,
  folders,
  renaming,
  links,
  extensions,
];

/** What is told now. */
export const tables: readonly Table[] = everything.map(({ title, rows }) => ({
  title,
  rows: rows.filter((row) => !notYet.has(row.title)),
}));
