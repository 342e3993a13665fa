import { Secret } from '#shared/secret.ts';
import type { TwoFactorAdmin } from '#main-agent/help-desk/two-factor-admin.ts';
import { z } from 'zod';
import { secretCharactersMax, secretsImportedAtOnceMax } from './limits.ts';
import { reason } from './values.ts';
import { defineRoute, noQuery, type Route } from './http/route.ts';
import { importAnswer } from './user-answers.ts';

/** `/v1/two-factor/import`: authenticators from another system. Secrets come in; none is told, logged or audited. */
export function buildImportRoute({ twoFactor }: { readonly twoFactor: TwoFactorAdmin }): Route {
  return defineRoute({
    method: 'POST',
    pattern: '/v1/two-factor/import',
    role: 'admin',
    summary: 'Take over TOTP secrets (base32 or otpauth URI), one answer for each; `dry_run` changes nothing',
    query: noQuery,
    body: z.strictObject({
      secrets: z
        .array(
          z.strictObject({
            /** Left out: whom the label of the otpauth URI names. */
            user: z.string().min(1).max(255).optional(),
            secret: z.string().min(1).max(secretCharactersMax),
          }),
        )
        .min(1)
        .max(secretsImportedAtOnceMax),
      dry_run: z.boolean().default(false),
      replace: z.boolean().default(false),
      reason,
    }),
    answer: importAnswer,
    handle: async ({ body, caller }) => {
      const results = [];
      for (const { user, secret } of body.secrets) {
        const { username, ...outcome } = await twoFactor.importSecret({
          user,
          secret: new Secret(secret),
          replace: body.replace,
          isDryRun: body.dry_run,
          actor: caller.actor,
          reason: body.reason,
        });
        results.push({
          user: username ?? user,
          outcome:
            'problem' in outcome
              ? ('refused' as const)
              : outcome.isReplaced
                ? ('replaced' as const)
                : ('imported' as const),
          problem: 'problem' in outcome ? outcome.problem : undefined,
        });
      }
      const taken = results.filter(({ outcome }) => outcome !== 'refused').length;
      const note = `${body.dry_run ? 'tried out: ' : ''}${taken} of ${results.length} secrets`;
      return { body: { dry_run: body.dry_run, results }, note };
    },
  });
}
