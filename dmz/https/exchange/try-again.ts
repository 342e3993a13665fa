import type { AgainReason } from '#shared/login.ts';

const messages: Readonly<Record<AgainReason, string>> = {
  'wrong-code': 'That code is not right',
  'used-code': 'That code is already used; wait for the next one',
  'clock-drift': 'The clock of your device is wrong; set it to automatic time',
};

/** What a person whose code did not work is told. */
export function describeAgain(reason: AgainReason): string {
  return messages[reason];
}
