import type { MainAgentConfig } from '#main-agent/config.ts';

/** What of main's configuration decides about logins. */
export type LoginConfig = Pick<
  MainAgentConfig,
  'name' | 'twoFactor' | 'sessions' | 'passwords' | 'bans' | 'smtp' | 'sms'
>;
