import { codeRoundsMax, keyProbesMax, restartsMax, triesMax } from '#dmz/sftp/limits.ts';

/**
 * The order of an SSH login, as a pure function: state and event in, state and actions out. It knows nothing of
 * sockets, keys or codes; `authenticate.ts` carries the actions out and feeds what comes of them back.
 *
 * start → first factor right → done (S-01): success is only ever the answer to `admitted`, and the code can only be
 * asked after `first-factor-right`. Partial success offers keyboard-interactive alone, because a client that is
 * offered its key again uses it again.
 *
 * One thing at a time: whoever sends a request while one is being decided, or gives up a prompt for another method, is
 * disconnected. No known client does; all known confusions of SSH servers began there.
 */
export const methodsAtStart = ['publickey', 'keyboard-interactive', 'password'] as const;
export const methodsAfterFirstFactor = ['keyboard-interactive'] as const;

/** What is due after a right first factor. `notice`: nothing can be asked here; the user is told, then refused. */
type Next = 'admit' | 'code' | 'notice';

export type AuthenticationState = {
  readonly failures: number;
  readonly probes: number;
  readonly codeRounds: number;
  /** Logins that were lost on their way through no fault of the client. */
  readonly restarts: number;
} & (
  | { readonly at: 'start' }
  /** The password prompt is out. */
  | { readonly at: 'asking-password' }
  /** The login service is being asked; `interactive` says whether a prompt may follow in the same exchange. */
  | {
      readonly at: 'deciding';
      readonly what: 'probe' | 'first-factor' | 'admit' | 'code' | 'proof';
      readonly interactive: boolean;
    }
  /** First factor right by key or password method; the client has been told to go on with keyboard-interactive. */
  | { readonly at: 'first-factor-passed'; readonly next: 'code' | 'notice' }
  /** The code prompt is out. */
  | { readonly at: 'asking-code' }
  /** Set-up inside the login: the key was shown, the prompt for a code made from it is out. */
  | { readonly at: 'asking-proof' }
  /** The instruction without a prompt is out. */
  | { readonly at: 'telling'; readonly leadsTo: 'fail' | 'succeed' }
  | { readonly at: 'done' }
  | { readonly at: 'closed' }
);

export type AuthenticationEvent =
  // from the client
  | { readonly type: 'none' | 'other' | 'probe' | 'keyboard-interactive' }
  /** A password or a signature, complete in one message. */
  | { readonly type: 'password' | 'publickey' }
  | { readonly type: 'answers'; readonly count: number }
  // from the login service
  | { readonly type: 'probed'; readonly acceptable: boolean }
  | { readonly type: 'first-factor-right'; readonly next: Next }
  | { readonly type: 'refused' }
  | { readonly type: 'again' }
  | { readonly type: 'admitted' }
  /** The code was right, and set-up must be done now. */
  | { readonly type: 'setup' }
  /** The set-up is proven and a session is open; there is something to read before. */
  | { readonly type: 'enrolled' }
  /** The login is gone (main was away); the client did nothing wrong and may start over with its first factor. */
  | { readonly type: 'lost' }
  | { readonly type: 'unreachable' }
  /** Not for the client's sake, and said in words: there is no room, or no more tries yet. */
  | { readonly type: 'turned-away' }
  // from the clock and the guard
  | { readonly type: 'timeout' };

export type AuthenticationAction =
  | { readonly type: 'fail'; readonly partial: boolean; readonly methods: readonly string[] }
  | { readonly type: 'accept-key' }
  | { readonly type: 'ask-password'; readonly lost: boolean }
  | { readonly type: 'ask-code' | 'ask-proof'; readonly again: boolean }
  | { readonly type: 'tell' }
  | { readonly type: 'succeed' }
  /** Ask the login service. `begin-…` use what the client just sent. */
  | { readonly type: 'probe' | 'begin' | 'admit' | 'answer' | 'prove' }
  /** The challenge, or the session that is not handed over yet, is void: main may forget it. */
  | { readonly type: 'cancel' }
  | { readonly type: 'disconnect'; readonly why: Ending };

type Ending = 'protocol' | 'failures' | 'unreachable' | 'turned-away' | 'timeout';

interface Step {
  readonly state: AuthenticationState;
  readonly actions: readonly AuthenticationAction[];
}

export const initialState: AuthenticationState = {
  at: 'start',
  failures: 0,
  probes: 0,
  codeRounds: 0,
  restarts: 0,
};

type Counts = Pick<AuthenticationState, 'failures' | 'probes' | 'codeRounds' | 'restarts'>;

