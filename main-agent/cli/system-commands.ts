import { explanation, statusAnswer } from '#main-agent/admin/answers.ts';
import { formatExamination, formatFindings, formatVerdict } from '#shared/command-line/findings.ts';
import { configError } from '#shared/config/problem.ts';
import { SallyportError } from '#shared/error.ts';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatFacts, formatTable } from './table.ts';

/** `sallyport status`, `explain`, `config check`. */

export function addSystemCommands(program: Command, context: CommandContext): void {
  program
    .command('status')
    .description('is all well? links, problems in user files, what is switched off')
    .action(async () => {
      const json = await context.call('GET', '/v1/status');
      context.print(json, () => showStatus(json));
      if (!readAnswer(statusAnswer, json).ok) throw new SallyportError('internal', 'Not all is well');
    });

  program
    .command('explain')
    .description('why something is as it is')
    .command('login')
    .description('what would happen if this user, or anybody, logged in from there, rule by rule')
    .argument('[user]', 'without: what is in the way of that address, whoever it is')
    .option('--user <name>', 'the same')
    .option('--protocol <protocol>', 'https or sftp; without a user both')
    .requiredOption('--ip <address>', 'where the client is')
    .option('--node <name>', 'through which DMZ node')
    .action(
      async (
        user: string | undefined,
        options: {
          readonly user?: string;
          readonly protocol?: string;
          readonly ip: string;
          readonly node?: string;
        },
      ) => {
        const query = user === undefined ? options : { ...options, user };
        if (query.user !== undefined && options.protocol === undefined)
          throw new SallyportError('usage', 'Name the --protocol: https or sftp');
        const json = await context.call('GET', '/v1/explain-login', { query: { ...query } });
        context.print(json, () => {
          const { outcome, chain } = readAnswer(explanation, json);
          const rows = chain.map(({ rule, result, origin }) => [rule, result, origin]);
          return `${formatTable(['rule', 'result', 'from'], rows)}\nOutcome: ${outcome}\n`;
        });
      },
    );

  const config = program.command('config').description('main’s configuration');

  config
    .command('show')
    .description('the configuration in force, defaults included')
    .action(async () => {
      const json = await context.call('GET', '/v1/config');
      context.print(json, () => `${JSON.stringify(json, undefined, 2)}\n`);
    });

  config
    .command('check')
    .description(
      'say all that is wrong with main-agent.yaml, with file, line and column, and with what it leads to',
    )
    .action(async () => {
      const file = await requireConfigFile(context);
      // The checks of everything cost more than `status` and `explain`, which need none of them.
      const { checkMainAgentConfig } = await import('#main-agent/config.ts');
      const { setupChecks } = await import('#main-agent/doctor/setup-checks.ts');
      const { boxChecks } = await import('#shared/health/box-checks.ts');
      const { examineAll } = await import('./examine.ts');
      const checked = await checkMainAgentConfig(file);
      if (!checked.ok) throw configError(checked.problems);
      const { findings, unlooked } = await examineAll(context);
      const found = findings.filter(({ state }) => state !== 'good');
      // What another configuration does not mend is told, and fails nothing.
      const isOfConfiguration = new Set([...setupChecks, ...boxChecks].map(({ id }) => id));
      const ok = !found.some(({ state, check }) => state === 'bad' && isOfConfiguration.has(check));
      context.print(
        { ok, file, findings: found, unlooked },
        () =>
          `${file} ${ok ? 'is good' : 'does not work here'}.\n${formatExamination({ findings: found, unlooked })}`,
      );
      if (!ok) throw new SallyportError('internal', 'The configuration does not work here');
    });
}

export async function requireConfigFile(context: CommandContext): Promise<string> {
  const file = await context.configFile();
  if (file !== undefined && existsSync(file)) return file;
  throw new SallyportError('not-found', 'There is no configuration here', {
    ...(file !== undefined && { detail: file }),
    hint: 'name it with --config, or make one with `sallyport main init`',
  });
}

function showStatus(json: unknown): string {
  const status = readAnswer(statusAnswer, json);
  const switches = status.two_factor;
  const summary = formatFacts({
    name: status.name,
    version: status.version,
    since: status.started_at,
    'validated logins': switches.sealed ? 'on, sealed' : switches.validated_logins ? 'on' : 'OFF',
    'auto enable': switches.auto_enable ? 'on' : 'off',
    users: status.users.count,
    sessions: status.sessions,
  });
  const found = formatFindings(status.findings, ofOneMax);
  const verdict = status.ok ? formatVerdict(status.looked, status.unlooked) : '';
  return `${summary}\n${showNodes(status)}\n${found}${verdict}`;
}

/** Of what one check found: a summary has room for so many. */
const ofOneMax = 5;

function showNodes({ nodes }: Pick<z.output<typeof statusAnswer>, 'nodes'>): string {
  const rows = nodes.flatMap(({ name, address, links }) =>
    links.length === 0
      ? [[name, address, undefined, 'no link']]
      : links.map((link) => [
          name,
          address,
          link.worker,
          link.up ? 'up' : `down: ${link.problem ?? 'not joined'}`,
          link.lanes,
          link.clockSkewMs === undefined ? undefined : `${Math.round(link.clockSkewMs)} ms`,
        ]),
  );
  return formatTable(['node', 'address', 'worker', 'link', 'lanes', 'clock skew'], rows);
}
