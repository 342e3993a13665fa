import { AuditReaders } from '#main-agent/audit/audit-readers.ts';
import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { buildEventMail, readEventMails } from '#main-agent/notify/event-mails.ts';
import { buildSyslog, readSyslog } from '#main-agent/notify/syslog.ts';
import { buildWebhook, readWebhooks } from '#main-agent/notify/webhook.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import type { Ground } from './ground.ts';
import type { Nodes } from './nodes.ts';
import type { People } from './people.ts';
import type { Records } from './records.ts';

/** Who is told how far the audit is, and what happens: checkpoints, webhooks, mails and syslog. */
export async function startReaders(ground: Ground, records: Records, people: People, { links }: Nodes) {
  const { config, around, part, reloads } = ground;
  const { clock, credentials } = around;
  const { state, audit, feed, privateKey, starts, readersClosing } = records;
  const { users, notify } = people;
  const outbound = buildOutboundClient();
  readersClosing.defer(() => outbound.close());
  const rest = { main: config.name, state, clock, log: part('events') };
  const webhooks = new AuditReaders({
    read: ({ events }: MainAgentConfig) => readWebhooks(events.webhooks, users, credentials),
    build: (...of) => buildWebhook(...of, { ...rest, outbound }),
  });
  const syslog = new AuditReaders({
    read: (next: MainAgentConfig) => readSyslog(next.audit.syslog, credentials),
    build: (...of) => buildSyslog(...of, { ...rest, credentials }),
  });
  const service = () => config.branding.name;
  const mails = new AuditReaders({
    read: ({ events }: MainAgentConfig) => readEventMails(events.mails, users),
    build: (...of) => buildEventMail(...of, { ...rest, audit, users, mailer: notify.mailer, service }),
  });
  const all = [webhooks, syslog, mails];
  readersClosing.defer(async () => void (await Promise.all(all.map((one) => one.close()))));
  // All of them are read before the first starts: a secret that can't be used leaves none running.
  for (const take of [
    await webhooks.prepare(config),
    await syslog.prepare(config),
    await mails.prepare(config),
  ])
    await take();
  reloads.on(['events.webhooks'], (next) => webhooks.prepare(next));
  reloads.on(['audit.syslog'], (next) => syslog.prepare(next));
  // What waits for a relay that did not take it need not wait longer for another.
  reloads.on(['events.mails', 'smtp'], (next) => mails.prepare(next));
  const list = () => all.flatMap((one) => [...one.list()]);
  const checkpoints = new Checkpoints({
    main: config.name,
    auditFile: config.audit.file,
    privateKey,
    targets: config.audit.checkpointsTo,
    durableHead: () => feed.durableHead(),
    state,
    outbound,
    tellNodes: (head) => {
      for (const { name } of config.dmzNodes) links.sendToNode(name, 'audit.head', starts.sign(head));
    },
    clock,
    log: part('audit'),
  });
  await checkpoints.start();
  readersClosing.defer(() => checkpoints.close());
  return {
    problems: () => [...checkpoints.problems(), ...list().flatMap((reader) => reader.problem() ?? [])],
    positions: () =>
      list().map((reader) => ({
        reader: reader.label,
        position: reader.isGathering() ? Number.POSITIVE_INFINITY : reader.position(),
      })),
  };
}

export type Readers = Awaited<ReturnType<typeof startReaders>>;
