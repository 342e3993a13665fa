import { certificateAnswer } from '#main-agent/admin/answers.ts';
import type { Command } from 'commander';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { formatFacts } from './table.ts';

/** `sallyport certificate show` and `renew`: the nodes' certificate, where main has it from an authority. */

/** An order is given up after ten minutes; a little more, to hear why. */
const orderMs = 11 * 60_000;

export function addCertificateCommands(program: Command, context: CommandContext): void {
  const certificate = program
    .command('certificate')
    .description('the certificate that main has from an authority for the nodes (https.acme)');

  certificate
    .command('show')
    .description('names, life, when it is renewed, and why the last order failed')
    .action(async () => {
      const json = await context.call('GET', '/v1/certificate');
      context.print(json, () => show(json));
    });

  certificate
    .command('renew')
    .description('order a new one now; connections that are open keep theirs and go on')
    .option('--reason <text>', 'why; it is audited')
    .action(async ({ reason }: { readonly reason?: string }) => {
      const json = await context.call('POST', '/v1/certificate/renew', {
        body: { ...(reason !== undefined && { reason }) },
        timeoutMs: orderMs,
      });
      context.print(json, () => show(json));
    });
}

function show(json: unknown): string {
  const {
    authority,
    names,
    present,
    renewed_from: renewedFrom,
    failure,
  } = readAnswer(certificateAnswer, json);
  return formatFacts({
    authority,
    names: names.join(', '),
    ...(present === undefined
      ? { present: 'none yet' }
      : { 'present for': present.names, serial: present.serial, from: present.from, until: present.until }),
    ...(renewedFrom !== undefined && { 'renewed from': renewedFrom }),
    ...(failure !== undefined && { 'last order': `FAILED: ${failure.why}`, 'next try': failure.next_try }),
  });
}
