import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import { startEventMails } from '#main-agent/notify/event-mails.ts';
import { startSyslog } from '#main-agent/notify/syslog.ts';
import { startWebhooks } from '#main-agent/notify/webhooks.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import type { Ground } from './ground.ts';
import type { Nodes } from './nodes.ts';
import type { People } from './people.ts';
import type { Records } from './records.ts';

/** Who is told how far the audit is, and what happens: checkpoints, webhooks, mails and syslog. */
export async function startReaders(ground: Ground, records: Records, people: People, { links }: Nodes) {
  const { config, around, part } = ground;
  const { clock, credentials } = around;
  const { state, audit, feed, privateKey, starts, readersClosing } = records;
  const outbound = buildOutboundClient();
  readersClosing.defer(() => outbound.close());
  const webhooks = await startWebhooks(config.events.webhooks, {
    main: config.name,
    state,
    users: people.users,
    outbound,
    ...(credentials === undefined ? {} : { credentials }),
    clock,
    log: part('events'),
  });
  const syslog = await startSyslog(config.audit.syslog, {
    main: config.name,
    state,
    ...(credentials === undefined ? {} : { credentials }),
    clock,
    log: part('events'),
  });
  const mails = await startEventMails(config.events.mails, people.notify.mailer, {
    state,
    audit,
    users: people.users,
    service: config.branding.name,
    clock,
    log: part('events'),
  });
  const readers = [...webhooks, ...syslog, ...mails];
  readersClosing.defer(async () => void (await Promise.all(readers.map((reader) => reader.close()))));
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
    problems: () => [...checkpoints.problems(), ...readers.flatMap((reader) => reader.problem() ?? [])],
    positions: () =>
      readers.map((reader) => ({
        reader: reader.label,
        position: reader.isGathering() ? Number.POSITIVE_INFINITY : reader.position(),
      })),
  };
}

export type Readers = Awaited<ReturnType<typeof startReaders>>;
