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
  readonly credentials?: string;
}

/** Rejects `config` when a named file can't be used. */
export async function startSyslog(
  configured: readonly SyslogConfig[],
  around: SyslogSurroundings,
): Promise<readonly AuditReader[]> {
  for (const one of configured) await readFiles(one, around.credentials);
  const readers = configured.map((one) => buildSyslog(one, around));
  for (const reader of readers) await reader.start();
  return readers;
}

export function buildSyslog(config: SyslogConfig, around: SyslogSurroundings): AuditReader {
  const { host, port, events } = config;
  const { main, credentials, ...rest } = around;
  const origin = { main, hostname: hostname() };
  return new AuditReader({
    ...rest,
    address: `syslog://${host}:${port}`,
    kind: 'syslog',
    host: `${host}:${port}`,
    section: 'audit.syslog',
    wants: ({ event }) => events.some((pattern) => fitsEvent(event, pattern)),
    // As long as state.db has it: a collector is where the audit is looked at, a hole in it is what it is for to show.
    backlogMax: Number.POSITIVE_INFINITY,
    togetherMax: syslogLoadRecords,
    take: async (records, closing) => {
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
