import { ended, nodesPage } from '#main-agent/admin/answers.ts';
import { parseDuration } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import { checkWordsOf } from '#shared/pairing/check-words.ts';
import { tidyLine } from '#shared/pairing/pairing-line.ts';
import { parseRotationLine } from '#shared/pairing/rotation-line.ts';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { rotateNode } from './enrol-node.ts';
import { readPages } from './pages.ts';
import { formatTable } from './table.ts';

/** `sallyport nodes list|revoke|unrevoke|rotate`. */

interface RotateOptions {
  readonly overlap: string;
  readonly yes?: boolean;
}

export function addNodeCommands(nodes: Command, context: CommandContext): void {
  const { terminal } = context;

  nodes
    .command('list')
    .description('DMZ nodes: state, keys, links, clock')
    .action(async () => {
      const all = await readPages(context, '/v1/nodes', {}, { key: 'nodes', schema: nodesPage });
      context.print({ nodes: all }, () => {
        const rows = all.map((node) => [
          node.name,
          node.address,
          node.revoked === undefined ? describeState(node) : `revoked: ${node.revoked.reason}`,
          node.links.filter(({ up }) => up).length,
          node.sessions,
          node.clock_skew_ms === undefined ? undefined : `${node.clock_skew_ms} ms`,
          node.software,
          node.identity,
          node.config_hash?.slice(0, 12),
        ]);
        const headings = [
          'node',
          'address',
          'state',
          'links',
          'sessions',
          'clock skew',
          'version',
          'key',
          'config',
        ];
        return formatTable(headings, rows);
      });
    });

  nodes
    .command('revoke')
    .description('trust a node no more: its link, sessions and leases end now; a restart does not dial it')
    .argument('<node>')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (node: string, { reason }: { readonly reason: string }) => {
      const json = await context.call('POST', `/v1/nodes/${segment(node)}/revoke`, { body: { reason } });
      context.print(json, () => `Revoked ${node}; ended ${readAnswer(ended, json).ended} sessions.\n`);
    });

  nodes
    .command('unrevoke')
    .description('take a revocation back; the node is dialled again')
    .argument('<node>')
    .option('--reason <text>', 'why; it is audited', 'by an admin')
    .action(async (node: string, { reason }: { readonly reason: string }) => {
      const json = await context.call('DELETE', `/v1/nodes/${segment(node)}/revoke`, { query: { reason } });
      context.print(json, () => `${node} is trusted again.\n`);
    });

  nodes
    .command('rotate')
    .description('approve new keys of a node, by the line that `sallyport node rotate` printed there')
    .argument('<line>', 'the line, in quotes')
    .option('--overlap <duration>', 'how long the old keys stay good', '24h')
    .option('--yes', 'don’t ask whether the check words are the same')
    .action(async (line: string, options: RotateOptions) => {
      const overlapMs = parseDuration(options.overlap);
      if (overlapMs === undefined)
        throw new SallyportError('usage', '--overlap does not fit', { detail: 'such as 1h or 7d' });
      terminal.err(`Check words: ${checkWordsOf(tidyLine(line))}\n`);
      if (terminal.isInteractive && options.yes !== true) {
        const answer = await terminal.ask('Does the node show the same words? [y/N] ');
        if (!/^y(es)?$/i.test(answer.trim())) throw new SallyportError('refused', 'Not rotated');
      }
      const body = { line, overlap_seconds: Math.round(overlapMs / 1000) };
      const json = await context.call('POST', '/v1/nodes/rotate', { body });
      const rotation = parseRotationLine(line);
      const file = await context.configFile();
      const isWritten = file !== undefined && existsSync(file) && rotateNode(file, rotation);
      context.print(json, () => (isWritten ? `Approved, and written into ${file}.\n` : 'Approved.\n'));
      if (!isWritten) {
        terminal.err(
          `Write them into main-agent.yaml too, or a state.db from a backup of before cuts the node off:\n` +
            `  identity: ${rotation.identity}\n  signing_key: ${rotation.signing_key}\n`,
        );
      }
      terminal.err('On the DMZ box:  sallyport node rotate --finish   (then restart it)\n');
    });
}

function describeState(node: {
  readonly state: string;
  readonly links: readonly { readonly problem?: string | undefined }[];
}): string {
  const problem = node.links.find((link) => link.problem !== undefined)?.problem;
  return node.state === 'down' ? `down: ${problem ?? 'not joined'}` : node.state;
}
