import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { formatLine, parseLine } from '#main-agent/audit/chain.ts';
import { chainStart } from '#main-agent/audit/chain.ts';
import { exportFormats, type ExportFormat } from '#main-agent/audit/export-formats.ts';
import type { AuditEvent, AuditRecord } from '#main-agent/state/audit-record.ts';
import { version } from '#shared/version.ts';

const plain: AuditRecord = { time: '2026-11-24T08:00:00.000Z', event: 'login.refused', outcome: 'refused' };

/** As a line of the audit file is written out in that form. */
function written(format: ExportFormat, sequence: number, record: AuditRecord): string {
  const text = formatLine(sequence, record, chainStart);
  const line = parseLine(text);
  if (line === undefined) throw new Error('not a line of the audit');
  return format.format(text, line);
}

/** By Python's reader, which spreadsheets agree with. */
function readTable(text: string): readonly Readonly<Record<string, string>>[] {
  const program = 'import csv,json,sys; print(json.dumps(list(csv.DictReader(sys.stdin, strict=True))))';
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', program], { input: text }).toString());
}

describe('the audit as a table', () => {
  const { csv } = exportFormats;

  it('is read back as it was, whatever strangers named themselves', () => {
    const user = 'a "quoted", name';
    const detail = 'two\r\nlines \u202e;\ttab';
    const table = csv.head + written(csv, 1, { ...plain, user }) + written(csv, 2, { ...plain, detail });
    expect(readTable(table)).toEqual([
      expect.objectContaining({ sequence: '1', event: 'login.refused', user, detail: '' }),
      expect.objectContaining({
        sequence: '2',
        user: '',
        detail: String.raw`two\u000d\u000alines \u202e;\u0009tab`,
      }),
    ]);
    expect(table.split('\r\n')).toHaveLength(4);
  });

  it.each(['=1+1', '+1', '-1', '@SUM(A1)'])('holds no formula: %s is text', (user) => {
    const [row] = readTable(csv.head + written(csv, 1, { ...plain, user }));
    expect(row?.['user']).toBe(`'${user}`);
  });

  it.each([
    ['x;=1+1', "x;'=1+1"],
    ['x;"=1+1', `x;'"=1+1`],
    [';;@SUM(A1);y', ";;'@SUM(A1);y"],
  ])('holds no formula where semicolons separate: %s', (user, expected) => {
    const [row] = readTable(csv.head + written(csv, 1, { ...plain, user }));
    expect(row?.['user']).toBe(expected);
  });

  it('has numbers as they are, and what is more than one thing as JSON', () => {
    const [row] = readTable(
      csv.head + written(csv, 1, { ...plain, bytes: 5, summed: { 'login.refused': 3 } }),
    );
    expect(row).toMatchObject({ bytes: '5', summed: '{"login.refused":3}' });
  });
});

describe('the audit as CEF', () => {
  const { cef } = exportFormats;

  it('has the keys of its dictionary, IPv6 apart from IPv4', () => {
    const facts = {
      user: 'alice',
      actor: 'socket:root',
      node: 'dmz1',
      protocol: 'sftp',
      rule: 'password',
    } as const;
    expect(written(cef, 7, { ...plain, ...facts, clientIp: '192.0.2.7', reference: 'ABC' })).toBe(
      `CEF:0|Sallyport|Sallyport|${version}|login.refused|login.refused|6|rt=1795507200000 externalId=7 ` +
        'outcome=refused duser=alice suser=socket:root dvchost=dmz1 app=sftp src=192.0.2.7 reason=password ' +
        'cs1=ABC cs1Label=Reference\n',
    );
    expect(written(cef, 7, { ...plain, clientIp: '2001:db8::7' })).toContain(
      ' c6a2=2001:db8::7 c6a2Label=Source IPv6 Address\n',
    );
  });

  it('says of a transfer how much went which way, and of a rename both names', () => {
    const transfer = { ...plain, outcome: 'ok', path: '/in/x', bytes: 9 } as const;
    expect(written(cef, 1, { ...transfer, event: 'file.upload' })).toMatch(/ filePath=\/in\/x in=9\n$/);
    expect(written(cef, 1, { ...transfer, event: 'file.download' })).toMatch(/ filePath=\/in\/x out=9\n$/);
    expect(written(cef, 1, { ...plain, event: 'file.rename', path: '/a', toPath: '/b' })).toMatch(
      / filePath=\/b oldFilePath=\/a\n$/,
    );
  });

  it('lets no text end its field or line', () => {
    const text = written(cef, 1, { ...plain, event: 'a|b\\' as AuditEvent, user: 'x=y\nCEF:0|z\\' });
    expect(text.split('\n')).toHaveLength(2);
    expect(text).toContain(String.raw`|a\|b\\|a\|b\\|6|`);
    expect(text).toContain(String.raw`duser=x\=y\u000aCEF:0|z\\`);
  });
});
