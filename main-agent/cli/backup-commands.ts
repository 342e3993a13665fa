import { stateCopyAnswer } from '#main-agent/admin/answers.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { backupEvent, describeBackup, type BackupTold, type Manifest } from '#main-agent/backup/contents.ts';
import { copyTimeoutMs } from '#main-agent/backup/limits.ts';
import {
  parseRecipient,
  requirePassphrase,
  type Opener,
  type Recipient,
} from '#main-agent/backup/recipients.ts';
import { checkBackup, restoreBackup } from '#main-agent/backup/restore-backup.ts';
import { databaseEnds } from '#main-agent/backup/staging.ts';
import { StateCopies } from '#main-agent/backup/state-copies.ts';
import { findUserName } from '#main-agent/backup/system-users.ts';
import { writeBackup } from '#main-agent/backup/write-backup.ts';
import { loadMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { markMoved } from '#main-agent/restored/restores.ts';
import { readAuditExtent } from '#main-agent/state/sqlite/audit-extent.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { Clock } from '#shared/clock.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { version } from '#shared/version.ts';
import type { Command } from 'commander';
import { createPrivateKey } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { requireConfigFile } from './system-commands.ts';
import { formatFacts } from './table.ts';

/** `sallyport backup` and `restore`: all that makes a main, in one encrypted file, and back on another box. */

interface BackupOptions {
  readonly move?: boolean;
  readonly recipient: readonly string[];
  readonly passphraseFile?: string;
}

interface RestoreOptions {
  readonly reason?: string;
  readonly check?: boolean;
  readonly dir: string;
  readonly passphraseFile?: string;
  readonly key?: string;
  readonly identity?: string;
  readonly keepAudit?: boolean;
}

/** Where the unit looks for its configuration. */
const installedFolder = '/etc/sallyport';

export function addBackupCommands(program: Command, context: CommandContext): void {
  addBackup(program, context);
  addRestore(program, context);
}

function addBackup(program: Command, context: CommandContext): void {
  const { folder } = context;
  program
    .command('backup')
    .description('all that makes this main, in one encrypted file; not the files of users')
    .argument('<file>', 'a new file')
    .option(
      '--recipient <certificate>',
      'whose key opens it (PEM; again for more)',
      (one: string, before: readonly string[]) => [...before, one],
      [],
    )
    .option('--passphrase-file <file>', 'file of mode 0600 with a passphrase that opens it')
    .option('--move', 'to another box: main, which must be stopped, does not start here any more')
    .action(async (to: string, options: BackupOptions) => {
      const recipients = await readRecipients(context, options);
      const configFile = await requireConfigFile(context);
      const config = await loadMainAgentConfig(configFile);
      const file = path.resolve(folder, to);
      const key = await readSecretFile(config.identityKey);
      const { fingerprint } = parseIdentityKey(new Secret(key.expose().toString('utf8')));
      const told = { file, recipients: recipients.map(describeRecipient) };
      const copied =
        options.move === true
          ? await copyStopped(context, config, told, 'is moved')
          : ((await copyRunning(context, config, told)) ?? (await copyStopped(context, config, told)));
      await using ending = new AsyncDisposableStack();
      ending.defer(() => copied.end());
      const state = await open(copied.file);
      ending.defer(() => state.close());
      let auditRecord: number;
      try {
        auditRecord = readAuditExtent(copied.file).last;
      } finally {
        // Its name is gone from here on, whatever happens; what was opened can still be read.
        for (const end of databaseEnds) await rm(`${copied.file}${end}`, { force: true });
      }
      const user = findUserName((await state.stat()).uid);
      const manifest: Manifest = {
        format: 1,
        version,
        made_at: new Date(context.nowMs).toISOString(),
        made_by: context.actor,
        name: config.name,
        identity: fingerprint,
        ...(user !== undefined && user !== 'root' && { user }),
        audit_record: auditRecord,
      };
      const source = { config, configFile, state, manifest };
      const { bytes, leftOut } = await writeBackup(source, file, recipients).catch(async (error: unknown) => {
        await copied.takeBack();
        throw error;
      });
      context.print({ file, bytes, audit_record: auditRecord, left_out: leftOut }, () =>
        [
          `Wrote ${file}, ${bytes} bytes, up to audit record ${auditRecord}.`,
          ...leftOut.map((one) => `Not in it: ${one}, which is no plain file.`),
          'Not in it: the files of users. Back up their storages by what makes snapshots of them.',
          ...(options.move === true
            ? ['Main does not start here any more: it is where this is restored.']
            : []),
          '',
        ].join('\n'),
      );
    });
}

function addRestore(program: Command, context: CommandContext): void {
  const { terminal, folder } = context;
  const log = buildLog('silent', {});
  program
    .command('restore')
    .description('put a backup in place on a box without a main; nothing spent works again')
    .argument('<file>', 'what `sallyport backup` wrote')
    .option('--reason <text>', 'why; it is audited')
    .option('--check', 'only say whether it is whole, and what it is')
    .option('--dir <folder>', 'where main-agent.yaml is to lie', installedFolder)
    .option('--passphrase-file <file>', 'file of mode 0600 with its passphrase')
    .option('--key <file>', 'the private key of a certificate that it was made for (PEM, mode 0600)')
    .option('--identity <fingerprint>', 'of main’s key, as link.main.identity in dmz.yaml of each node')
    .option('--keep-audit', 'the audit that is here is main’s last: it stays, and tells what is void')
    .action(async (from: string, options: RestoreOptions) => {
      if (options.check !== true && options.reason === undefined)
        throw new SallyportError('usage', 'Say why, with --reason', { hint: '--check only looks at it' });
      if (options.check !== true && options.key !== undefined && options.identity === undefined)
        throw new SallyportError('usage', 'Say whose backup it must be, with --identity', {
          detail: 'whoever has the certificate can make one for it',
          hint: 'link.main.identity in dmz.yaml of each DMZ node',
        });
      const what = {
        file: path.resolve(folder, from),
        identity: options.identity,
        opener: await readOpener(context, options),
        configFile: path.join(path.resolve(folder, options.dir), 'main-agent.yaml'),
      };
      if (options.check === true) {
        const { manifest, files, bytes } = await checkBackup(what);
        context.print({ ...manifest, files, bytes }, () => formatFacts({ ...manifest, files, bytes }));
        return;
      }
      const why = { actor: context.actor, reason: options.reason ?? '' };
      const clock: Clock = { now: () => context.nowMs, monotonic: () => performance.now() };
      const { manifest, movedAside } = await restoreBackup({
        ...what,
        why,
        keepAudit: options.keepAudit === true,
        clock,
        log,
      });
      context.print({ ...manifest, config: what.configFile, moved_aside: movedAside }, () =>
        [
          `${manifest.name} of ${manifest.made_at} is in place: ${what.configFile}`,
          ...movedAside.map((one) => `Moved aside: ${one}`),
          `DMZ nodes know it by its key ${manifest.identity}.`,
          '',
        ].join('\n'),
      );
      terminal.err(
        'Everybody signs in anew; recovery codes, tokens and sent codes are void' +
          `${options.keepAudit === true ? ' as far as the audit tells' : ''}, and those who lose some get a mail.\n` +
          'Next:  the files of users in their storages; start main-agent; sallyport audit acknowledge --reason "…"\n',
      );
    });
}

/** A copy of state.db of one moment; in its audit, or soon in main's, is that it was made. */
interface CopiedState {
  readonly file: string;
  /** When the backup was not written after all. */
  takeBack(): Promise<void>;
  end(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** Undefined: no main runs. */
async function copyRunning(
  context: CommandContext,
  config: MainAgentConfig,
  told: BackupTold,
): Promise<CopiedState | undefined> {
  const stateFile = config.state.file;
  try {
    const copy = readAnswer(
      stateCopyAnswer,
      await context.call('POST', '/v1/backup', { body: told, timeoutMs: copyTimeoutMs }),
    ).state_copy;
    if (path.dirname(copy) === path.dirname(stateFile))
      return { file: copy, takeBack: nothing, end: nothing };
    throw new SallyportError('conflict', 'The main that answers is another', {
      detail: `its state is in ${path.dirname(copy)}, this configuration’s in ${path.dirname(stateFile)}`,
      hint: 'name the same one with --socket and --config, on its own box',
    });
  } catch (error) {
    if (!isSallyportError(error, 'link-down')) throw error;
    return undefined;
  }
}

/** Where main is moved, none starts on the state before the end. */
async function copyStopped(
  context: CommandContext,
  { state: { file: stateFile } }: MainAgentConfig,
  told: BackupTold,
  isMoved?: 'is moved',
): Promise<CopiedState> {
  // SQLite would make one.
  await stat(stateFile).catch((cause: unknown) => {
    throw new SallyportError('not-found', 'There is no main here', { detail: stateFile, cause });
  });
  const time = new Date(context.nowMs).toISOString();
  const clock: Clock = { now: () => context.nowMs, monotonic: () => performance.now() };
  const state = await openSqliteState({ file: stateFile, clock, log: buildLog('silent', {}) });
  let takeBack = nothing;
  try {
    await buildAudit(state).append({
      time,
      event: backupEvent,
      outcome: 'ok',
      actor: `local:${context.actor}`,
      detail: `${describeBackup(told)}${isMoved === undefined ? '' : ', to move main'}`,
    });
    if (isMoved !== undefined)
      takeBack = await markMoved(state, clock, `moved with ${told.file} by ${context.actor} at ${time}`);
    const file = await new StateCopies(state, stateFile).make();
    if (isMoved !== undefined) return { file, takeBack, end: () => state.close() };
    await state.close();
    return { file, takeBack, end: nothing };
  } catch (error) {
    await takeBack();
    await state.close();
    throw error;
  }
}

async function readRecipients(
  context: CommandContext,
  { recipient, passphraseFile }: BackupOptions,
): Promise<readonly Recipient[]> {
  const recipients: Recipient[] = [];
  for (const name of recipient)
    recipients.push({
      certificate: parseRecipient(await readPublicFile(path.resolve(context.folder, name)), name),
    });
  if (passphraseFile !== undefined)
    recipients.push({ passphrase: requirePassphrase(await readPassphrase(context, passphraseFile)) });
  if (recipients.length > 0) return recipients;
  const { terminal } = context;
  if (!terminal.isInteractive)
    throw new SallyportError('usage', 'Who may open it?', { hint: '--recipient or --passphrase-file' });
  const passphrase = requirePassphrase(await terminal.askSecret('Passphrase of the backup: '));
  if ((await terminal.askSecret('Again: ')).expose() !== passphrase.expose())
    throw new SallyportError('usage', 'The two are not the same');
  return [{ passphrase }];
}

async function readOpener(
  context: CommandContext,
  { key, passphraseFile }: Pick<RestoreOptions, 'key' | 'passphraseFile'>,
): Promise<Opener> {
  if (key !== undefined) {
    const pem = await readSecretFile(path.resolve(context.folder, key));
    try {
      return { privateKey: createPrivateKey(pem.expose()) };
    } catch (cause) {
      throw new SallyportError('usage', 'This is no unencrypted private key in PEM', { detail: key, cause });
    }
  }
  if (passphraseFile !== undefined) return { passphrase: await readPassphrase(context, passphraseFile) };
  return { passphrase: await context.terminal.askSecret('Passphrase of the backup: ') };
}

/** From a file that only its owner reads: an argument would stand in everybody's process list. */
async function readPassphrase({ folder }: CommandContext, file: string): Promise<Secret> {
  const bytes = await readSecretFile(path.resolve(folder, file));
  return new Secret(
    bytes
      .expose()
      .toString('utf8')
      .replace(/\r?\n$/, ''),
  );
}

function describeRecipient(recipient: Recipient): string {
  return 'passphrase' in recipient
    ? 'a passphrase'
    : `${recipient.certificate.subject.replaceAll('\n', ', ')} (${recipient.certificate.serialNumber})`;
}
