import { examinationSchema } from '#shared/health/report.ts';
import { checkMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { runningChecks } from '#main-agent/doctor/running-checks.ts';
import { gatherSetup, setupChecks } from '#main-agent/doctor/setup-checks.ts';
import { askKeyFile } from '#main-agent/vault/process/keeper.ts';
import { examineBox, hereAround } from '#shared/command-line/look-around.ts';
import { toSallyportError } from '#shared/error.ts';
import { boxChecks } from '#shared/health/box-checks.ts';
import { examine, leaveUnlooked, mergeExaminations, type Examination } from '#shared/health/check.ts';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';

/** What `doctor` and `config check` look at: files and box from here, the rest by asking the main that runs. */

export async function examineAll(context: CommandContext): Promise<Examination> {
  const [here, running] = await Promise.all([examineHere(context), askRunning(context)]);
  return mergeExaminations([here, running]);
}

/** Without main: the configuration, what it names, and the box around it. */
export async function examineHere(context: CommandContext): Promise<Examination> {
  const file = await context.configFile();
  if (file === undefined || !existsSync(file))
    return leaveUnlooked(
      [{ id: 'configuration' }, ...setupChecks, ...boxChecks],
      'there is no configuration here: name it with --config',
    );
  const checked = await checkMainAgentConfig(file);
  if (!checked.ok)
    return mergeExaminations([
      {
        findings: checked.problems.map(({ file: where, line, column, message, hint }) => ({
          check: 'configuration',
          state: 'bad',
          affects: 'both',
          detail: `${where}:${line}:${column}: ${message}`,
          hint,
        })),
        unlooked: [],
      },
      leaveUnlooked([...setupChecks, ...boxChecks], 'the configuration can not be read'),
    ]);
  const { config } = checked;
  const detail = `${file}, with its key files`;
  return mergeExaminations([
    { findings: [{ check: 'configuration', state: 'good', affects: 'both', detail }], unlooked: [] },
    await examine(
      setupChecks,
      await gatherSetup(config, undefined, context.nowMs, askKeyFile(config.vaultKey)),
    ),
    await examineBox('main-agent', file, describeForBox(config), hereAround),
  ]);
}

function describeForBox({ health, admin, state, audit, storages }: MainAgentConfig) {
  return {
    ports: [
      { what: 'health.listen', listen: health.listen },
      { what: 'admin.listen', listen: admin.listen },
    ].flatMap(({ what, listen }) => (listen?.type === 'tcp' ? [{ what, port: listen.port }] : [])),
    written: [
      { what: 'state.db', folder: path.dirname(state.file) },
      { what: 'the audit', folder: path.dirname(audit.file) },
      ...Object.entries(storages).map(([name, { base }]) => ({ what: `storage ${name}`, folder: base })),
    ],
  };
}

async function askRunning(context: CommandContext): Promise<Examination> {
  try {
    const answer = await context.call('GET', '/v1/doctor');
    const { findings: found, unlooked } = readAnswer(examinationSchema, answer);
    return { findings: found, unlooked };
  } catch (error) {
    const { publicMessage, detail, hint } = toSallyportError(error);
    const said = detail === undefined ? publicMessage : `${publicMessage}: ${detail}`;
    return mergeExaminations([
      {
        findings: [{ check: 'main-agent', state: 'bad', affects: 'both', detail: said, hint }],
        unlooked: [],
      },
      leaveUnlooked(runningChecks, 'main does not say'),
    ]);
  }
}
