/**
 * The walls a broken-into node runs into, as the drill names them: an invariant of SECURITY.md and a word. Where one can
 * be taken away alone, `removal` says how: text of the product's own source, each piece there exactly once, that is put
 * in its place when the file is loaded (`remove-wall.ts`). The product has no switch for any of it.
 */

interface Replacement {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

interface WallFacts {
  /** What it keeps. */
  readonly keeps: string;
  readonly removal?: readonly Replacement[];
}

export const walls = {
  'S-01-code': {
    keeps: 'who needs a code gives a right one, and the one the node signed for',
    removal: [
      {
        file: 'main-agent/login/assertions.ts',
        find: 'if (!isCommitmentTo(claims.code_commit, salt, secret))',
        replace: 'if (!isCommitmentTo(claims.code_commit, salt, secret) && salt === "")',
      },
    ],
  },
  'S-01-claims': {
    keeps: 'what an assertion says is what main recorded when the login began',
    removal: [
      {
        file: 'main-agent/login/assertions.ts',
        find: "if (claims.client_ip !== origin.clientIp) return 'client_ip';",
        replace: '',
      },
    ],
  },
  'S-01-challenge': {
    keeps: 'an assertion is for the one challenge that it answers',
    removal: [
      {
        file: 'main-agent/login/assertions.ts',
        find: "if (claims.nonce !== expected.nonce) return 'nonce';",
        replace: '',
      },
    ],
  },
  'S-01-link': {
    keeps: 'an assertion is good on the link it was made for',
    removal: [
      {
        file: 'main-agent/login/assertions.ts',
        find: "if (claims.link !== link.exporter) return 'link';",
        replace: '',
      },
    ],
  },
  'S-01-key': {
    keeps: 'only the key of the node that sends an assertion may have signed it',
    removal: [
      {
        file: 'shared/assertion/verify.ts',
        find: 'if (key.node !== expected.node) throw',
        replace: 'if (key.node === "") throw',
      },
    ],
  },
  'S-01-retired-key': {
    keeps: 'a key of a node that was rotated out signs nothing once its overlap is over',
    removal: [
      {
        file: 'shared/assertion/verify.ts',
        find: "if (key.status !== 'active') throw",
        replace: "if (key.status === 'revoked') throw",
      },
    ],
  },
  'S-01-form': { keeps: 'an assertion has one spelling, one algorithm and a life of seconds' },
  'S-01-change': {
    keeps: 'a proof for one change of an account makes no other',
    removal: [
      {
        file: 'main-agent/login/assertions.ts',
        find: 'if (!isCommitmentToChange(claims.change, changeSalt, change))',
        replace: 'if (!isCommitmentToChange(claims.change, changeSalt, change) && changeSalt === "")',
      },
    ],
  },
  'S-01-setup': {
    keeps: 'a second factor is set up by who may, in one session, with a secret of main’s, once it is proven',
    removal: [
      {
        file: 'main-agent/two-factor/pending-setups.ts',
        find: 'if (setup === undefined || setup.sessionKey !== sessionKey) throw expired();',
        replace: 'if (setup === undefined) throw expired();',
      },
    ],
  },
  'S-01-lease': { keeps: 'a lease carries the client that earned it, at its node, and nobody beside it' },
  'S-01-device': {
    keeps: 'a remembered browser is known at its node and to its user, and a copy of its cookie ends both',
    removal: [
      {
        file: 'main-agent/sessions/devices.ts',
        find: 'if (device.node !== facts.node || device.credential !== facts.credential)',
        replace: 'if (device.credential !== facts.credential)',
      },
    ],
  },
  'S-01-signature': {
    keeps: 'an SSH signature is good in a session whose key exchange main signed for that node',
    removal: [
      {
        file: 'main-agent/login/first-factor.ts',
        find: 'if (!this.#parts.isSessionOf(link, request.sessionId)) {',
        replace: 'if (request.sessionId.length === 0) {',
      },
    ],
  },
  'S-03-once': {
    keeps: 'a code opens one session, however and wherever it is shown',
    removal: [
      {
        file: 'main-agent/state/sqlite/changes.ts',
        find: 'ON CONFLICT DO UPDATE SET step = excluded.step WHERE excluded.step > step`',
        replace: 'ON CONFLICT DO UPDATE SET step = excluded.step`',
      },
      {
        file: 'main-agent/state/sqlite/changes.ts',
        find: "'INSERT INTO used_codes (username, id, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING'",
        replace: "'INSERT OR REPLACE INTO used_codes (username, id, expires_at) VALUES (?, ?, ?)'",
      },
      {
        file: 'main-agent/state/sqlite/queries.ts',
        find: "lastStep: present === undefined ? undefined : numberOrUndefined(step.get(user, present)?.['step'])",
        replace: 'lastStep: undefined',
      },
    ],
  },
  'S-03-restored': {
    keeps: 'what was used stays used when an older state is put back',
    removal: [
      {
        file: 'main-agent/restored/restored.ts',
        find: 'const known = await findOlderState(facts);',
        replace: 'const known = undefined;',
      },
      {
        file: 'main-agent/restored/starts.ts',
        find: "if (start < this.#settledBefore) return { kind: 'fits' };",
        replace: "return { kind: 'fits' };",
      },
    ],
  },
  'S-03-assertion': {
    keeps: 'an assertion is judged once',
    removal: [
      {
        file: 'main-agent/login/assertions.ts',
        find: "if (seen.has(jti)) throw refuse('assertion was used before');",
        replace: '',
      },
    ],
  },
  'S-04-node': {
    keeps: 'a session is good on the node it was opened through',
    removal: [
      {
        file: 'main-agent/sessions/sessions.ts',
        find: 'if (stored.node !== from.node) throw',
        replace: 'if (stored.node === "") throw',
      },
    ],
  },
  'S-04-door': {
    keeps: 'a session is good at the door and for the worker it was opened for',
    removal: [
      {
        file: 'main-agent/link/dispatch.ts',
        find: "if (session.protocol !== 'https')",
        replace: "if (session.protocol === '')",
      },
    ],
  },
  'S-04-user': {
    keeps: 'a session reaches what its own user has, and nothing of another',
    removal: [
      {
        file: 'main-agent/account/account-handlers.ts',
        find: 'one.key === id && one.username === by.username',
        replace: 'one.key === id',
      },
    ],
  },
  'S-05-table': {
    keeps: 'what is not in main’s table of requests ends the link',
    removal: [
      {
        file: 'shared/link/session.ts',
        find: "this.#close(failure.detail ?? failure.code, isSallyportError(error, 'protocol-violation'));",
        replace: '',
      },
    ],
  },
  'S-05-session': {
    keeps: 'files are reached by a session that main granted and that lives',
    removal: [
      {
        file: 'main-agent/link/dispatch.ts',
        find: 'if (oldest !== undefined && now - oldest <= strayWindowMs)',
        replace: 'if (oldest === -1)',
      },
    ],
  },
  'S-05-number': {
    keeps: 'what is asked under one number is done once, and is one thing',
    removal: [
      {
        file: 'main-agent/link/operations.ts',
        find: 'if (known.digest === digest) return known.outcome;',
        replace: 'return known.outcome;',
      },
    ],
  },
  'S-05-confined': {
    keeps: 'a session that may only set up a factor reaches nothing else',
    removal: [
      {
        file: 'main-agent/link/dispatch.ts',
        find: "if (session.state === 'signed-in') return session;",
        replace: 'return session as FullSession;',
      },
    ],
  },
  'S-07-one-refusal': { keeps: 'before the first factor is right nobody learns who exists' },
  'S-08-path': {
    keeps: 'no name leads out of the folders of a user',
    removal: [
      {
        file: 'shared/file-service/virtual-path.ts',
        find: "if (name === '' || name === '.' || name === '..')",
        replace: "if (name === '')",
      },
      {
        file: 'shared/file-service/virtual-path.ts',
        find: 'if (/[. ]$/.test(name))',
        replace: 'if (/[ ]$/.test(name))',
      },
    ],
  },
  'S-09-budget': {
    keeps: 'a node fills neither main’s disk nor its queues',
    removal: [
      {
        file: 'main-agent/audit/node-budget.ts',
        find: "changes.filter((change) => change.kind !== 'audit' || this.#mayWrite(change.record))",
        replace: 'changes',
      },
    ],
  },
  'S-10-pin': {
    keeps: 'main talks to the key that was paired, and to no other',
    removal: [
      {
        file: 'shared/link/link-tls.ts',
        find: 'if (!expected.fingerprints.includes(fingerprint))',
        replace: 'if (fingerprint === "")',
      },
    ],
  },
  'S-13-lock': {
    keeps: 'ten wrong codes lock a factor, however they are spread',
    removal: [
      {
        file: 'main-agent/login/code-check.ts',
        find: 'if (lockedMs > 0 || isDisabled) {',
        replace: 'if (isDisabled) {',
      },
    ],
  },
  'S-13-guesses': { keeps: 'passwords can not be tried without end, whatever address is named' },
  'S-14-ended': {
    keeps: 'what an administrator ends is over before the next operation',
    removal: [
      {
        file: 'main-agent/sessions/sessions.ts',
        find: 'this.#entries.delete(key);\n    entry.controller.abort(noSession(reason));',
        replace: '',
      },
    ],
  },
  'S-14-account': {
    keeps: 'who is disabled, or has another password, is out before the next operation',
    removal: [
      {
        file: 'main-agent/sessions/sessions.ts',
        find: '? findAccountProblem(user, { ...stored, nowMs })',
        replace: '? undefined',
      },
    ],
  },
  'S-14-revoked': {
    keeps: 'a node that is revoked has no link, no session and no key',
    removal: [
      {
        file: 'main-agent/link/node-admin.ts',
        find: "links.closeNode(name, 'revoked');",
        replace: '',
      },
    ],
  },
} as const satisfies Readonly<Record<string, WallFacts>>;

export type Wall = keyof typeof walls;

export function isWall(name: string): name is Wall {
  return Object.hasOwn(walls, name);
}

/** How it is taken away; undefined: it is made of several that hold each other, or of another one's text. */
export function removalOf(wall: Wall): readonly Replacement[] | undefined {
  const facts: WallFacts = walls[wall];
  return facts.removal;
}
