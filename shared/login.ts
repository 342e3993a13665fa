/** The vocabulary of a login, shared by the node that runs the conversation and the one that decides. */

export type Protocol = 'https' | 'sftp';
export const protocols: readonly Protocol[] = ['https', 'sftp'];

/** How a session came past the second factor. `none`: none was due. */
export type Method =
  'totp' | 'email' | 'sms' | 'recovery' | 'bypass' | 'none' | 'lease' | 'device' | 'trusted-network';
/** What a node may call it: `sealed` where only main knows. */
export type ClaimedMethod = Method | 'sealed';
export type CodeMethod = 'totp' | 'email' | 'sms' | 'recovery' | 'bypass';

/** What an assertion is good for. A login assertion admits; every other purpose proves one named change. */
export type Purpose = 'login' | 'enrol' | 'recovery-codes' | 'password' | 'ssh-key';

/** Purposes that a step-up proves. */
export type StepUpPurpose = Exclude<Purpose, 'login' | 'enrol'>;

export type AgainReason = 'wrong-code' | 'used-code' | 'clock-drift';
