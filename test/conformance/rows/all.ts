import type { Table } from '../row.ts';
import { attributes } from './attributes.ts';
import { content } from './content.ts';
import { extensions } from './extensions.ts';
import { folders } from './folders.ts';
import { handles } from './handles.ts';
import { inOneGo } from './in-one-go.ts';
import { links } from './links.ts';
import { longLife } from './long-life.ts';
import { messages } from './messages.ts';
import { names } from './names.ts';
import { opening } from './opening.ts';
import { renaming } from './renaming.ts';
import { severalSessions } from './several-sessions.ts';

/** The whole table, chapter by chapter. */
export const tables: readonly Table[] = [
  // Begun first, because they take longest.
  longLife,
  inOneGo,
  opening,
  handles,
  content,
  attributes,
  names,
  folders,
  renaming,
  links,
  extensions,
  severalSessions,
  messages,
];
