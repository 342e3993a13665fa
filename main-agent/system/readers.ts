import { Checkpoints } from '#main-agent/audit/checkpoints.ts';
import { startSyslog } from '#main-agent/notify/syslog.ts';
import { startWebhooks } from '#main-agent/notify/webhooks.ts';
import { buildOutboundClient } from '#main-agent/outbound/http-client.ts';
import type { Ground } from './ground.ts';
import type { Nodes } from './nodes.ts';
import type { Records } from './records.ts';

/** Who is told how far the audit is, and what happens: checkpoints, webhooks and syslog. */
export async function startReaders(ground: Ground, records: Records, { links }: Nodes) {
  const { config, around, part } = ground;
  const { clock, credentials } = around;
  const { state, feed, privateKey, starts, readersClosing } = records;
  const outbound = buildOutboundClient();
  readersClosing.defer(() => outbound.close());
  const webhooks = await startWebhooks(config.events.webhooks, {
    main: config.name,
    state,
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
  const readers = [...webhooks, ...syslog];
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
    positions: () => readers.map((reader) => ({ reader: reader.label, position: reader.position() })),
  };
}

export type Readers = Awaited<ReturnType<typeof startReaders>>;
