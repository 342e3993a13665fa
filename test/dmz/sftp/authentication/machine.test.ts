import { describe, expect, it } from 'vitest';
import {
  type AuthenticationAction,
  type AuthenticationEvent,
  type AuthenticationState,
  initialState,
  methodsAfterFirstFactor,
  methodsAtStart,
  stepAuthentication,
} from '#dmz/sftp/authentication/machine.ts';
import { codeRoundsMax, keyProbesMax, restartsMax, triesMax } from '#dmz/sftp/limits.ts';

/** What a client may do next, with what makes it right or wrong. */
const moves = [
  'none',
  'other',
  'probe',
  'right password',
  'wrong password',
  'right key',
  'wrong key',
  'keyboard-interactive',
  'answer: right password',
  'answer: wrong',
  'answer: right code',
  'no answer',
] as const;
type Move = (typeof moves)[number];

const userClasses = ['no code', 'code', 'set-up first', 'set-up here', 'unknown'] as const;
type UserClass = (typeof userClasses)[number];

const eventOf: Readonly<Record<Move, AuthenticationEvent>> = {
  none: { type: 'none' },
  other: { type: 'other' },
  probe: { type: 'probe' },
  'right password': { type: 'password' },
  'wrong password': { type: 'password' },
  'right key': { type: 'publickey' },
  'wrong key': { type: 'publickey' },
  'keyboard-interactive': { type: 'keyboard-interactive' },
  'answer: right password': { type: 'answers', count: 1 },
  'answer: wrong': { type: 'answers', count: 1 },
  'answer: right code': { type: 'answers', count: 1 },
  'no answer': { type: 'answers', count: 0 },
};

/** The login service and the client's view, beside the machine: knows what has really been proved. */
class World {
  state: AuthenticationState = initialState;
  readonly #user: UserClass;
  /** A challenge is alive: a first factor was right and nothing voided it. */
  hasFirstFactor = false;
  hasCode = false;
  hasProof = false;
  sessions = 0;
  readonly seen: AuthenticationAction[] = [];

  constructor(user: UserClass) {
    this.#user = user;
  }

