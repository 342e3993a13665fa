import { z } from 'zod';

/**
 * What people see of an installation, as main's configuration takes it and the policy brings it to the nodes: one schema
 * for both, since what only one of them took would end every link.
 */

export const brandName = z.string().min(1).max(128);

/** Read by people, on a page and in a terminal: lines of text, and nothing that a terminal would obey. */
function plainText(charactersMax: number) {
  return z
    .string()
    .min(1)
    .max(charactersMax)
    .regex(/^(?:[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]|[\n\t])*$/u, {
      error: 'text without control characters and changes of direction',
    });
}

export const banner = plainText(4096);
export const helpText = plainText(500);

/** It becomes the address of a link: of a page or a mail, and of nothing that runs. */
export const helpLink = z
  .string()
  .max(2048)
  .regex(/^(https:\/\/|mailto:)[^\s"'<>]+$/, {
    error: 'https://… or mailto:…, without spaces, quotes (%27 for an apostrophe), < and >',
    abort: true,
  });
