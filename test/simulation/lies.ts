/** Parts that do not keep their word: the simulation has to notice each of them, or it notices nothing. */
import type { Lies } from './world.ts';

export const lies: Readonly<Record<string, Lies>> = {
  'a state that forgets used time steps in a crash': { disk: { forgets: 'DELETE FROM time_steps' } },
  'a state that forgets used codes in a crash': { disk: { forgets: 'DELETE FROM used_codes' } },
  'a state that answers before it has written': { disk: { answersFirst: true } },
  'a state that leaves the audit out where the disk is full': {
    disk: { drops: { kind: 'audit', onlyWhenFull: true } },
  },
  'a state that does not count wrong codes': {
    disk: { drops: { kind: 'count-failure', onlyWhenFull: false } },
  },
  'a state that lets a signature be used twice': {
    disk: { drops: { kind: 'use-ssh-signature', onlyWhenFull: false } },
  },
  'a state that ends no session': { disk: { drops: { kind: 'end-session', onlyWhenFull: false } } },
  'a storage that answers before a file has its name': { storage: { movesLater: true } },
  'a dispatcher that does not look whose node a session is of': {
    sessions: (sessions) => ({
      ...sessions,
      list: () => sessions.list(),
      end: (...args) => sessions.end(...args),
      endAllOf: (...args) => sessions.endAllOf(...args),
      require: (id, from) => {
        for (const node of ['dmz1', 'dmz2'])
          for (const worker of [0, 1])
            try {
              return sessions.require(id, { node, worker });
            } catch {
              // Of another one, or of none.
            }
        return sessions.require(id, from);
      },
    }),
  },
  'a revocation that ends nothing': { revokesNothing: true },
};
