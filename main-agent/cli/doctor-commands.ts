import { findings, identityAnswer } from '#main-agent/admin/answers.ts';
import { checkMainAgentConfig } from '#main-agent/config.ts';
import { formatFindings } from '#shared/command-line/findings.ts';
import { toSallyportError, SallyportError } from '#shared/error.ts';
import type { Finding } from '#main-agent/doctor/doctor.ts';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatFacts } from './table.ts';

/** `sallyport doctor`, `whoami`: what is wrong with this main node, and who asks. */

export function addDoctorCommands(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('look for what is not as it should be on main, and say how to mend it')
    .action(async () => {
      const found = [...(await examineFiles(context)), ...(await examineRunning(context))];
      context.print({ findings: found }, () => formatFindings(found));
      if (found.some(({ state }) => state === 'bad'))
        throw new SallyportError('internal', 'Something is not as it should be');
    });

  program
    .command('whoami')
    .description('who main takes you for, and what you may do')
    .action(async () => {
      const json = await context.call('GET', '/v1/whoami');
      context.print(json, () => formatFacts(readAnswer(identityAnswer, json)));
    });
}

/** What can be seen without main: the configuration, and the key files it names. */
async function examineFiles(context: CommandContext): Promise<readonly Finding[]> {
  const file = await context.configFile();
  if (file === undefined || !existsSync(file)) {
    return [
      { check: 'configuration', state: 'warning', detail: 'none is here', hint: 'name it with --config' },
    ];
  }
  const checked = await checkMainAgentConfig(file);
  if (checked.ok) return [{ check: 'configuration', state: 'good', detail: `${file}, with its key files` }];
  return checked.problems.map(({ file: where, line, column, message, hint }) => ({
    check: 'configuration',
    state: 'bad',
    detail: `${where}:${line}:${column}: ${message}`,
    ...(hint !== undefined && { hint }),
  }));
}

async function examineRunning(context: CommandContext): Promise<readonly Finding[]> {
  try {
    return readAnswer(findings, await context.call('GET', '/v1/doctor')).findings.map(
      ({ hint, ...finding }) => ({
        ...finding,
        ...(hint !== undefined && { hint }),
      }),
    );
  } catch (error) {
    const { publicMessage, detail, hint } = toSallyportError(error);
    return [
      {
        check: 'main-agent',
        state: 'bad',
        detail: detail === undefined ? publicMessage : `${publicMessage}: ${detail}`,
        ...(hint !== undefined && { hint }),
      },
    ];
  }
}
