import { randomBytes } from 'node:crypto';
import { AuditCounts } from '#main-agent/audit/audit-counts.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { startAuditFeed } from '#main-agent/audit/feed.ts';
import { NodeBudget } from '#main-agent/audit/node-budget.ts';
import { openRestored } from '#main-agent/restored/restored.ts';
import { Restores } from '#main-agent/restored/restores.ts';
import { Starts } from '#main-agent/restored/starts.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import type { Ground } from './ground.ts';

/** state.db, judged whether it was put back, and the audit that is written from it. */
export async function startRecords({ config, around, part, closing }: Ground) {
  const { clock, credentials } = around;
  const nodeBudget = new NodeBudget({ clock, log: part('audit'), write: (record) => audit.append(record) });
  const state = await openSqliteState({
    file: config.state.file,
    admit: (changes) => nodeBudget.admit(changes),
    clock,
    log: part('state'),
    onFailure: around.onStateFailure,
  });
  closing.defer(() => state.close());
  const identity = await readSecretFile(config.identityKey, credentials);
  const identityKeyPem = new Secret(identity.expose().toString('utf8'));
  const ownKey = parseIdentityKey(identityKeyPem);
  const enrolments = buildYamlEnrolments({ directory: config.users.enrolmentsDirectory });
  const boot = randomId();
  const starts = new Starts(state, boot, ownKey.privateKey, clock);
  const restores = new Restores(state, clock);
  const voided = await openRestored({
    facts: { auditFile: config.audit.file, fingerprint: ownKey.fingerprint, state },
    state,
    stateFile: config.state.file,
    accept: around.acceptRestored,
    enrolments,
    nodes: new Map(config.dmzNodes.map((node) => [node.name, node.identity])),
    restores,
    starts,
    totp: config.twoFactor.totp,
    clock,
    random: randomBytes,
    log: part('state'),
  });
  const auditCounts = new AuditCounts();
  const feed = await startAuditFeed({
    state,
    ...config.audit,
    onWritten: (written) => auditCounts.take(written),
    clock,
    log: part('audit'),
  });
  closing.defer(() => feed.close());
  /** Of those who read the audit (`startReaders`): after all that writes, so that the last checkpoint is of the end. */
  const readersClosing = closing.use(new AsyncDisposableStack());
  const audit = buildAudit(state);
  closing.defer(() => feed.flush());
  closing.defer(() => nodeBudget.close());
  const { privateKey } = ownKey;
  return {
    state,
    audit,
    feed,
    auditCounts,
    nodeBudget,
    boot,
    starts,
    restores,
    voided,
    enrolments,
    identityKeyPem,
    privateKey,
    readersClosing,
  };
}

export type Records = Awaited<ReturnType<typeof startRecords>>;
