import { usersImportedAtOnceMax } from '#main-agent/admin/limits.ts';
import { hashKeyAnswer, usersImported } from '#main-agent/admin/user-answers.ts';
import { buildHashSealer, type HashSealer } from '#main-agent/users/hash-box.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import { SallyportError, toSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import type { Command } from 'commander';
import { randomBytes } from 'node:crypto';
import { readAnswer } from './answers.ts';
import { parseAssignments } from './assignments.ts';
import type { CommandContext } from './command-context.ts';
import { parseCsv } from './csv.ts';
import { formatRefused, readSecretFile } from './import-commands.ts';
import { mailPasswordLink } from './password-link.ts';
import { formatTable } from './table.ts';

/** `sallyport users import`: users of another system, with the hashes it had of their passwords. */

interface ImportOptions {
  readonly reason: string;
  readonly template?: string;
  readonly dryRun?: boolean;
  readonly welcome?: boolean;
}

/** One line of a CSV file, or one entry of a JSON array, both counted from 1. */
interface Row {
  readonly line: number;
  readonly username: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly hash: Secret | undefined;
}

interface Result {
  readonly line: number;
  readonly user: string;
  readonly outcome: 'added' | 'refused';
  readonly problem?: string | undefined;
}

const plainColumns = ['display_name', 'email', 'phone', 'status', 'expires', 'quota'];
const columns = ['username', 'password_hash', ...plainColumns, 'groups', 'ssh_keys'];

export function addUserImportCommand(users: Command, context: CommandContext): void {
  users
    .command('import')
    .description('add users of another system, with its hashes of their passwords, from CSV or JSON')
    .argument(
      '<file>',
      `CSV with a first line of ${columns.join(', ')} or dotted keys, or a JSON array of such objects; - for standard input`,
    )
    .requiredOption('--reason <text>', 'why; it is audited')
    .option('--template <user>', 'begin each file as this user’s, but for what is that person’s own')
    .option('--welcome', 'mail whoever comes without a hash a link by which they set a password')
    .option('--dry-run', 'say what would happen, and change nothing')
    .action(async (file: string, options: ImportOptions) => {
      const rows = readRows((await readSecretFile(context, file)).expose());
      if (rows.length === 0) throw new SallyportError('usage', 'There is no user in it');
      const { good, twins } = setTwinsAside(rows);
      const isDryRun = options.dryRun === true;
      const sent = await send(context, good, options);
      const results = [...twins, ...sent].toSorted((one, other) => one.line - other.line);
      const refused = results.filter(({ outcome }) => outcome === 'refused');
      const mailed =
        options.welcome === true && !isDryRun ? await welcome(context, good, results, options.reason) : [];
      context.print(
        { dry_run: isDryRun, results, ...(options.welcome === true && { mailed }) },
        () => describe(results, refused, isDryRun) + describeMailed(mailed),
      );
      const unmailed = mailed.filter(({ problem }) => problem !== undefined).length;
      if (refused.length === 0 && unmailed > 0)
        throw new SallyportError('conflict', `${unmailed} of ${mailed.length} links were not mailed`, {
          hint: 'the users are there: sallyport users password-link <user>',
        });
      if (refused.length > 0)
        throw new SallyportError('conflict', `${refused.length} of ${results.length} lines were not taken`, {
          hint: 'correct them and import again: who was taken is refused as there already, and stays',
        });
    });
}

/** Of names that would be one user the first counts. */
function setTwinsAside(rows: readonly Row[]): { good: readonly Row[]; twins: readonly Result[] } {
  const first = new Map<string, number>();
  const good: Row[] = [];
  const twins: Result[] = [];
  for (const row of rows) {
    const { line, username: user } = row;
    const form = foldUsername(user);
    const before = first.get(form);
    if (before === undefined) good.push(row);
    else twins.push({ line, user, outcome: 'refused', problem: `the name stands in line ${before} already` });
    if (before === undefined) first.set(form, line);
  }
  return { good, twins };
}

async function send(
  context: CommandContext,
  rows: readonly Row[],
  { reason, template, dryRun = false }: ImportOptions,
): Promise<readonly Result[]> {
  const sealer = await askHashSealer(context);
  const results: Result[] = [];
  for (let start = 0; start < rows.length; start += usersImportedAtOnceMax) {
    const some = rows.slice(start, start + usersImportedAtOnceMax);
    const json = await context.call('POST', '/v1/users/import', {
      body: {
        users: some.map(({ username, fields, hash }) => ({
          username,
          set: fields,
          ...(hash !== undefined && { password_hash: sealer.seal(hash.expose()) }),
        })),
        ...(template !== undefined && { template }),
        dry_run: dryRun,
        reason,
      },
    });
    for (const [index, result] of readAnswer(usersImported, json).results.entries())
      results.push({ ...result, line: some[index]?.line ?? 0 });
  }
  return results;
}

