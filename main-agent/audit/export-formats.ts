import { isIPv4 } from 'node:net';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { version } from '#shared/version.ts';
import { showInvisible } from '#shared/visible-text.ts';
import type { ChainLine } from './chain.ts';

/**
 * The audit in the forms that spreadsheets and collectors read. Trust: records hold texts that strangers chose; none of
 * them ends a line or a field, and none is a formula.
 */
export interface ExportFormat {
  /** What stands before the first record, with its line end. */
  readonly head: string;
  /** One record with its line end; `text` is its line in the file. */
  readonly format: (text: string, line: ChainLine) => string;
}

type Facts = Readonly<Partial<AuditRecord>>;

/** Columns of a table, in their order; the compiler misses one that a record may have. */
const columns = Object.keys({
  time: true,
  event: true,
  outcome: true,
  user: true,
  actor: true,
  node: true,
  protocol: true,
  clientIp: true,
  agent: true,
  method: true,
  rule: true,
  reference: true,
  path: true,
  toPath: true,
  bytes: true,
  size: true,
  acknowledged: true,
  durationMs: true,
  sha256: true,
  detail: true,
  sessionKey: true,
  summed: true,
  edge: true,
  assertion: true,
} satisfies Record<keyof AuditRecord, true>);

/** RFC 4180: commas, quotes where needed, CR LF. */
const csv: ExportFormat = {
  head: `${['sequence', ...columns].join(',')}\r\n`,
  format: (_text, { sequence, record }) => {
    const facts: Readonly<Record<string, unknown>> = { ...record };
    return `${[sequence, ...columns.map((key) => facts[key])].map(csvCell).join(',')}\r\n`;
  },
};

function csvCell(value: unknown): string {
  if (value === undefined) return '';
  const text = showInvisible(typeof value === 'string' ? value : JSON.stringify(value));
  // A spreadsheet would take the rest for a formula, and a stranger may have written it. Where lists are separated by
  // semicolons a cell begins after each, and its own quotes are no part of it.
  const harmless = text.replaceAll(/(^|;)(?="*[=+@-])/g, "$1'");
  return /[",]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** ArcSight's Common Event Format, version 0: seven fields in the head, then its dictionary's keys. */
const cef: ExportFormat = {
  head: '',
  format: (_text, { sequence, record }) => {
    const facts: Facts = record;
    const event = cefHead(facts.event ?? '');
    const severity = cefSeverities[facts.outcome ?? 'failed'];
    const extension = Object.entries(cefExtension(sequence, facts))
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${cefValue(String(value))}`)
      .join(' ');
    return `CEF:0|Sallyport|Sallyport|${version}|${event}|${event}|${severity}|${extension}\n`;
  },
};

/** 0–3 low, 4–6 medium, 7–8 high. */
const cefSeverities: Readonly<Record<AuditRecord['outcome'], number>> = {
  ok: 3,
  cut: 4,
  partial: 4,
  refused: 6,
  failed: 7,
};

function cefExtension(sequence: number, facts: Facts): Readonly<Record<string, string | number | undefined>> {
  const { clientIp, path, toPath } = facts;
  const isOther = clientIp !== undefined && !isIPv4(clientIp);
  return {
    rt: facts.time === undefined ? undefined : Date.parse(facts.time),
    externalId: sequence,
    outcome: facts.outcome,
    duser: facts.user,
    suser: facts.actor,
    dvchost: facts.node,
    app: facts.protocol,
    src: isOther ? undefined : clientIp,
    c6a2: isOther ? clientIp : undefined,
    c6a2Label: isOther ? 'Source IPv6 Address' : undefined,
    requestClientApplication: facts.agent,
    reason: facts.rule,
    // A file that has a new name has the old one beside it.
    filePath: toPath ?? path,
    oldFilePath: toPath === undefined ? undefined : path,
    fileHash: facts.sha256,
    fsize: facts.size,
    in: facts.event === 'file.upload' ? facts.bytes : undefined,
    out: facts.event === 'file.download' ? facts.bytes : undefined,
    ...labelled('cn1', 'Duration in ms', facts.durationMs),
    ...labelled('cs1', 'Reference', facts.reference),
    ...labelled('cs2', 'Method', facts.method),
    ...labelled('cs3', 'Session', facts.sessionKey),
    ...labelled('cs4', 'Counted', facts.summed === undefined ? undefined : JSON.stringify(facts.summed)),
    msg: facts.detail,
  };
}

function labelled(key: string, label: string, value: string | number | undefined) {
  return value === undefined ? {} : { [key]: value, [`${key}Label`]: label };
}

function cefHead(text: string): string {
  return showInvisible(text).replaceAll(/[\\|]/g, String.raw`\$&`);
}

function cefValue(text: string): string {
  return showInvisible(text.replaceAll(/[\\=]/g, String.raw`\$&`));
}

export const exportFormats = {
  /** Lines as they stand in the file: with hashes, so that they can be checked. */
  jsonl: { head: '', format: (text) => `${text}\n` },
  csv,
  cef,
} satisfies Readonly<Record<string, ExportFormat>>;
