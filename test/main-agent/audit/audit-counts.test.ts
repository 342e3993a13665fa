import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { AuditCounts } from '#main-agent/audit/audit-counts.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';

const plain = {
  time: '2026-11-24T08:00:00.000Z',
  protocol: 'sftp',
  user: 'zoe',
  clientIp: '192.0.2.7',
} as const;

it('a monitor counts sign-ins, refusals and whole transfers as the audit has them, and learns no name', async () => {
  const counts = new AuditCounts();
  const registry = new Registry();
  counts.register(registry);
  const records: readonly AuditRecord[] = [
    { ...plain, event: 'login.admitted', outcome: 'ok', method: 'totp', durationMs: 4_000 },
    { ...plain, event: 'login.refused', outcome: 'refused', rule: 'wrong password' },
    { ...plain, event: 'login.refused', outcome: 'refused', rule: '192.0.2.7 is not in allow_from' },
    { ...plain, event: 'file.upload', outcome: 'ok', durationMs: 2_000, path: '/zoe/x' },
    { ...plain, event: 'file.upload', outcome: 'cut', durationMs: 9_000, path: '/zoe/x' },
    { time: plain.time, event: 'audit.retired', outcome: 'ok', actor: 'system' },
  ];
  counts.take(records);
  const text = await registry.metrics();
  for (const line of [
    'sallyport_logins_total{protocol="sftp",method="totp",result="admitted"} 1',
    'sallyport_logins_total{protocol="sftp",method="none",result="refused"} 2',
    'sallyport_audit_records_total{event="file.upload",outcome="cut"} 1',
    'sallyport_audit_records_total{event="audit.retired",outcome="ok"} 1',
    'sallyport_refusals_total{protocol="sftp",reason="wrong-password"} 1',
    'sallyport_refusals_total{protocol="sftp",reason="account"} 1',
    'sallyport_login_seconds_sum{protocol="sftp",method="totp"} 4',
    'sallyport_transfer_seconds_sum{direction="upload",protocol="sftp"} 2',
    'sallyport_transfer_seconds_count{direction="upload",protocol="sftp"} 1',
  ])
    expect(text.split('\n')).toContain(line);
  expect(text).not.toMatch(/zoe|192\.0\.2/);
});