/** For hashes that main hands on to its vault. */
export async function askHashSealer(context: Pick<CommandContext, 'call'>): Promise<HashSealer> {
  const { key } = readAnswer(hashKeyAnswer, await context.call('GET', '/v1/hash-key'));
  return buildHashSealer(key, randomBytes);
}

interface Mailed {
  readonly user: string;
  /** Undefined: the relay has it. */
  readonly problem?: string;
}

/** One after the other: a relay that is handed hundreds at once refuses them. */
async function welcome(
  context: CommandContext,
  rows: readonly Row[],
  results: readonly Result[],
  reason: string,
): Promise<readonly Mailed[]> {
  const added = new Set(results.filter(({ outcome }) => outcome === 'added').map(({ line }) => line));
  const mailed: Mailed[] = [];
  for (const { line, username: user, hash } of rows) {
    if (hash !== undefined || !added.has(line)) continue;
    try {
      await mailPasswordLink(context, user, reason);
      mailed.push({ user });
    } catch (error) {
      const { publicMessage, detail } = toSallyportError(error);
      mailed.push({ user, problem: detail ?? publicMessage });
    }
  }
  return mailed;
}

function describeMailed(mailed: readonly Mailed[]): string {
  if (mailed.length === 0) return '';
  const failed = mailed.filter(({ problem }) => problem !== undefined);
  const table =
    failed.length === 0
      ? ''
      : formatTable(
          ['user', 'no link was mailed because'],
          failed.map(({ user, problem }) => [user, problem]),
        );
  return `${table}${mailed.length - failed.length} links mailed, ${failed.length} not.\n`;
}

function readRows(whole: string): readonly Row[] {
  const text = whole.replace(/^\uFEFF/, '');
  return /^\s*\[/.test(text) ? readJson(text) : readCsv(text);
}

function readJson(text: string): readonly Row[] {
  const parsed = ((): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      // What the parser says quotes the text, and there are hashes in it.
      throw new SallyportError('usage', 'The file is not JSON');
    }
  })();
  return (Array.isArray(parsed) ? parsed : []).map((entry: unknown, index) => {
    const line = index + 1;
    if (typeof entry !== 'object' || entry === null || !('username' in entry))
      throw new SallyportError('usage', `Entry ${line} has no username`);
    const { username, password_hash: hash, ...fields } = entry as Record<string, unknown>;
    return buildRow(line, String(username), fields, typeof hash === 'string' ? hash : '');
  });
}

function readCsv(text: string): readonly Row[] {
  const [head, ...lines] = parseCsv(text);
  const names = head?.cells.map((name) => name.trim().toLowerCase()) ?? [];
  const unknown = names.find((name) => !columns.includes(name) && !name.includes('.'));
  if (unknown !== undefined || !names.includes('username'))
    throw new SallyportError('usage', 'The first line does not name the columns', {
      detail: unknown === undefined ? 'there is no `username`' : `\`${unknown}\` is none of them`,
      hint: `known are ${columns.join(', ')}, and dotted keys such as two_factor.force_setup; passwords in clear are not taken`,
    });
  return lines.map(({ line, cells }) => {
    if (cells.length > names.length)
      throw new SallyportError('usage', `Line ${line} has more cells than the first line`);
    const given = names.map((name, index) => [name, cells[index]?.trim() ?? ''] as const);
    const filled = new Map(given.filter(([, value]) => value !== ''));
    const fields = [...filled].filter(([name]) => name !== 'username' && name !== 'password_hash');
    return buildRow(
      line,
      filled.get('username') ?? '',
      Object.fromEntries(fields.map(([name, value]) => [name, readCell(name, value)])),
      filled.get('password_hash') ?? '',
    );
  });
}

function readCell(name: string, text: string): unknown {
  if (name === 'groups') return text.split(/[\s,;]+/);
  if (name === 'ssh_keys') return text.split('\n').map((key) => key.trim());
  return plainColumns.includes(name) ? text : parseAssignments([`${name}=${text}`])[0]?.[1];
}

function buildRow(line: number, username: string, fields: Row['fields'], hash: string): Row {
  if (username === '') throw new SallyportError('usage', `Line ${line} has no username`);
  return { line, username, fields, hash: hash === '' ? undefined : new Secret(hash) };
}

function describe(results: readonly Result[], refused: readonly Result[], isDryRun: boolean): string {
  return `${formatRefused(refused)}${results.length - refused.length} ${isDryRun ? 'would be ' : ''}added, ${refused.length} not taken.\n`;
}
