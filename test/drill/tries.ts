import { accountTries } from './account-tries.ts';
import { adminTries } from './admin-tries.ts';
import { linkTries } from './link-tries.ts';
import { loginTries } from './login-tries.ts';
import { sessionTries } from './session-tries.ts';
import type { Try } from './try.ts';

/** All of them, in the order in which they are run: the last one takes the second node away. */
export const tries: readonly Try[] = [
  ...loginTries,
  ...sessionTries,
  ...accountTries,
  ...linkTries,
  ...adminTries,
];
