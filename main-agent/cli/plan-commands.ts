import { storePlan } from '#main-agent/admin/user-answers.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatValue } from './table.ts';
import { askHashSealer } from './user-import.ts';

/** `sallyport users plan|apply <folder>`: a folder of user files against the live store. */

type Plan = z.output<typeof storePlan>;

const signs = { add: '+', change: '~', remove: '-' };
const doneWords = { add: 'added', change: 'changed', remove: 'removed' };

export function addPlanCommands(users: Command, context: CommandContext): void {
  const argument = [
    '<folder>',
    'as the users folder is laid out: <name>.yaml, groups/, _default.yaml',
  ] as const;

  users
    .command('plan')
    .description('show what `apply` would change; changes nothing')
    .argument(...argument)
    .action(async (folder: string) => {
      const files = await sealHashes(context, await readStore(resolve(context.folder, folder)));
      const json = await context.call('POST', '/v1/users/plan', { body: { files } });
      context.print(json, () => {
        const plan = readAnswer(storePlan, json);
        return plan.files.length === 0 ? showPlan(plan) : `${showPlan(plan)}Store: ${plan.etag}\n`;
      });
    });

  users
    .command('apply')
    .description('make the live store hold exactly these files, all or nothing; enrolments stay')
    .argument(...argument)
    .option('--expect <store>', 'refuse unless the live store is still the one that `plan` printed')
    .action(async (folder: string, options: { readonly expect?: string }) => {
      const files = await sealHashes(context, await readStore(resolve(context.folder, folder)));
      const etag =
        options.expect ??
        readAnswer(storePlan, await context.call('POST', '/v1/users/plan', { body: { files } })).etag;
      const json = await context.call('POST', '/v1/users/apply', { body: { files, etag } });
      context.print(json, () => showPlan(readAnswer(storePlan, json)));
    });
}

/** Main hands the texts on, and need not see the hashes in them. */
async function sealHashes(
  context: CommandContext,
  files: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, string>>> {
  const sealer = await askHashSealer(context);
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name, sealer.sealAll(text)]));
}

/** What lies there by the names of a user store; anything else, such as a README, is not sent. */
async function readStore(folder: string): Promise<Record<string, string>> {
  const names = await listYaml(folder, '');
  if (names === undefined)
    throw new SallyportError('not-found', 'There is no such folder', { detail: folder });
  const groups = (await listYaml(join(folder, 'groups'), 'groups/')) ?? [];
  if (names.length + groups.length === 0) {
    // Applied by mistake it would remove everybody.
    throw new SallyportError('not-found', 'There are no user files in this folder', { detail: folder });
  }
  const files: Record<string, string> = {};
  for (const name of [...names, ...groups]) files[name] = await readFile(join(folder, name), 'utf8');
  return files;
}

/** Undefined: no such folder. */
async function listYaml(folder: string, prefix: string): Promise<readonly string[] | undefined> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && /^[^.#].*\.ya?ml$/.test(entry.name))
      .map((entry) => prefix + entry.name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function showPlan({ files, unchanged }: Plan): string {
  if (files.length === 0) return `Nothing to do: ${unchanged} files are as they should be.\n`;
  const shown = files.map(({ file, action, keys }) => {
    const lines = keys.map(
      (one) =>
        `    ${one.key}: ${action === 'add' ? '' : `${formatValue(one.old)} → `}${formatValue(one.new)}\n`,
    );
    const only = action === 'change' && keys.length === 0 ? ' (comments or formatting only)' : '';
    return `${signs[action]} ${formatValue(file)}${only}\n${lines.join('')}`;
  });
  const counts = (['add', 'change', 'remove'] as const).map(
    (action) => `${files.filter((one) => one.action === action).length} ${doneWords[action]}`,
  );
  return `${shown.join('')}\n${counts.join(', ')}, ${unchanged} unchanged.\n`;
}
