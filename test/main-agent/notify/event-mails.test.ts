import type { SMTPServerOptions } from 'smtp-server';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { z } from 'zod';
import type { AuditReader } from '#main-agent/audit/audit-reader.ts';
import { eventMail } from '#main-agent/config-events.ts';
import { buildAudit } from '#main-agent/audit/audit-log.ts';
import { buildMailFilter } from '#main-agent/notify/event-mail.ts';
import { buildEventMail } from '#main-agent/notify/event-mails.ts';
import { eventMailLinesMax, eventMailPatienceMs } from '#main-agent/notify/limits.ts';
import { buildMailer, type Mailer } from '#main-agent/notify/mail.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { buildLog } from '#shared/log.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';
import { waitUntil } from '#test/harness/product.ts';
import { partOf, type Relay, startRelay } from '#test/harness/smtp-relay.ts';
import { buildUser } from '#test/main-agent/login/rig.ts';

/** Tries again at once. */
vi.mock(import('#main-agent/audit/limits.ts'), async (original) => ({
  ...(await original()),
  readerRetryMsMin: 20 as 1_000,
  readerRetryMsMax: 20 as 300_000,
}));

const log = buildLog('silent', {});
const desk = 'desk@example.com';
const withinMs = 60_000;
const users = new Map([
  ['alice', buildUser('alice', { email: 'alice@example.com' })],
  ['bob', buildUser('bob', { email: 'bob@example.com' })],
  ['carl', buildUser('carl', { email: undefined })],
]);

