import type { Admission, Guard } from '#dmz/guard/guard.ts';

export interface FakeGuard extends Pick<Guard, 'admitConnection' | 'malformed'> {
  readonly breaches: string[];
  readonly open: Set<Admission>;
  admits: boolean;
  mayAwaitCode: boolean;
}

/** Lets everybody in and remembers what it was told. */
export function buildFakeGuard(): FakeGuard {
  const guard: FakeGuard = {
    breaches: [],
    open: new Set(),
    admits: true,
    mayAwaitCode: true,
    admitConnection: () => {
      if (!guard.admits) return { admitted: false, reason: 'banned', retryAfterMs: 1000 };
      const admission: Admission = {
        admitted: true,
        awaitCode: () => guard.mayAwaitCode,
        reached: () => undefined,
        authenticated: () => undefined,
        release: () => void guard.open.delete(admission),
      };
      guard.open.add(admission);
      return admission;
    },
    malformed: (_ip, _protocol, what) => void guard.breaches.push(what),
  };
  return guard;
}
