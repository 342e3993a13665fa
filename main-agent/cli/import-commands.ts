import { secretsImportedAtOnceMax } from '#main-agent/admin/limits.ts';
import { importAnswer } from '#main-agent/admin/user-answers.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport two-factor import`: authenticators that users have from another system. */

interface ImportOptions {
  readonly reason: string;
  readonly dryRun?: boolean;
  readonly replace?: boolean;
}

interface Line {
  readonly line: number;
  readonly user: string | undefined;
  readonly secret: Secret;
}

/** Nobody has more users than this, and a device file never ends. */
const importBytesMax = 16 * 1024 * 1024;

export function addImportCommand(twoFactor: Command, context: CommandContext): void {
  twoFactor
    .command('import')
    .description('take over TOTP secrets from another system; each line: user,secret or an otpauth URI')
    .argument('<file>', 'what the other system exported, or - for standard input; delete it afterwards')
    .requiredOption('--reason <text>', 'why; it is audited')
    .option('--dry-run', 'say what would happen, and change nothing')
    .option('--replace', 'also where a user has a second factor already; ends its sessions')
    .action(async (file: string, options: ImportOptions) => {
      const lines = readLines(await readSecretFile(context, file));
      if (lines.length === 0) throw new SallyportError('usage', 'There is no secret in it');
      const results = await send(context, lines, options);
      const refused = results.filter(({ outcome }) => outcome === 'refused');
      context.print({ dry_run: options.dryRun === true, results }, () =>
        describe(results, options.dryRun === true),
      );
      if (refused.length > 0)
        throw new SallyportError('conflict', `${refused.length} of ${results.length} lines were not taken`, {
          hint: 'correct them and import again: what was taken is refused as already there, and stays',
        });
    });
}

type Result = z.output<typeof importAnswer>['results'][number] & { readonly line: number };

async function send(
  context: CommandContext,
  lines: readonly Line[],
  { reason, dryRun = false, replace = false }: ImportOptions,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < lines.length; start += secretsImportedAtOnceMax) {
    const some = lines.slice(start, start + secretsImportedAtOnceMax);
    const json = await context.call('POST', '/v1/two-factor/import', {
      body: {
        secrets: some.map(({ user, secret }) => ({
          ...(user !== undefined && { user }),
          secret: secret.expose(),
        })),
        dry_run: dryRun,
        replace,
        reason,
      },
    });
    for (const [index, result] of readAnswer(importAnswer, json).results.entries())
      results.push({ ...result, line: some[index]?.line ?? 0 });
  }
  return results;
}

/** `-` is standard input. */
export async function readSecretFile({ terminal }: CommandContext, file: string): Promise<Secret> {
  if (file === '-') return terminal.readSecretInput();
  const octets = await readFile(file).catch((cause: unknown) => {
    throw new SallyportError('not-found', 'The file can not be read', { detail: file, cause });
  });
  if (octets.length > importBytesMax) throw new SallyportError('usage', 'The file is too large');
  return new Secret(octets.toString('utf8'));
}

/** `user,secret` with a comma, semicolon or blank between, or an otpauth URI that names its user; `#` begins a remark. */
function readLines(text: Secret): Line[] {
  return text
    .expose()
    .split(/\r?\n/)
    .map((whole, index) => ({ whole: whole.trim(), line: index + 1 }))
    .filter(({ whole }) => whole !== '' && !whole.startsWith('#'))
    .map(({ whole, line }) => {
      if (/^otpauth:/i.test(whole)) return { line, user: undefined, secret: new Secret(whole) };
      const [, user = whole, secret = ''] = /^([^\s,;]+)[\s,;]+(.*)$/.exec(whole) ?? [];
      // A line without a user may be a secret: it is not taken for a name, which would be shown.
      if (secret === '') throw new SallyportError('usage', `Line ${line} is no user and secret`);
      return { line, user, secret: new Secret(secret) };
    });
}

function describe(results: readonly Result[], isDryRun: boolean): string {
  const refused = results.filter(({ outcome }) => outcome === 'refused');
  const count = (wanted: string): number => results.filter(({ outcome }) => outcome === wanted).length;
  const would = isDryRun ? 'would be ' : '';
  return `${formatRefused(refused)}${count('imported')} ${would}imported, ${count('replaced')} ${would}replaced, ${refused.length} not taken.\n`;
}

/** Nothing where all were taken. */
export function formatRefused(
  refused: readonly {
    readonly line: number;
    readonly user?: string | undefined;
    readonly problem?: string | undefined;
  }[],
): string {
  if (refused.length === 0) return '';
  return formatTable(
    ['line', 'user', 'not taken because'],
    refused.map(({ line, user, problem }) => [line, user, problem]),
  );
}
