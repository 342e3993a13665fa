import { describe, expect, it } from 'vitest';
import { listFiles, listSources, readText } from './source-tree.ts';

describe('the state', () => {
  it('is written with the names of its columns', () => {
    const nameless = listFiles().flatMap((file) =>
      file.startsWith('main-agent/state/')
        ? [...readText(file).matchAll(/\bINTO\s+(\w+)\s+(?!\()\w+/g)].map(([found]) => `${file}: ${found}`)
        : [],
    );
    expect(
      nameless,
      'an INSERT without names puts values by place: a column that is added, or that another engine has in another ' +
        'order, would take the value of its neighbour',
    ).toEqual([]);
  });

  /** Who makes a change of what (D-114): the rooms whose rules it carries out. `restored` puts right what others own. */
  const owners: readonly (readonly [rooms: readonly string[], kinds: string])[] = [
    [['sessions'], 'open-session replace-session end-session touch-session'],
    [['sessions'], 'open-lease use-lease end-lease end-leases'],
    [['sessions'], 'open-device rotate-device end-device end-devices'],
    [['vault'], 'require-enrolment use-bypass-code'],
    // A name that was given again takes no code of its earlier holder along.
    [['vault', 'users/departures.ts'], 'set-bypass-code'],
    [['vault', 'restored'], 'set-enrolment use-time-step'],
    [['vault', 'two-factor', 'restored'], 'use-code'],
    [['two-factor'], 'keep-delivered-code'],
    [['audit'], 'note-audit-head prune-audit note-edge-event note-receipt'],
    [['restored'], 'restore-audit skip-audit-numbers void-evidence'],
  ];

  it('is changed by the room that owns what is changed', () => {
    const allowed = new Map(
      owners.flatMap(([rooms, kinds]) => kinds.split(' ').map((kind) => [kind, rooms])),
    );
    const made = listSources('main-agent')
      .filter((file) => !file.startsWith('main-agent/state/'))
      .flatMap((file) =>
        [...readText(file).matchAll(/\bkind: '([a-z-]+)'/g)].map(([, kind = '']) => ({ file, kind })),
      );
    const strangers = made.filter(
      ({ file, kind }) => allowed.get(kind)?.some((room) => file.startsWith(`main-agent/${room}`)) === false,
    );
    expect(
      strangers.map(({ file, kind }) => `${file}: ${kind}`),
      'what a session, a lease, a factor or the audit may become is decided in one room; others ask it for the change',
    ).toEqual([]);
    const unmade = [...allowed.keys()].filter((kind) => !made.some((one) => one.kind === kind));
    expect(unmade, 'a rule about a change that nobody makes guards nothing').toEqual([]);
  });
});
