import type { DemoUser } from '#scripts/demonstration/users.ts';

/** Somebody with a password of whom nothing else is asked, and what a test changes about them. */
export function buildDemoUser(name: string, change: Partial<DemoUser> = {}): DemoUser {
  return {
    name,
    displayName: `${name} Example`,
    hasPassword: true,
    hasKey: false,
    isEnrolled: false,
    requiredOn: [],
    registration: false,
    forceSetup: false,
    ...change,
  };
}
