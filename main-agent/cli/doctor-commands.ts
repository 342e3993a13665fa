import { identityAnswer } from '#main-agent/admin/answers.ts';
import { formatExamination } from '#shared/command-line/findings.ts';
import { replaceFile } from '#shared/command-line/write-files.ts';
import { SallyportError } from '#shared/error.ts';
import { renderReport } from '#shared/health/report.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { examineAll, examineHere } from './examine.ts';
import { formatFacts } from './table.ts';

/** `sallyport doctor`, `whoami`: what is wrong with this main node, and who asks. */

export function addDoctorCommands(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('look for what is not as it should be on main, and say how to mend it')
    .option('--report <file>', 'write what can be seen without asking main into this file, for main to read')
    .action(async ({ report }: { readonly report?: string }) => {
      if (report !== undefined) {
        replaceFile(report, renderReport(await examineHere(context), context.nowMs), 0o644);
        return;
      }
      const found = await examineAll(context);
      context.print(found, () => formatExamination(found));
      if (found.findings.some(({ state }) => state === 'bad'))
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