export function stepAuthentication(state: AuthenticationState, event: AuthenticationEvent): Step {
  if (state.at === 'closed' || state.at === 'done') return { state, actions: [] };
  if (event.type === 'timeout') return close(state, 'timeout');
  switch (event.type) {
    case 'none':
    case 'other':
    case 'probe':
    case 'password':
    case 'publickey':
    case 'keyboard-interactive':
      return onRequest(state, event.type);
    case 'answers':
      return onAnswers(state, event.count);
    case 'probed':
    case 'first-factor-right':
    case 'refused':
    case 'again':
    case 'admitted':
    case 'setup':
    case 'enrolled':
    case 'lost':
    case 'unreachable':
    case 'turned-away':
      return state.at === 'deciding' ? onDecision(state, event) : close(state, 'protocol');
  }
}

function counts(state: AuthenticationState): Counts {
  const { failures, probes, codeRounds, restarts } = state;
  return { failures, probes, codeRounds, restarts };
}

function close(state: AuthenticationState, why: Ending): Step {
  const cancel: AuthenticationAction[] = hasChallenge(state) ? [{ type: 'cancel' }] : [];
  return { state: { ...counts(state), at: 'closed' }, actions: [...cancel, { type: 'disconnect', why }] };
}

/** While main decides about the code or the admission the challenge is in use; its end is main's to record. */
function hasChallenge(state: AuthenticationState): boolean {
  return (
    state.at === 'asking-code' ||
    state.at === 'asking-proof' ||
    (state.at === 'telling' && state.leadsTo === 'succeed') ||
    (state.at === 'first-factor-passed' && state.next === 'code')
  );
}

/** A try that failed. The challenge, if there was one, does not outlive it. */
function fail(state: AuthenticationState): Step {
  const failures = state.failures + 1;
  const next = { ...counts(state), failures };
  if (failures >= triesMax) return close({ ...next, at: 'start' }, 'failures');
  return {
    state: { ...next, codeRounds: 0, at: 'start' },
    actions: [{ type: 'fail', partial: false, methods: methodsAtStart }],
  };
}

type RequestType = 'none' | 'other' | 'probe' | 'password' | 'publickey' | 'keyboard-interactive';

function onRequest(state: AuthenticationState, type: RequestType): Step {
  switch (state.at) {
    case 'start':
      return onFirstRequest(state, type);
    case 'first-factor-passed':
      return onRequestAfterFirstFactor(state, type);
    case 'asking-password':
      // RFC 4256 §3.1: starting over is allowed; giving up for another method is a confusion we don't play.
      return type === 'keyboard-interactive' ? askPasswordAgain(state) : close(state, 'protocol');
    case 'asking-code':
      return type === 'keyboard-interactive' ? askCode(state, false) : close(state, 'protocol');
    case 'asking-proof':
      return type === 'keyboard-interactive' ? askProof(state, false) : close(state, 'protocol');
    case 'telling':
    case 'deciding':
      return close(state, 'protocol');
    case 'done':
    case 'closed':
      return { state, actions: [] };
  }
}

function onFirstRequest(state: AuthenticationState, type: RequestType): Step {
  const deciding = (what: 'probe' | 'first-factor'): AuthenticationState => ({
    ...counts(state),
    at: 'deciding',
    what,
    interactive: false,
  });
  switch (type) {
    case 'none':
      // Every client's first question; not a try. Repeating it is bounded by the count of messages.
      return { state, actions: [{ type: 'fail', partial: false, methods: methodsAtStart }] };
    case 'other':
      return fail(state);
    case 'probe': {
      const probes = state.probes + 1;
      if (probes > keyProbesMax) return close(state, 'failures');
      return { state: { ...deciding('probe'), probes }, actions: [{ type: 'probe' }] };
    }
    case 'password':
    case 'publickey':
      return { state: deciding('first-factor'), actions: [{ type: 'begin' }] };
    case 'keyboard-interactive':
      return {
        state: { ...counts(state), at: 'asking-password' },
        actions: [{ type: 'ask-password', lost: false }],
      };
  }
}

function askPasswordAgain(state: AuthenticationState): Step {
  const failed = fail(state);
  if (failed.state.at === 'closed') return failed;
  return {
    state: { ...counts(failed.state), at: 'asking-password' },
    actions: [{ type: 'ask-password', lost: false }],
  };
}

function onRequestAfterFirstFactor(
  state: Extract<AuthenticationState, { at: 'first-factor-passed' }>,
  type: RequestType,
): Step {
  if (type === 'none')
    return { state, actions: [{ type: 'fail', partial: false, methods: methodsAfterFirstFactor }] };
  if (type === 'keyboard-interactive') {
    if (state.next === 'code') return askCode(state, false);
    return tell(state, 'fail');
  }
  // Another first factor (or anything else) voids the challenge and starts over, as a failed try.
  const cancel: AuthenticationAction[] = hasChallenge(state) ? [{ type: 'cancel' }] : [];
  const failures = state.failures + 1;
  const voided: AuthenticationState = { ...counts(state), failures, at: 'start' };
  if (failures >= triesMax) {
    const closed = close(voided, 'failures');
    return { ...closed, actions: [...cancel, ...closed.actions] };
  }
  const restarted = onFirstRequest(voided, type);
  return { ...restarted, actions: [...cancel, ...restarted.actions] };
}

