import { accountTries } from './account-tries.ts';
import { adminTries } from './admin-tries.ts';
import { linkTries } from './link-tries.ts';
import { loginTries } from './login-tries.ts';
import { restartTries } from './restart-tries.ts';
import { sessionTries } from './session-tries.ts';
import type { Try } from './try.ts';

/**
 * All of them, in the order in which they are run: the last ones of the administrator take the second node away, those
 * after them main and every code of the present minute.
 */
export const tries: readonly Try[] = [
  ...loginTries,
  ...sessionTries,
  ...accountTries,
  ...linkTries,
  ...adminTries,
  ...restartTries,
];
