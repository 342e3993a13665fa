import { hostname } from 'node:os';
import { AuditReader, type ReaderSurroundings } from '#main-agent/audit/audit-reader.ts';
import { fitsEvent } from '#main-agent/audit/audit-query.ts';
import { deliverProven } from '#main-agent/outbound/proven-tls.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { syslogLoadMs, syslogLoadRecords, syslogResetMs } from './limits.ts';
import { formatSyslogMessage, frameSyslogMessage } from './syslog-message.ts';

/**
 * One syslog collector over TLS (RFC 5424, 5425): a reader of the audit that gets what there is as one load, a connection
 * each. Syslog has no word for "taken"; that the collector read a load to its end is what proves it (D-140).
 */
interface SyslogConfig {
  readonly host: string;
  readonly port: number;
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly events: readonly string[];
}

interface SyslogSurroundings extends ReaderSurroundings {
  readonly main: string;
  readonly credentials: string | undefined;
}

/** Those of the configuration. Rejects `config` when a named file can't be used. */
export async function readSyslog(
  configured: readonly SyslogConfig[],
  credentials: string | undefined,
): Promise<{ readonly address: string; readonly settings: SyslogConfig }[]> {
  for (const one of configured) await readFiles(one, credentials);
  return configured.map((one) => ({ address: `syslog://${one.host}:${one.port}`, settings: one }));
}

export function buildSyslog(
  address: string,
  settings: SyslogConfig,
  around: SyslogSurroundings,
): AuditReader<SyslogConfig> {
  const { host, port } = settings;
  const { main, credentials, ...rest } = around;
  const origin = { main, hostname: hostname() };
  return new AuditReader({
    ...rest,
    settings,
    address,
    kind: 'syslog',
    host: `${host}:${port}`,
    section: 'audit.syslog',
    wants: ({ event }, { events }) => events.some((pattern) => fitsEvent(event, pattern)),
    // As long as state.db has it: a collector is where the audit is looked at, a hole in it is what it is for to show.
    backlogMax: Number.POSITIVE_INFINITY,
    togetherMax: syslogLoadRecords,
    take: async (records, closing, config) => {
      const load = records.map((one) => frameSyslogMessage(formatSyslogMessage(origin, one))).join('');
      await deliverProven(Buffer.from(load, 'ascii'), {
        host,
        port,
        // Each time, so that what was renewed is used.
        ...(await readFiles(config, credentials)),
        resetMs: syslogResetMs,
        signal: AbortSignal.any([closing, AbortSignal.timeout(syslogLoadMs)]),
      });
    },
  });
}

async function readFiles({ ca, certificate, key }: SyslogConfig, credentials: string | undefined) {
  return {
    ...(ca === undefined ? {} : { ca: await readPublicFile(ca) }),
    ...(certificate === undefined ? {} : { certificate: await readPublicFile(certificate) }),
    ...(key === undefined ? {} : { key: (await readSecretFile(key, credentials)).expose() }),
  };
}