describe('mails that tell what happens', () => {
  let state: MemoryState;
  let relay: Relay;
  let mailer: Mailer;
  let nowMs: number;
  const readers: AuditReader[] = [];

  async function useRelay(options: SMTPServerOptions = {}, port = 0): Promise<void> {
    relay = await startRelay(options, port);
    mailer = buildMailer({
      host: '127.0.0.1',
      port: relay.port,
      tls: 'none',
      from: 'Files <files@example.com>',
    });
  }
  beforeEach(async () => {
    state = buildMemoryState();
    // What happened is told at once: it is older than any wait.
    nowMs = Date.parse('2026-11-24T09:00:00.000Z');
    await useRelay();
  });
  afterEach(async () => {
    vi.useRealTimers();
    for (const reader of readers.splice(0)) await reader.close();
    mailer.close();
    relay.close();
  });

  async function start(changed: Partial<z.input<typeof eventMail>> = {}): Promise<AuditReader> {
    const config = eventMail.parse({
      name: 'incoming',
      events: ['file.upload'],
      to: [desk],
      within: `${withinMs}ms`,
      ...changed,
    });
    const find = (name: string) => users.get(name);
    const settings = { config, wants: buildMailFilter(config, find) };
    const reader = buildEventMail(`mail:${config.name}`, settings, {
      mailer: { send: (mail) => mailer.send(mail) },
      users: { find },
      audit: buildAudit(state),
      service: () => 'Files',
      state,
      clock: { now: () => nowMs, monotonic: () => nowMs },
      log,
    });
    readers.push(reader);
    await reader.start();
    return reader;
  }
  const happen = (...records: readonly Partial<AuditRecord>[]): Promise<unknown> =>
    state.commit(
      records.map((record) => ({
        kind: 'audit',
        record: {
          time: '2026-11-24T08:00:00.000Z',
          event: 'file.upload',
          outcome: 'ok',
          user: 'alice',
          path: '/incoming/plan.pdf',
          bytes: 12,
          ...record,
        },
      })),
    );
  const until = (holds: () => Promise<boolean> | boolean): Promise<void> => waitUntil(holds, 30_000);
  const audited = async (): Promise<readonly AuditRecord[]> =>
    (await state.read('audit-after', { sequence: 0, limit: 1_000 })).map(({ record }) => record);
  const notices = async (): Promise<readonly AuditRecord[]> =>
    (await audited()).filter(({ event }) => event === 'notice.sent');
  const texts = (): readonly string[] => relay.mails.map(({ raw }) => partOf(raw, 'text/plain'));
  const subjects = (): readonly string[] =>
    relay.mails.map(
      ({ raw }) => /^Subject: (.*(?:\r\n[ \t].*)*)/m.exec(raw)?.[1]?.replaceAll('\r\n', '') ?? '',
    );

  it('tell of what happens from the first start on: to each address, in order, and in the audit', async () => {
    await happen({ path: '/before.pdf' });
    await start({ to: [desk, 'boss@example.com'] });
    await happen({}, { event: 'file.download', path: '/other' }, { outcome: 'cut', path: '/half' });
    await until(async () => (await notices()).length === 2);
    expect(relay.mails.map(({ to }) => to)).toEqual([[desk], ['boss@example.com']]);
    expect(subjects()).toEqual(Array(2).fill('Files: file.upload plan.pdf'));
    expect(texts()[0]?.split('\r\n').slice(0, 3)).toEqual([
      '2026-11-24 08:00:00 UTC  alice  file.upload  /incoming/plan.pdf  12 bytes',
      '',
      'This is the notice "incoming" of Files.',
    ]);
    expect(await notices()).toMatchObject([
      { outcome: 'ok', actor: 'system', rule: 'incoming', detail: `record 2, to ${desk}` },
      { outcome: 'ok', detail: 'record 2, to boss@example.com' },
    ]);
  });

  it('are one for all that happens within the time after the first, also over a restart of main', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const turns = async (holds: () => Promise<boolean> | boolean): Promise<void> => {
      for (let turn = 0; turn < 2_000 && !(await holds()); turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
      expect(await holds()).toBe(true);
    };
    nowMs = Date.parse('2026-11-24T08:00:01.000Z');
    const first = await start();
    await happen({ path: '/1' });
    await turns(() => first.isGathering());
    await happen({ path: '/2' });
    await first.close();
    expect(first.position()).toBe(0);
    const second = await start();
    await turns(() => second.isGathering());
    nowMs += 30_000;
    await happen({ path: '/3', time: '2026-11-24T08:00:31.000Z' });
    nowMs += withinMs - 31_000 - 1;
    vi.advanceTimersByTime(withinMs - 1_000 - 1);
    expect(second.isGathering()).toBe(true);
    nowMs += 1;
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    await until(async () => (await notices()).length === 1);
    expect(subjects()).toEqual(['Files: 3 file.upload']);
    expect(texts()[0]).toMatch(/\/1 .*\r\n.*\/2 .*\r\n.*\/3 /);
  });

  it('go to whom a record is about, each told of their own, and to nobody where there is no address', async () => {
    const reader = await start({ to: ['user'] });
    await happen({ user: 'alice', path: '/a' }, { user: 'carl', path: '/c' }, { user: 'bob', path: '/b' });
    await happen({ user: 'gone', path: '/g' }, { user: 'alice', path: '/a2' });
    await until(() => reader.position() >= 5);
    const told = relay.mails.map(({ to }, index) => [to[0], texts()[index]?.match(/\/[a-z]\d?(?= )/g)]);
    const of = (address: string) => told.filter(([to]) => to === address).flatMap(([, paths]) => paths);
    expect(of('alice@example.com')).toEqual(['/a', '/a2']);
    expect(of('bob@example.com')).toEqual(['/b']);
    expect(told.every(([to]) => to !== undefined)).toBe(true);
  });

  it('are all there when the relay was away over a restart of main, and none is made of a mail', async () => {
    const { port } = relay;
    relay.close();
    const first = await start({ events: ['*'] });
    await happen({ path: '/1' });
    await until(() => first.problem() !== undefined);
    expect(first.problem()).toMatch(/^mail incoming: /);
    await first.close();
    await happen({ path: '/2' });
    await useRelay({}, port);
    const second = await start({ events: ['*'] });
    await until(async () => second.position() >= 2 && (await notices()).length > 0);
    expect(second.problem()).toBeUndefined();
    await happen({ path: '/3' });
    await until(() => texts().join('').includes('/3 '));
    const told = texts().join('');
    // A mail that was on its way when main stopped may arrive all the same, and is sent again.
    expect([...new Set(told.match(/\/\d(?= )/g))]).toEqual(['/1', '/2', '/3']);
    expect(told).not.toContain('notice.sent');
  });

  it('that the relay never takes are told in the audit, and keep nobody else waiting', async () => {
    relay.close();
    await useRelay({
      onRcptTo: ({ address }, _session, callback) =>
        callback(
          address === desk ? Object.assign(new Error('no such mailbox'), { responseCode: 550 }) : null,
        ),
    });
    const reader = await start({ to: [desk, 'boss@example.com'] });
    await happen({ path: '/1' });
    await until(async () => (await notices()).length === 2);
    await happen({ path: '/2' });
    await until(async () => (await notices()).length === 4);
    expect(reader.problem()).toBeUndefined();
    expect(texts()).toHaveLength(2);
    expect(await notices()).toMatchObject([
      { outcome: 'failed', detail: expect.stringMatching(`^record 1, to ${desk}: .*no such mailbox`) },
      { outcome: 'ok' },
      { outcome: 'failed' },
      { outcome: 'ok' },
    ]);
  });

  it('wait for one address that is not taken yet, and are not sent again to the others meanwhile', async () => {
    relay.close();
    let refusals = 0;
    await useRelay({
      onRcptTo: ({ address }, _session, callback) => {
        const isLater = address === 'boss@example.com' && refusals < 3;
        if (isLater) refusals += 1;
        callback(isLater ? Object.assign(new Error('greylisted'), { responseCode: 451 }) : null);
      },
    });
    await start({ to: [desk, 'boss@example.com'] });
    await happen({ path: '/1' });
    await until(async () => (await notices()).length === 2);
    expect(refusals).toBe(3);
    expect(relay.mails.map(({ to }) => to[0])).toEqual([desk, 'boss@example.com']);
  });

  it('go on to the others, each once, while one address is refused for now, which is given up after hours', async () => {
    relay.close();
    const late = 'late@example.com';
    let isOpen = false;
    await useRelay({
      onRcptTo: ({ address }, _session, callback) =>
        callback(
          address === late && !isOpen ? Object.assign(new Error('full'), { responseCode: 452 }) : null,
        ),
    });
    const reader = await start({ to: [late, desk] });
    await happen({ path: '/1' });
    await until(() => texts().join('').includes('/1 '));
    await until(() => reader.problem() !== undefined);
    await happen({ path: '/2' });
    await until(() => texts().join('').includes('/2 '));
    nowMs += eventMailPatienceMs - 1;
    await happen({ path: '/3' });
    await until(() => texts().join('').includes('/3 '));
    expect((await notices()).every(({ outcome }) => outcome === 'ok')).toBe(true);
    nowMs += 1;
    await until(async () => (await notices()).some(({ outcome }) => outcome === 'failed'));
    expect((await notices()).find(({ outcome }) => outcome === 'failed')?.detail).toMatch(
      new RegExp(`^\\d records to \\d+, to ${late}: given up after 4 h: .*full`),
    );
    await until(() => reader.problem() === undefined && reader.position() > 1);
    expect(
      texts()
        .join('')
        .match(/\/\d(?= )/g),
    ).toEqual(['/1', '/2', '/3']);
    isOpen = true;
    await happen({ path: '/4' });
    await until(() => relay.mails.length === 5);
    expect(relay.mails.slice(3).map(({ to }) => to[0])).toEqual([late, desk]);
  });

  it('are tried at one address alone where it is the relay that does not answer', async () => {
    relay.close();
    const send = vi.spyOn(mailer, 'send');
    const reader = await start({ to: [desk, 'boss@example.com'] });
    await happen({});
    await until(() => reader.problem() !== undefined);
    nowMs += 10 * eventMailPatienceMs;
    const tries = send.mock.calls.length;
    await until(() => send.mock.calls.length > tries + 2);
    expect(new Set(send.mock.calls.map(([{ to }]) => to))).toEqual(new Set([desk]));
    expect(await notices(), 'it waits for as long as the audit has it').toEqual([]);
  });

  it('of many are one with the first of them by name', async () => {
    await start();
    await happen(...Array.from({ length: eventMailLinesMax + 3 }, (_, n) => ({ path: `/f${n}` })));
    await until(async () => (await notices()).length === 1);
    expect(texts()[0]?.match(/\/f\d+/g)).toHaveLength(eventMailLinesMax);
    expect(texts()[0]).toContain('and 3 more');
    expect(subjects()).toEqual([`Files: ${eventMailLinesMax + 3} file.upload`]);
  });

  it('have no header, recipient, line or element that a stranger’s name makes', async () => {
    await start({
      events: ['login.refused'],
      outcomes: ['refused'],
      to: [desk, 'user'],
      subject: '{summary} {name}',
      line: '{user} {path} {event}',
    });
    const evil = 'x\r\nBcc: evil@example.com\r\n\r\n<script>\u202e{events}, evil@example.com';
    await happen({ event: 'login.refused', outcome: 'refused', user: evil });
    await until(async () => (await notices()).length === 1);
    const [mail] = relay.mails;
    expect(relay.mails.map(({ to }) => to)).toEqual([[desk]]);
    const [head = ''] = mail?.raw.split('\r\n\r\n') ?? [];
    expect(head).not.toMatch(/^Bcc:/im);
    expect(head.match(/^Subject:/gm)).toHaveLength(1);
    const [line, ...rest] = texts()[0]?.split('\r\n') ?? [];
    expect(line).toContain(String.raw`x\u000d\u000aBcc: evil@example.com\u000d\u000a`);
    expect(line).toMatch(/login\.refused$/);
    expect(rest.join('\n')).not.toContain('evil');
    expect(partOf(mail?.raw ?? '', 'text/html')).not.toContain('<script>');
  });
});