  get #isAsked(): boolean {
    return this.#user === 'code' || this.#user === 'set-up here';
  }

  #require(isProved: boolean, action: AuthenticationAction): void {
    if (!isProved) throw new Error(`${action.type} without what it needs`);
  }

  play(move: Move): void {
    this.#step(eventOf[move], move);
  }

  #step(event: AuthenticationEvent, move: Move): void {
    const { state, actions } = stepAuthentication(this.state, event);
    this.state = state;
    for (const action of actions) {
      this.seen.push(action);
      const answer = this.#carryOut(action, move);
      if (answer !== undefined) this.#step(answer, move);
    }
  }

  #carryOut(action: AuthenticationAction, move: Move): AuthenticationEvent | undefined {
    switch (action.type) {
      case 'probe':
        return { type: 'probed', acceptable: this.#user !== 'unknown' };
      case 'begin': {
        const isRight = ['right password', 'right key', 'answer: right password'].includes(move);
        this.hasFirstFactor = isRight && this.#user !== 'unknown';
        this.hasCode = false;
        if (!this.hasFirstFactor) return { type: 'refused' };
        const next = {
          'no code': 'admit',
          code: 'code',
          'set-up here': 'code',
          'set-up first': 'notice',
        } as const;
        return { type: 'first-factor-right', next: next[this.#user as keyof typeof next] };
      }
      case 'admit':
        this.#require(this.hasFirstFactor && this.#user === 'no code', action);
        this.sessions += 1;
        return { type: 'admitted' };
      case 'answer':
        this.#require(this.hasFirstFactor && this.#isAsked, action);
        if (move !== 'answer: right code') return { type: 'again' };
        this.hasCode = true;
        if (this.#user === 'set-up here') return { type: 'setup' };
        this.sessions += 1;
        return { type: 'admitted' };
      case 'prove':
        this.#require(this.hasCode && this.#user === 'set-up here', action);
        if (move !== 'answer: right code') return { type: 'again' };
        this.hasProof = true;
        this.sessions += 1;
        return { type: 'enrolled' };
      case 'cancel':
        this.hasFirstFactor = false;
        this.hasCode = false;
        return undefined;
      case 'fail':
        if (!action.partial && action.methods === methodsAtStart) this.hasFirstFactor = false;
        return undefined;
      case 'ask-code':
        this.#require(this.hasFirstFactor && this.#isAsked, action);
        return undefined;
      case 'ask-proof':
        this.#require(this.hasCode && this.#user === 'set-up here', action);
        return undefined;
      case 'succeed':
        this.#require(this.hasFirstFactor && this.sessions === 1, action);
        this.#require(this.#user === 'no code' || this.hasCode, action);
        this.#require(this.#user !== 'set-up here' || this.hasProof, action);
        return undefined;
      case 'accept-key':
      case 'ask-password':
      case 'tell':
      case 'disconnect':
        return undefined;
    }
  }
}

function* sequences(length: number): Generator<Move[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const rest of sequences(length - 1)) for (const move of moves) yield [...rest, move];
}

describe('the order of an SSH login', () => {
  for (const user of userClasses) {
    it(`S-01: no sequence of up to five messages admits a user (${user}) without every factor`, () => {
      let admitted = 0;
      for (const sequence of sequences(5)) {
        const world = new World(user);
        for (const move of sequence) world.play(move); // the world throws at a success without proof
        if (world.state.at === 'done') admitted += 1;
      }
      // It would be easy to be safe by admitting nobody.
      expect(admitted > 0).toBe(user !== 'set-up first' && user !== 'unknown');
    });
  }

  it('S-01: while something is being decided, any message ends the connection and nothing can succeed after it', () => {
    const decisions: AuthenticationEvent[] = [
      { type: 'admitted' },
      { type: 'first-factor-right', next: 'admit' },
      { type: 'again' },
      { type: 'probed', acceptable: true },
      { type: 'refused' },
      { type: 'setup' },
      { type: 'enrolled' },
      { type: 'lost' },
    ];
    for (const what of ['probe', 'first-factor', 'admit', 'code', 'proof'] as const)
      for (const interactive of [true, false])
        for (const move of moves) {
          const counts = { failures: 0, probes: 0, codeRounds: 0, restarts: 0 };
          const first = stepAuthentication({ ...counts, at: 'deciding', what, interactive }, eventOf[move]);
          expect(first.actions.at(-1)).toEqual({ type: 'disconnect', why: 'protocol' });
          for (const late of decisions) expect(stepAuthentication(first.state, late).actions).toEqual([]);
        }
  });

  it('S-01: a decision of another kind than was asked for never succeeds', () => {
    const counts = { failures: 0, probes: 0, codeRounds: 0, restarts: 0 };
    type What = 'probe' | 'first-factor' | 'admit' | 'code' | 'proof';
    const deciding = (what: What): AuthenticationState => ({
      ...counts,
      at: 'deciding',
      what,
      interactive: true,
    });
    for (const what of ['probe', 'first-factor'] as const) {
      const { state, actions } = stepAuthentication(deciding(what), { type: 'admitted' });
      expect([state.at, actions.some((action) => action.type === 'succeed')]).toEqual(['closed', false]);
    }
    for (const what of ['probe', 'first-factor', 'admit', 'code'] as const)
      expect(stepAuthentication(deciding(what), { type: 'enrolled' }).state.at).toBe('closed');
    for (const what of ['probe', 'first-factor', 'admit', 'proof'] as const)
      for (const type of ['setup', 'lost'] as const)
        expect(stepAuthentication(deciding(what), { type }).state.at).toBe('closed');
    for (const state of [initialState, { ...counts, at: 'asking-code' } as const])
      expect(stepAuthentication(state, { type: 'admitted' }).state.at).toBe('closed');
  });

  it('after a key or password of a user who needs a code, only keyboard-interactive goes on', () => {
    const world = new World('code');
    world.play('right key');
    expect(world.seen.at(-1)).toEqual({ type: 'fail', partial: true, methods: methodsAfterFirstFactor });
    world.play('keyboard-interactive');
    expect(world.seen.at(-1)).toEqual({ type: 'ask-code', again: false });
    world.play('answer: right code');
    expect(world.state.at).toBe('done');
  });

  it('another first factor voids the challenge, and key + password is not two factors', () => {
    const world = new World('code');
    world.play('right key');
    world.play('right password');
    expect(world.seen.map((action) => action.type)).toEqual(['begin', 'fail', 'cancel', 'begin', 'fail']);
    expect(world.seen.at(-1)).toMatchObject({ partial: true });
    expect(world.sessions).toBe(0);
  });

  it('password and code are asked in one exchange, without an empty round', () => {
    const world = new World('code');
    for (const move of [
      'none',
      'keyboard-interactive',
      'answer: right password',
      'answer: right code',
    ] as const)
      world.play(move);
    expect(world.seen.map((action) => action.type)).toEqual([
      'fail',
      'ask-password',
      'begin',
      'ask-code',
      'answer',
      'succeed',
    ]);
  });

  it('whoever must set up first is told in one empty round, then refused', () => {
    for (const begin of [
      ['right password', 'keyboard-interactive'],
      ['keyboard-interactive', 'answer: right password'],
    ] as const) {
      const world = new World('set-up first');
      for (const move of begin) world.play(move);
      expect(world.seen.at(-1)).toEqual({ type: 'tell' });
      world.play('no answer');
      expect(world.seen.at(-1)).toEqual({ type: 'fail', partial: false, methods: methodsAtStart });
    }
  });

  it('S-01: set-up inside the login comes after its code, and the session after its proof', () => {
    const world = new World('set-up here');
    for (const move of ['keyboard-interactive', 'answer: right password', 'answer: right code'] as const)
      world.play(move);
    expect(world.seen.at(-1)).toEqual({ type: 'ask-proof', again: false });
    world.play('answer: wrong');
    expect(world.seen.at(-1)).toEqual({ type: 'ask-proof', again: true });
    expect(world.sessions).toBe(0);
    world.play('answer: right code');
    expect(world.seen.at(-1)).toEqual({ type: 'tell' });
    world.play('no answer');
    expect(world.state.at).toBe('done');
  });

  it('a time-out between a proof and the session lets main end that session', () => {
    const world = new World('set-up here');
    for (const move of ['keyboard-interactive', 'answer: right password', 'answer: right code'] as const)
      world.play(move);
    const asking = stepAuthentication(world.state, { type: 'timeout' });
    expect(asking.actions.map((action) => action.type)).toEqual(['cancel', 'disconnect']);
    world.play('answer: right code');
    const telling = stepAuthentication(world.state, { type: 'timeout' });
    expect(telling.actions.map((action) => action.type)).toEqual(['cancel', 'disconnect']);
  });

  it('a login that main lost is asked anew in the same exchange and costs no try, a few times', () => {
    const world = new World('code');
    world.play('keyboard-interactive');
    const lose = (): void => {
      world.play('answer: right password');
      const { state } = stepAuthentication(world.state, { type: 'answers', count: 1 });
      const lost = stepAuthentication(state, { type: 'lost' });
      world.state = lost.state;
      world.seen.push(...lost.actions);
      world.hasFirstFactor = false;
    };
    for (let count = 0; count < restartsMax; count += 1) {
      lose();
      expect(world.seen.at(-1)).toEqual({ type: 'ask-password', lost: true });
      expect([world.state.at, world.state.failures]).toEqual(['asking-password', 0]);
    }
    lose();
    expect(world.seen.at(-1)).toEqual({ type: 'disconnect', why: 'unreachable' });
  });

  it('tries: the last one allowed fails, the one after it has nobody to fail with', () => {
    const world = new World('code');
    for (let count = 1; count < triesMax; count++) {
      world.play('wrong password');
      expect(world.seen.at(-1)?.type).toBe('fail');
    }
    world.play('wrong password');
    expect(world.seen.at(-1)).toEqual({ type: 'disconnect', why: 'failures' });
  });

  it('key probes are no tries, up to their own limit', () => {
    const world = new World('unknown');
    for (let count = 0; count < keyProbesMax; count++) world.play('probe');
    expect([world.state.at, world.state.failures]).toEqual(['start', 0]);
    world.play('probe');
    expect(world.state.at).toBe('closed');
  });

  it('code rounds end even if main never says so', () => {
    const world = new World('code');
    world.play('keyboard-interactive');
    world.play('answer: right password');
    for (let round = 1; round < codeRoundsMax; round++) {
      world.play('answer: wrong');
      expect(world.state.at).toBe('asking-code');
    }
    world.play('answer: wrong');
    expect(world.state.at).toBe('closed');
  });

  it('a time-out or a closed connection with a challenge alive lets main forget it', () => {
    const world = new World('code');
    world.play('right key');
    const { state, actions } = stepAuthentication(world.state, { type: 'timeout' });
    expect(state.at).toBe('closed');
    expect(actions.map((action) => action.type)).toEqual(['cancel', 'disconnect']);
  });
});

describe('one step of an SSH login', () => {
  const counts = { failures: 0, probes: 0, codeRounds: 0, restarts: 0 };
  type State = AuthenticationState extends infer Each
    ? Each extends unknown
      ? Omit<Each, keyof typeof counts>
      : never
    : never;
  const step = (state: State, event: AuthenticationEvent, before: Partial<typeof counts> = {}) =>
    stepAuthentication({ ...counts, ...before, ...state }, event);
  const actionsAt = (...args: Parameters<typeof step>) => step(...args).actions;
  const disconnect = (why: string) => ({ type: 'disconnect', why });
  const refusal = { type: 'fail', partial: false, methods: methodsAtStart };

  const requests = ['none', 'other', 'probe', 'password', 'publickey', 'keyboard-interactive'] as const;
  const questions = ['asking-password', 'asking-code', 'asking-proof'] as const;
  const decidable = ['probe', 'first-factor', 'admit', 'code', 'proof'] as const;
  const deciding = (what: (typeof decidable)[number], interactive = true) =>
    ({ at: 'deciding', what, interactive }) as const;

  it('S-01: nothing is answered any more once somebody is in, or the connection is over', () => {
    for (const at of ['done', 'closed'] as const)
      for (const type of [...requests, 'admitted', 'timeout'] as const)
        expect(step({ at }, { type })).toEqual({ state: { ...counts, at }, actions: [] });
  });

  it.each<[State, boolean]>([
    [{ at: 'start' }, false],
    [{ at: 'asking-password' }, false],
    [{ at: 'first-factor-passed', next: 'code' }, true],
    [{ at: 'first-factor-passed', next: 'notice' }, false],
    [{ at: 'asking-code' }, true],
    [{ at: 'asking-proof' }, true],
    [{ at: 'telling', leadsTo: 'fail' }, false],
    [{ at: 'telling', leadsTo: 'succeed' }, true],
    // What is being decided is main's to record.
    [deciding('first-factor'), false],
    [deciding('code'), false],
  ])('a time-out at %o lets main forget a challenge: %s', (state, isForgotten) => {
    expect(actionsAt(state, { type: 'timeout' })).toEqual([
      ...(isForgotten ? [{ type: 'cancel' }] : []),
      disconnect('timeout'),
    ]);
  });

  it('S-01: while a question is out, whoever gives it up for another method is disconnected', () => {
    for (const at of questions)
      for (const type of requests.filter((request) => request !== 'keyboard-interactive'))
        expect(step({ at }, { type })).toMatchObject({
          state: { at: 'closed' },
          actions:
            at === 'asking-password'
              ? [disconnect('protocol')]
              : [{ type: 'cancel' }, disconnect('protocol')],
        });
  });

  it('starting over with a question asks it anew, and counts', () => {
    const event = { type: 'keyboard-interactive' } as const;
    expect(step({ at: 'asking-password' }, event)).toEqual({
      state: { ...counts, at: 'asking-password', failures: 1 },
      actions: [{ type: 'ask-password', lost: false }],
    });
    expect(actionsAt({ at: 'asking-password' }, event, { failures: triesMax - 1 })).toEqual([
      disconnect('failures'),
    ]);
    for (const [at, type] of [
      ['asking-code', 'ask-code'],
      ['asking-proof', 'ask-proof'],
    ] as const) {
      expect(step({ at }, event)).toEqual({
        state: { ...counts, at, codeRounds: 1 },
        actions: [{ type, again: false }],
      });
      expect(actionsAt({ at }, event, { codeRounds: codeRoundsMax - 1 })).toEqual([{ type, again: false }]);
      expect(actionsAt({ at }, event, { codeRounds: codeRoundsMax })).toEqual([
        { type: 'cancel' },
        disconnect('failures'),
      ]);
    }
  });

  it('S-01: a question takes one answer, a notice none; any other number ends the connection', () => {
    for (const at of questions)
      expect(actionsAt({ at }, { type: 'answers', count: 0 }).at(-1)).toEqual(disconnect('protocol'));
    for (const leadsTo of ['fail', 'succeed'] as const)
      expect(actionsAt({ at: 'telling', leadsTo }, { type: 'answers', count: 1 }).at(-1)).toEqual(
        disconnect('protocol'),
      );
    expect(actionsAt({ at: 'start' }, { type: 'answers', count: 1 })).toEqual([disconnect('protocol')]);
  });

  it('whatever answers a question is decided where another prompt may follow', () => {
    for (const [at, what, type] of [
      ['asking-password', 'first-factor', 'begin'],
      ['asking-code', 'code', 'answer'],
      ['asking-proof', 'proof', 'prove'],
    ] as const)
      expect(step({ at }, { type: 'answers', count: 1 })).toEqual({
        state: { ...counts, ...deciding(what, true) },
        actions: [{ type }],
      });
  });

  it('asking which methods there are costs nothing, before the first factor and after it', () => {
    expect(step({ at: 'start' }, { type: 'none' })).toEqual({
      state: { ...counts, at: 'start' },
      actions: [refusal],
    });
    const passed = { at: 'first-factor-passed', next: 'code' } as const;
    expect(step(passed, { type: 'none' })).toEqual({
      state: { ...counts, ...passed },
      actions: [{ type: 'fail', partial: false, methods: methodsAfterFirstFactor }],
    });
  });

  it('the password is asked for, with no word of a login that was lost', () => {
    expect(actionsAt({ at: 'start' }, { type: 'keyboard-interactive' })).toEqual([
      { type: 'ask-password', lost: false },
    ]);
  });

  it('S-01: another first factor after a right one is a try, and forgets a challenge if there is one', () => {
    for (const next of ['code', 'notice'] as const) {
      const passed = { at: 'first-factor-passed', next } as const;
      const cancel = next === 'code' ? [{ type: 'cancel' }] : [];
      expect(step(passed, { type: 'password' }, { failures: triesMax - 2 })).toEqual({
        state: { ...counts, ...deciding('first-factor', false), failures: triesMax - 1 },
        actions: [...cancel, { type: 'begin' }],
      });
      expect(actionsAt(passed, { type: 'password' }, { failures: triesMax - 1 })).toEqual([
        ...cancel,
        disconnect('failures'),
      ]);
    }
  });

  it('a key that is asked about is wanted or not, and costs no try', () => {
    const start = { ...counts, at: 'start' };
    expect(step(deciding('probe'), { type: 'probed', acceptable: true })).toEqual({
      state: start,
      actions: [{ type: 'accept-key' }],
    });
    for (const no of [{ type: 'probed', acceptable: false }, { type: 'refused' }] as const)
      expect(step(deciding('probe'), no)).toEqual({ state: start, actions: [refusal] });
  });

  it('S-01: a decision that belongs to another question ends the connection', () => {
    for (const [event, whats] of [
      [{ type: 'probed', acceptable: true }, ['probe']],
      [{ type: 'first-factor-right', next: 'admit' }, ['first-factor']],
      [{ type: 'first-factor-right', next: 'code' }, ['first-factor']],
      [{ type: 'again' }, ['code', 'proof']],
      [{ type: 'setup' }, ['code']],
      [{ type: 'enrolled' }, ['proof']],
    ] as const)
      for (const what of decidable)
        expect(
          actionsAt(deciding(what), event).some(({ type }) => type === 'disconnect'),
          `${event.type} at ${what}`,
        ).toBe(!(whats as readonly string[]).includes(what));
  });

  it('a code is asked for, and after a wrong one as such', () => {
    expect(actionsAt(deciding('first-factor'), { type: 'first-factor-right', next: 'code' })).toEqual([
      { type: 'ask-code', again: false },
    ]);
    expect(actionsAt(deciding('code'), { type: 'again' })).toEqual([{ type: 'ask-code', again: true }]);
    expect(actionsAt(deciding('proof'), { type: 'again' })).toEqual([{ type: 'ask-proof', again: true }]);
  });

  it('whoever cannot be served is told why: main is away, or there is no room', () => {
    for (const type of ['unreachable', 'turned-away'] as const)
      for (const what of decidable) expect(actionsAt(deciding(what), { type })).toEqual([disconnect(type)]);
  });
});
