import type { Clock } from '#shared/clock.ts';
import { z } from 'zod';
import {
  bypassTtlSecondsDefault,
  bypassTtlSecondsMax,
  reasonCharactersMax,
  rollOutPageMax,
} from './limits.ts';
import { pageByName, pageQuery } from './page.ts';
import type { TwoFactorAdmin, TwoFactorReport, UserDirectory } from './ports.ts';
import { defineRoute, noBody, noQuery, type Route } from './route.ts';
import { requireUser } from './user-routes.ts';

/** `/v1/users/{user}/two-factor` and the roll-out report. No answer holds a secret but the bypass code, once. */

const reason = z.string().trim().min(3, 'say why').max(reasonCharactersMax);

export function buildTwoFactorRoutes({
  users,
  twoFactor,
  clock,
}: {
  readonly users: UserDirectory;
  readonly twoFactor: TwoFactorAdmin;
  readonly clock: Clock;
}): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/users/{user}/two-factor',
      role: 'viewer',
      summary: 'The user’s second factor: enrolled, required, locked',
      query: noQuery,
      body: noBody,
      handle: async ({ param }) => {
        requireUser(users, param('user'));
        return { body: viewReport(param('user'), await twoFactor.status(param('user'))) };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/users/{user}/two-factor',
      role: 'helpdesk',
      summary: 'Reset: the factor, its recovery codes, leases and remembered devices are gone',
      query: noQuery,
      body: z.strictObject({ reason }),
      // No `requireUser`: an enrolment may outlive its user's file and must still be removable.
      handle: async ({ param, body, caller }) => {
        await twoFactor.reset(param('user'), { actor: caller.actor, reason: body.reason });
        return {};
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/two-factor/unlock',
      role: 'helpdesk',
      summary: 'Lift the lock that wrong codes led to',
      query: noQuery,
      body: z.strictObject({ reason }),
      handle: async ({ param, body, caller }) => {
        requireUser(users, param('user'));
        await twoFactor.unlock(param('user'), { actor: caller.actor, reason: body.reason });
        return {};
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/two-factor/bypass-code',
      role: 'helpdesk',
      summary: 'Make a one-time code for a lost phone; it replaces an earlier one',
      query: noQuery,
      body: z.strictObject({
        reason,
        ttl_seconds: z.number().int().min(60).max(bypassTtlSecondsMax).default(bypassTtlSecondsDefault),
        re_enrol: z.boolean().default(false),
      }),
      handle: async ({ param, body, caller }) => {
        requireUser(users, param('user'));
        const ttlMs = body.ttl_seconds * 1000;
        const code = await twoFactor.makeBypassCode(param('user'), {
          actor: caller.actor,
          reason: body.reason,
          ttlMs,
          reEnrol: body.re_enrol,
        });
        return {
          status: 201,
          body: { code: code.expose(), expires_at: new Date(clock.now() + ttlMs).toISOString() },
        };
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/two-factor/roll-out',
      role: 'viewer',
      summary: 'Who is enrolled, who is required, who would be locked out today; in pages by name',
      query: pageQuery(rollOutPageMax),
      body: noBody,
      handle: async ({ query }) => {
        const { rows, next } = pageByName(users.list(), query);
        const reports = await Promise.all(
          rows.map(async (user) => {
            const report = await twoFactor.status(user.username);
            return { ...viewReport(user.username, report), protection: protectionOf(report, user.protocols) };
          }),
        );
        return { body: { users: reports, next } };
      },
    }),
  ];
}

function viewReport(username: string, report: TwoFactorReport): object {
  const time = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : new Date(ms).toISOString();
  return {
    username,
    state: report.state,
    problem: report.problem,
    confirmed_at: report.confirmedAt,
    via: report.via,
    required_on: report.requiredOn,
    recovery_codes_left: report.recoveryCodesLeft,
    failures: report.failures,
    locked_until: time(report.lockedUntilMs),
    bypass_code_until: time(report.bypassExpiresAtMs),
    locked_out_on: report.lockedOutOn,
  };
}

function protectionOf(report: TwoFactorReport, protocols: readonly string[]): string {
  if (report.lockedOutOn.length > 0) return 'locked out';
  const covered = protocols.filter((protocol) => report.requiredOn.some((one) => one === protocol));
  if (covered.length === 0) return 'not required';
  return covered.length === protocols.length ? 'protected' : 'partly protected';
}
