/** The people of the demo. What each may and must do is the demo's contract; scripts outside rely on it. */
export interface DemoUser {
  readonly name: string;
  readonly displayName: string;
  readonly hasPassword: boolean;
  readonly hasKey: boolean;
  readonly isEnrolled: boolean;
  readonly email?: string;
  readonly requiredOn: readonly ('https' | 'sftp')[];
  readonly registration: boolean;
  readonly forceSetup: boolean;
  readonly sftpPasswordWithCode?: boolean;
  /** Mounts as the user's file has them, such as `{ path: /, storage: local, root: x, allow: [read] }`; none: inherited. */
  readonly mounts?: readonly string[];
}

const both = ['https', 'sftp'] as const;

export const selfCheckUser = 'self-check';

export const demoUsers: readonly DemoUser[] = [
  {
    name: 'alice',
    displayName: 'Alice Example',
    hasPassword: true,
    hasKey: false,
    isEnrolled: true,
    requiredOn: both,
    registration: false,
    forceSetup: false,
  },
  {
    name: 'bob',
    displayName: 'Bob Example',
    hasPassword: true,
    hasKey: false,
    isEnrolled: false,
    email: 'bob@example.com',
    requiredOn: both,
    registration: true,
    forceSetup: false,
  },
  {
    name: 'carol',
    displayName: 'Carol Example',
    hasPassword: true,
    hasKey: false,
    isEnrolled: false,
    requiredOn: [],
    registration: true,
    forceSetup: false,
  },
  {
    name: 'dave',
    displayName: 'Dave Example',
    hasPassword: true,
    hasKey: false,
    isEnrolled: false,
    requiredOn: both,
    registration: false,
    forceSetup: true,
  },
  {
    name: 'erin',
    displayName: 'Erin Example',
    hasPassword: false,
    hasKey: true,
    isEnrolled: true,
    requiredOn: both,
    registration: false,
    forceSetup: false,
  },
  {
    name: 'frank',
    displayName: 'Frank Example',
    hasPassword: true,
    hasKey: false,
    isEnrolled: false,
    requiredOn: [],
    registration: false,
    forceSetup: false,
  },
  {
    name: selfCheckUser,
    displayName: 'Self-check of the demo',
    hasPassword: true,
    hasKey: false,
    isEnrolled: true,
    requiredOn: both,
    registration: false,
    forceSetup: false,
  },
];
