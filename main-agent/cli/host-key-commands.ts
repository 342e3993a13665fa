import { hostKeysAnswer, privateHostKeys } from '#main-agent/admin/answers.ts';
import { replaceFile } from '#shared/command-line/write-files.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { SallyportError } from '#shared/error.ts';
import { readAnswer } from './answers.ts';
import { segment, type CommandContext } from './command-context.ts';
import { formatTable } from './table.ts';

/** `sallyport hostkeys list|rotate|import|share|export`. */

export function addHostKeyCommands(program: Command, context: CommandContext): void {
  const hostKeys = program
    .command('hostkeys')
    .description('SSH host keys that main has for nodes which have none themselves (host_key: main)');
  const print = (json: unknown): void => context.print(json, () => show(json));

  hostKeys
    .command('rotate')
    .description('use the announced key from now on, and announce another; no known_hosts has to be edited')
    .argument('<node>')
    .option('--reason <text>', 'why; it is audited')
    .action(async (node: string, body: Why) =>
      print(await context.call('POST', `/v1/hostkeys/${segment(node)}/rotate`, { body })),
    );

  hostKeys
    .command('import')
    .description('take over the private host keys that a node has now: clients know it as before')
    .argument('<node>')
    .argument(
      '<file...>',
      'private keys without passphrase: Ed25519 as ssh-keygen writes them, others in PEM',
    )
    .option('--reason <text>', 'why; it is audited')
    .action(async (node: string, files: readonly string[], why: Why) => {
      const read = await Promise.all(files.map((file) => readSecretFile(resolve(context.folder, file))));
      const body = { files: read.map((file) => file.expose().toString('utf8')), ...why };
      print(await context.call('POST', `/v1/hostkeys/${segment(node)}/import`, { body }));
      context.terminal.err(
        `Next: host_key: main for ${node} in main-agent.yaml, and reload main; host_key: main and no host_keys in ` +
          'its dmz.yaml, and restart it; then delete its private key file.\n',
      );
    });

  hostKeys
    .command('share')
    .description('give a node the host keys of another one: to clients the two are one server')
    .argument('<node>')
    .requiredOption('--with <node>', 'whose keys')
    .option('--reason <text>', 'why; it is audited')
    .action(async (node: string, body: Why & { readonly with: string }) =>
      print(await context.call('POST', `/v1/hostkeys/${segment(node)}/share`, { body })),
    );

  hostKeys
    .command('export')
    .description('write the private keys that sign for a node into files, for a node that is to have its own')
    .argument('<node>')
    .requiredOption('--to <file>', 'a new file; a second key goes to FILE.2')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (node: string, { to, reason }: { readonly to: string; readonly reason: string }) => {
      const file = resolve(context.folder, to);
      if (existsSync(file)) throw new SallyportError('exists', 'There is such a file', { detail: file });
      const json = await context.call('POST', `/v1/hostkeys/${segment(node)}/export`, { body: { reason } });
      const names = readAnswer(privateHostKeys, json).files.map((content, index) => {
        const name = index === 0 ? file : `${file}.${index + 1}`;
        replaceFile(name, content, 0o600);
        return name;
      });
      context.print({ files: names }, () => `Wrote ${names.join(', ')}.\n`);
    });

  hostKeys
    .command('list')
    .description('which key signs, which is announced as the next one, which is going')
    .action(async () => print(await context.call('GET', '/v1/hostkeys')));
}

interface Why {
  readonly reason?: string;
}

function show(json: unknown): string {
  const rows = readAnswer(hostKeysAnswer, json).nodes.flatMap(({ node, host_key: where, keys }) =>
    keys.length === 0
      ? [[node, where, where === 'local' ? 'on the node' : 'none', undefined, undefined, undefined]]
      : keys.map((key) => [node, where, key.standing, key.type, key.fingerprint, key.since]),
  );
  return formatTable(['node', 'host_key', 'standing', 'kind', 'key', 'since'], rows);
}
