import { auditHeads } from '#main-agent/admin/audit-answers.ts';
import { isSignedBy, type Checkpoint } from '#main-agent/audit/checkpoint.ts';
import { checkpointFileOf, readNewestCheckpoint } from '#main-agent/audit/checkpoint-file.ts';
import { verifyAudit, type AuditWhole, type ExpectedHead } from '#main-agent/audit/verify.ts';
import { loadMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { readAuditExtent } from '#main-agent/state/sqlite/audit-extent.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { Secret } from '#shared/secret.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';
import type { Command } from 'commander';
import { resolve } from 'node:path';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';
import { requireConfigFile } from './system-commands.ts';

/**
 * `sallyport audit verify`: the files by themselves, and against everything else that knows a head of the chain: the
 * signed checkpoint, state.db, the DMZ nodes' memory, a head noted elsewhere. Says what it could not ask.
 */

interface VerifyOptions {
  readonly file?: string;
  readonly expectHead?: string;
  readonly checkpoint?: string;
  readonly mainKey?: string;
}

/** What is known, and what could not be asked and why. */
interface Witnesses {
  readonly heads: ExpectedHead[];
  readonly silent: string[];
  readonly notes: string[];
}

export function addAuditVerify(audit: Command, context: CommandContext): void {
  audit
    .command('verify')
    .description('check the hash chain of all audit files; works while main is down, and on copies')
    .option('--file <file>', 'the file being written, if it is not the configured one (copies)')
    .option('--expect-head <number:hash>', 'a record noted earlier that must still be there')
    .option('--checkpoint <file>', 'checkpoints that were kept elsewhere; their newest counts')
    .option('--main-key <fingerprint>', 'whose checkpoints are believed (default: this main’s)')
    .action(async (options: VerifyOptions) => {
      const config =
        options.file === undefined ? await loadMainAgentConfig(await requireConfigFile(context)) : undefined;
      const file = config?.audit.file ?? resolve(context.folder, options.file ?? '');
      const witnesses: Witnesses = { heads: [], silent: [], notes: [] };
      if (options.expectHead !== undefined)
        witnesses.heads.push({ ...parseHead(options.expectHead), from: '--expect-head' });
      // The others before the files: main goes on writing, and the files must hold what was known before.
      await askCheckpoints(witnesses, options, config, file, context.folder);
      if (config === undefined) witnesses.silent.push('state.db and the DMZ nodes: these files are a copy');
      else await askMain(witnesses, config, context);

      const verdict = await verifyAudit(file, witnesses.heads).catch((cause: unknown) => {
        throw new SallyportError('not-found', 'The audit file cannot be read', { detail: String(cause) });
      });
      if (!verdict.ok) {
        throw new SallyportError('io-error', 'The audit was changed', {
          detail: `${verdict.file}:${verdict.line}: ${verdict.reason}`,
          hint: `all before it is whole, up to record ${verdict.head.sequence}`,
        });
      }
      const { silent, notes } = witnesses;
      context.print({ ...verdict, file, unchecked: silent, notes }, () => showWhole(verdict, witnesses));
    });
}

async function askCheckpoints(
  witnesses: Witnesses,
  options: VerifyOptions,
  config: MainAgentConfig | undefined,
  file: string,
  folder: string,
): Promise<void> {
  const from =
    options.checkpoint === undefined ? checkpointFileOf(file) : resolve(folder, options.checkpoint);
  const checkpoint = await readNewestCheckpoint(from);
  if (checkpoint === undefined) {
    witnesses.silent.push(`checkpoints: there are none in ${from}`);
    return;
  }
  const fingerprint = options.mainKey ?? (await findOwnFingerprint(config));
  if (fingerprint === undefined) {
    witnesses.silent.push('checkpoints: whose key signs them is unknown here; give --main-key');
    return;
  }
  if (!isSignedBy(checkpoint, fingerprint)) {
    throw new SallyportError('io-error', 'The audit was changed', {
      detail: `${from}: the newest checkpoint is not signed by main (${fingerprint})`,
    });
  }
  witnesses.heads.push({ ...headOf(checkpoint), from: `the checkpoint of ${checkpoint.time}` });
}

async function findOwnFingerprint(config: MainAgentConfig | undefined): Promise<string | undefined> {
  if (config === undefined) return undefined;
  try {
    const key = await readSecretFile(config.identityKey);
    return parseIdentityKey(new Secret(key.expose().toString('utf8'))).fingerprint;
  } catch {
    // A credential exists only while the service runs.
    return undefined;
  }
}

/** A running main for itself and its nodes; else its state.db. */
async function askMain(
  witnesses: Witnesses,
  config: MainAgentConfig,
  context: CommandContext,
): Promise<void> {
  let answer: unknown;
  try {
    answer = await context.call('GET', '/v1/audit/heads');
  } catch {
    witnesses.silent.push('what the DMZ nodes remember: main does not answer');
    askState(witnesses, config.state.file);
    return;
  }
  const { file, state, nodes } = readAnswer(auditHeads, answer);
  witnesses.heads.push({ ...file, from: 'main' });
  if (state.head !== undefined) witnesses.heads.push({ ...state.head, from: 'state.db' });
  for (const { node, worker, sequence, hash } of nodes)
    witnesses.heads.push({ sequence, hash, from: worker === 0 ? node : `${node}, worker ${worker}` });
  if (nodes.length === 0) witnesses.silent.push('what the DMZ nodes remember: none has said anything');
}

function askState(witnesses: Witnesses, stateFile: string): void {
  try {
    const { head, last } = readAuditExtent(stateFile);
    if (head === undefined) witnesses.silent.push('state.db: no head is noted in it');
    else witnesses.heads.push({ ...head, from: 'state.db' });
    witnesses.notes.push(
      `state.db holds records up to ${last}; main writes those the files lack at its next start`,
    );
  } catch (error) {
    witnesses.silent.push(`state.db: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function headOf({ sequence, hash }: Checkpoint): ChainHead {
  return { sequence, hash };
}

function parseHead(text: string): ChainHead {
  const [, sequence, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (sequence === undefined || hash === undefined) {
    throw new SallyportError('usage', '--expect-head does not fit', {
      hint: 'number:hash, as `sallyport audit verify` printed it',
    });
  }
  return { sequence: Number(sequence), hash };
}

function showWhole(whole: AuditWhole, { silent, notes }: Witnesses): string {
  const { records, files, first, head, agreed, tooOld, edgeLosses, restores, endsAmidLine } = whole;
  const lines = [
    `${records} records in ${files} files, unbroken. Head: ${head.sequence}:${head.hash}`,
    ...(first > 1 ? [`Records before ${first} were removed by retention.`] : []),
    ...(agreed.length > 0 ? [`Agree: ${agreed.join('; ')}`] : []),
    ...tooOld.map((from) => `Not compared: ${from} is from before the oldest record`),
    ...silent.map((what) => `Not compared: ${what}`),
    ...edgeLosses.map(
      ({ node, missing, record }) => `${missing} events of ${node} never came; record ${record} says so`,
    ),
    ...restores.map(
      ({ record, what, detail }) =>
        `Put back: ${what === 'state' ? 'state.db' : 'the audit'}; record ${record} says so: ${detail}`,
    ),
    ...notes.map((note) => `Note: ${note}`),
    ...(endsAmidLine
      ? ['Note: the last line is not finished: main is writing, or crashed and mends it']
      : []),
  ];
  return `${lines.join('\n')}\n`;
}
