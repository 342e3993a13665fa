import type { NumberedRecord } from '#main-agent/audit/audit-reader.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { syslogMessageBytesMax, syslogTextCharactersMax } from './limits.ts';

/**
 * One record as a collector gets it: an RFC 5424 message whose MSG is the record as JSON, in ASCII alone, so that no
 * relay on the way has to know an encoding and nothing a stranger named themselves ends a line.
 */

/** RFC 5424 §6.2.1: "log audit". */
const facility = 13;
const severities: Readonly<Record<AuditRecord['outcome'], number>> = {
  ok: 6,
  cut: 5,
  partial: 5,
  refused: 4,
  failed: 3,
};
/** RFC 5424 §7.3.1: sequenceId begins again at 1 after it. */
const sequenceIdMax = 2_147_483_647;

interface Origin {
  /** Name of this main in the configuration. */
  readonly main: string;
  /** Of this machine. */
  readonly hostname: string;
}

export function formatSyslogMessage({ main, hostname }: Origin, one: NumberedRecord): string {
  const { time, event, outcome } = one.record;
  const header = [
    `<${facility * 8 + severities[outcome]}>1`,
    time,
    headerField(hostname, 255),
    'sallyport',
    '-',
    headerField(event, 32),
    `[meta sequenceId="${((one.sequence - 1) % sequenceIdMax) + 1}"]`,
    '',
  ].join(' ');
  return header + formatRecord(main, one, syslogMessageBytesMax - header.length);
}

/** RFC 5425 §4.3: octets counted before each message. The message is ASCII. */
export function frameSyslogMessage(message: string): string {
  return `${message.length} ${message}`;
}

/** Printable ASCII without blanks; `-` where there is none (RFC 5424 §6). */
function headerField(text: string, charactersMax: number): string {
  return text.replaceAll(/[^!-~]/g, '').slice(0, charactersMax) || '-';
}

/** Where it is too long, its texts are cut and it says so; the audit itself has them whole. */
function formatRecord(main: string, { sequence, record }: NumberedRecord, bytesMax: number): string {
  // The assertion proves a login to main; outside it would only be long.
  const facts = { main, sequence, ...record, assertion: undefined };
  const whole = toAscii(JSON.stringify(facts));
  if (whole.length <= bytesMax) return whole;
  for (let charactersMax = syslogTextCharactersMax; ; charactersMax = Math.floor(charactersMax / 2)) {
    const shorter = JSON.stringify({ ...facts, shortened: true }, (_key, value: unknown) =>
      typeof value === 'string' ? value.slice(0, charactersMax) : value,
    );
    const text = toAscii(shorter);
    if (text.length <= bytesMax || charactersMax === 0) return text;
  }
}

/** Inside JSON the result is the same JSON. */
function toAscii(json: string): string {
  return json.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
