import { describe, expect, it } from 'vitest';
import { buildEventFilter, type EventFilter } from '#main-agent/notify/event-filter.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { buildUser } from '#test/main-agent/login/rig.ts';

const upload: AuditRecord = {
  time: '2026-11-24T08:00:00.000Z',
  event: 'file.upload',
  outcome: 'ok',
  user: 'alice',
  path: '/incoming/2026/Plan.PDF',
};
const users = new Map([['alice', buildUser('alice', { groups: ['staff', 'partners'] })]]);
const fits = (filter: Partial<EventFilter>, record: Partial<AuditRecord> = {}): boolean =>
  buildEventFilter({ events: ['file.*'], ...filter }, (name) => users.get(name))({ ...upload, ...record });

describe('who is told of an event', () => {
  it.each<[Partial<EventFilter>, boolean]>([
    [{}, true],
    [{ events: ['login.*', 'file.upload'] }, true],
    [{ events: ['file.delete'] }, false],
    [{ outcomes: ['ok'] }, true],
    [{ outcomes: ['cut', 'failed'] }, false],
    [{ users: ['bob', 'alice'] }, true],
    [{ users: ['bob'] }, false],
    [{ groups: ['partners'] }, true],
    [{ groups: ['admins'] }, false],
    [{ folders: ['/incoming'] }, true],
    [{ folders: ['/incoming/2026/'] }, true],
    [{ folders: ['/'] }, true],
    [{ folders: ['/incoming/2026/Plan.PDF'] }, true],
    [{ folders: ['/in'] }, false],
    [{ folders: ['/outgoing', '/incoming/2027'] }, false],
    [{ names: ['*.pdf'] }, true],
    [{ names: ['plan.*', 'x'] }, true],
    [{ names: ['*'] }, true],
    [{ names: ['p??n.pdf'] }, true],
    [{ names: ['*l*n*.*f'] }, true],
    [{ names: ['*.pd'] }, false],
    [{ names: ['incoming'] }, false],
    [{ names: ['plan.pdf?'] }, false],
    [{ folders: ['/incoming'], names: ['*.txt'] }, false],
    [{ users: ['alice'], groups: ['partners'], folders: ['/incoming'], names: ['*.pdf'] }, true],
  ])('with %j: %s', (filter, wanted) => {
    expect(fits(filter)).toBe(wanted);
  });

  it('is told of a file that is moved into the folder, or out of it', () => {
    const moved = (path: string, toPath: string): boolean =>
      fits({ folders: ['/incoming'], names: ['*.pdf'] }, { event: 'file.rename', path, toPath });
    expect(moved('/x.part', '/incoming/x.pdf')).toBe(true);
    expect(moved('/incoming/x.pdf', '/x.part')).toBe(true);
    // Each by itself: a folder of the one and a name of the other are nobody's file.
    expect(moved('/incoming/x.part', '/x.pdf')).toBe(false);
  });

  it('is told nothing by folder, name, user or group where a record has none', () => {
    const { path: _path, user: _user, ...nobody } = upload;
    for (const filter of [
      { folders: ['/'] },
      { names: ['*'] },
      { users: ['alice'] },
      { groups: ['partners'] },
    ])
      expect(buildEventFilter({ events: ['*'], ...filter }, (name) => users.get(name))(nobody)).toBe(false);
    expect(fits({ groups: ['partners'] }, { user: 'gone' })).toBe(false);
  });

  it('is told of a path that would be none today', () => {
    expect(fits({ folders: ['/a'], names: ['con*'] }, { path: '/a/con\u202e. ' })).toBe(true);
    expect(fits({ folders: ['/a'] }, { path: 'a/../..' })).toBe(false);
  });

  it('is found in a blink, whatever the pattern and the name are', () => {
    const name = `${'a'.repeat(254)}b`;
    expect(fits({ names: [`${'*a'.repeat(120)}c`] }, { path: `/${name}` })).toBe(false);
  });
});