function askCode(state: AuthenticationState, again: boolean): Step {
  const codeRounds = state.codeRounds + 1;
  if (codeRounds > codeRoundsMax) return close(state, 'failures');
  return {
    state: { ...counts(state), codeRounds, at: 'asking-code' },
    actions: [{ type: 'ask-code', again }],
  };
}

function askProof(state: AuthenticationState, again: boolean): Step {
  const codeRounds = state.codeRounds + 1;
  if (codeRounds > codeRoundsMax) return close(state, 'failures');
  return {
    state: { ...counts(state), codeRounds, at: 'asking-proof' },
    actions: [{ type: 'ask-proof', again }],
  };
}

function tell(state: AuthenticationState, leadsTo: 'fail' | 'succeed'): Step {
  return { state: { ...counts(state), at: 'telling', leadsTo }, actions: [{ type: 'tell' }] };
}

function succeed(state: AuthenticationState): Step {
  return { state: { ...counts(state), at: 'done' }, actions: [{ type: 'succeed' }] };
}

/** In the same exchange, so that it costs the client none of its own tries. */
function startOver(state: AuthenticationState): Step {
  const restarts = state.restarts + 1;
  if (restarts > restartsMax) return close(state, 'unreachable');
  return {
    state: { ...counts(state), restarts, codeRounds: 0, at: 'asking-password' },
    actions: [{ type: 'ask-password', lost: true }],
  };
}

function onAnswers(state: AuthenticationState, count: number): Step {
  if (state.at === 'asking-password' && count === 1)
    return {
      state: { ...counts(state), at: 'deciding', what: 'first-factor', interactive: true },
      actions: [{ type: 'begin' }],
    };
  if (state.at === 'asking-code' && count === 1)
    return {
      state: { ...counts(state), at: 'deciding', what: 'code', interactive: true },
      actions: [{ type: 'answer' }],
    };
  if (state.at === 'asking-proof' && count === 1)
    return {
      state: { ...counts(state), at: 'deciding', what: 'proof', interactive: true },
      actions: [{ type: 'prove' }],
    };
  if (state.at === 'telling' && count === 0)
    return state.leadsTo === 'succeed' ? succeed(state) : fail(state);
  return close(state, 'protocol');
}

type Decision = Extract<
  AuthenticationEvent,
  {
    type:
      | 'probed'
      | 'first-factor-right'
      | 'refused'
      | 'again'
      | 'admitted'
      | 'setup'
      | 'enrolled'
      | 'lost'
      | 'unreachable'
      | 'turned-away';
  }
>;

function onDecision(state: Extract<AuthenticationState, { at: 'deciding' }>, event: Decision): Step {
  switch (event.type) {
    case 'unreachable':
    case 'turned-away':
      return close(state, event.type);
    case 'refused':
      // A key that isn't wanted costs a probe, not a try.
      if (state.what === 'probe') return rejectProbe(state);
      return fail(state);
    case 'probed':
      if (state.what !== 'probe') return close(state, 'protocol');
      if (!event.acceptable) return rejectProbe(state);
      return { state: { ...counts(state), at: 'start' }, actions: [{ type: 'accept-key' }] };
    case 'first-factor-right':
      return state.what === 'first-factor' ? onFirstFactor(state, event.next) : close(state, 'protocol');
    case 'again':
      if (state.what === 'proof') return askProof(state, true);
      return state.what === 'code' ? askCode(state, true) : close(state, 'protocol');
    case 'setup':
      // The rounds of the code were another question's.
      return state.what === 'code' ? askProof({ ...state, codeRounds: 0 }, false) : close(state, 'protocol');
    case 'enrolled':
      return state.what === 'proof' ? tell(state, 'succeed') : close(state, 'protocol');
    case 'lost':
      return state.what === 'code' ? startOver(state) : close(state, 'unreachable');
    case 'admitted':
      if (state.what === 'probe' || state.what === 'first-factor') return close(state, 'protocol');
      return succeed(state);
  }
}

function rejectProbe(state: AuthenticationState): Step {
  return {
    state: { ...counts(state), at: 'start' },
    actions: [{ type: 'fail', partial: false, methods: methodsAtStart }],
  };
}

function onFirstFactor(state: Extract<AuthenticationState, { at: 'deciding' }>, next: Next): Step {
  if (next === 'admit') return { state: { ...state, what: 'admit' }, actions: [{ type: 'admit' }] };
  if (!state.interactive)
    return {
      state: { ...counts(state), at: 'first-factor-passed', next },
      actions: [{ type: 'fail', partial: true, methods: methodsAfterFirstFactor }],
    };
  return next === 'code' ? askCode(state, false) : tell(state, 'fail');
}
