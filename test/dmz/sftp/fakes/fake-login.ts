import type { FileClient } from '#dmz/files/file-client.ts';
import type { Admitted, Again, FirstFactorPassed, LoginService } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { ChallengeView, FirstFactorEvidence } from '#shared/link/messages.ts';

export interface FakeUser {
  readonly password?: string;
  /** Public key blob. */
  readonly key?: Buffer;
  readonly next: ChallengeView['next'];
  readonly admitAs?: 'none' | 'lease';
  readonly asked?: Partial<NonNullable<ChallengeView['asked']>>;
  readonly code?: string;
  readonly attempts?: number;
  readonly expiresInMs?: number;
  /** What `answer` says of codes before the right one, in order. */
  readonly wrong?: Again['reason'];
  readonly notice?: string;
  /** Instead of a view: what `begin` throws after a right first factor. */
  readonly failsWith?: SallyportError;
}

export interface LoginRecord {
  readonly calls: string[];
  readonly evidence: FirstFactorEvidence[];
  readonly sessions: { readonly user: string; readonly controller: AbortController; ended: boolean }[];
}

/** Main's verdicts, from a table. Says what it was asked. */
export function buildFakeLogin(
  users: Readonly<Record<string, FakeUser>>,
  files: (user: string) => FileClient,
): LoginService & LoginRecord & { down: boolean } {
  const record: LoginRecord = { calls: [], evidence: [], sessions: [] };

  function admit(user: string, spec: FakeUser, method: 'none' | 'lease' | 'totp'): Admitted {
    const controller = new AbortController();
    const session = { user, controller, ended: false };
    record.sessions.push(session);
    record.calls.push(`admitted ${user} ${method}`);
    return {
      outcome: 'admitted',
      view: {
        session: 'a'.repeat(43),
        username: user,
        displayName: user,
        state: 'signed-in',
        protocol: 'sftp',
        method,
        idleMs: 900_000,
        leftMs: 43_200_000,
        ...(spec.notice !== undefined && { notice: spec.notice }),
      },
      ended: controller.signal,
      files: files(user),
      account: () => Promise.reject(new Error('not used')),
      get enrolment(): never {
        throw new Error('not used');
      },
      get selfService(): never {
        throw new Error('not used');
      },
      end: async () => {
        session.ended = true;
        record.calls.push(`end ${user}`);
      },
    };
  }

  function pass(user: string, spec: FakeUser): FirstFactorPassed {
    let left = spec.attempts ?? 5;
    return {
      id: 'c'.repeat(43),
      view: {
        challenge: 'c'.repeat(43),
        nonce: 'n'.repeat(43),
        expiresInMs: spec.expiresInMs ?? 120_000,
        username: user,
        next: spec.next,
        ...(spec.next === 'admit' && { admitAs: spec.admitAs ?? 'none' }),
        ...(spec.next === 'code' && {
          asked: {
            method: 'totp',
            hint: '',
            recovery: true,
            attemptsLeft: left,
            shapes: ['digits6', 'recovery'],
            ...spec.asked,
          },
        }),
      },
      admit: async () => admit(user, spec, spec.admitAs ?? 'none'),
      answer: async (code) => {
        const given = code.expose();
        record.calls.push(`answer ${user}`);
        if (!/^\d{6}$/.test(given)) throw refused();
        if (given === spec.code) return admit(user, spec, 'totp');
        left -= 1;
        if (left === 0) throw refused();
        return { outcome: 'again', reason: spec.wrong ?? 'wrong-code', attemptsLeft: left };
      },
      resend: async () => ({ resendInMs: 30_000 }),
      cancel: async () => {
        record.calls.push(`cancel ${user}`);
      },
    };
  }

  const service = {
    ...record,
    down: false,
    probe: async (user: string, key: Buffer) => {
      record.calls.push(`probe ${user}`);
      return users[user]?.key?.equals(key) === true;
    },
    begin: async ({ user, factor }: Parameters<LoginService['begin']>[0]) => {
      record.calls.push(`begin ${user} ${factor.type}`);
      record.evidence.push(factor);
      if (service.down) throw new SallyportError('link-down', 'Not reachable');
      const spec = users[user];
      const isRight =
        factor.type === 'password'
          ? spec?.password !== undefined && spec.password === factor.password
          : spec?.key !== undefined && Buffer.from(factor.signed, 'base64url').includes(spec.key);
      if (spec === undefined || !isRight) throw refused();
      if (spec.failsWith !== undefined) throw spec.failsWith;
      return pass(user, spec);
    },
    resume: () => Promise.reject(new Error('not used')),
    setPassword: () => Promise.reject(new Error('not used')),
    attach: () => Promise.reject(new Error('not used')),
  };
  return service;
}

export function refused(): SallyportError {
  return new SallyportError('refused', 'Sign-in refused', { reference: 'TESTTEST' });
}
