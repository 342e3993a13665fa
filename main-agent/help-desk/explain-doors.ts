import type { DoorStanding } from '#main-agent/link/links.ts';
import type { DoorFinding, DoorQuestion } from '#shared/link/messages.ts';
import type { ExplainStep } from './explain.ts';

/**
 * What the nodes' doors say of an address, in words (D-95): what is in its way, until when, and what an admin can do.
 * Pure.
 *
 * Trust: findings are a node's word. They are shown and decide nothing.
 */

interface Telling {
  /** What it means while it acts, and what it is otherwise. */
  readonly acts: string;
  readonly idle: string;
  /** How it ends sooner. */
  readonly cure: (ip: string) => string;
  /** Who meets it is refused; else somebody else is, or nobody. */
  readonly refuses: boolean;
}

const liftBan = (ip: string): string => `\`sallyport bans remove ${ip}\` lifts it`;
const exempt = (ip: string): string => `no count stops ${ip} once it is in bans.never_ban`;
const closes = (ip: string): string => `falls as connections close; ${exempt(ip)}`;
const nothing = (): string => 'ends by itself';

/** Every finding there is: a Record, so that the compiler notices one that nobody could be told of. */
const tellings: Readonly<Record<DoorFinding['what'], Telling>> = {
  'never-ban': { acts: '', idle: 'no ban or count by source stops it', cure: () => '', refuses: false },
  'known-source': {
    acts: '',
    idle: 'somebody signed in from there lately: no stranger takes its place',
    cure: () => '',
    refuses: false,
  },
  'banned-failures': {
    acts: 'too many failed logins: no login at either door',
    idle: 'without effect: never_ban',
    cure: liftBan,
    refuses: true,
  },
  'banned-malformed': {
    acts: 'it broke the protocol too often: no connection at this door',
    idle: 'without effect: never_ban',
    cure: liftBan,
    refuses: true,
  },
  'banned-policy': {
    acts: 'an admin’s ban: no connection',
    idle: 'without effect: never_ban',
    cure: () => '`sallyport bans list` has its id, `sallyport bans remove ID` lifts it',
    refuses: true,
  },
  'failed-logins': {
    acts: '',
    idle: 'failed logins and baits that count towards a ban; a good login takes back its user’s',
    cure: nothing,
    refuses: false,
  },
  breaches: {
    acts: '',
    idle: 'breaches of the protocol that count towards a ban',
    cure: nothing,
    refuses: false,
  },
  'login-pace': {
    acts: 'this user signs in from there faster than a person does: the next try waits',
    idle: '',
    cure: exempt,
    refuses: true,
  },
  'passwords-throttled': {
    acts: 'main turned passwords from there away, so the door does not ask it before that time',
    idle: '',
    cure: () => 'what throttles them is under `wrong passwords`',
    refuses: true,
  },
  connections: {
    acts: 'as many connections as may be: one more is refused, or takes a neighbour’s place',
    idle: 'connections',
    cure: closes,
    refuses: true,
  },
  unauthenticated: {
    acts: 'as many as may be before their first factor: one more is refused, or takes a neighbour’s place',
    idle: 'connections before their first factor',
    cure: closes,
    refuses: true,
  },
  'awaiting-code': {
    acts: 'as many as may wait for a code: one more is refused after its password',
    idle: 'connections that wait for a code',
    cure: closes,
    refuses: true,
  },
  'stage-full': {
    acts: 'the share of this stage is full: each newcomer drops the oldest of the network that has most',
    idle: '',
    cure: closes,
    refuses: false,
  },
  'door-full': {
    acts: 'the door is full: a newcomer takes the place of one without a session, and is refused where there is none',
    idle: 'connections in all',
    cure: () => '`sallyport sessions list` shows who has them',
    refuses: false,
  },
  'session-questions': {
    acts: 'too many questions about cookies at once: requests get 503',
    idle: 'questions about cookies under way',
    cure: nothing,
    refuses: true,
  },
};

export function doorSteps(question: DoorQuestion, standings: readonly DoorStanding[]): ExplainStep[] {
  return standings.flatMap(({ node, worker, findings }): ExplainStep[] => {
    const name = worker === 0 ? node : `${node}/${worker}`;
    if (findings === undefined)
      return [{ rule: name, value: 'not connected', effect: 'what its doors count can not be asked' }];
    return findings
      .filter(({ acts, count, what }) => acts || count !== 0 || what === 'door-full')
      .map((finding) => ({
        rule: [name, finding.protocol, finding.what].filter((part) => part !== undefined).join(' '),
        value: valueOf(finding),
        effect: effectOf(finding, question.ip),
      }));
  });
}

/** Why somebody from there would be refused at a door, if so. */
export function doorProblem(question: DoorQuestion, standings: readonly DoorStanding[]): string | undefined {
  for (const { node, findings = [] } of standings) {
    const found = findings.find(
      (finding) => finding.acts && tellings[finding.what].refuses && !isWider(finding),
    );
    if (found !== undefined) return `${node}: ${found.what}, ${effectOf(found, question.ip)}`;
  }
  return undefined;
}

/** A wider network that is full makes room at a neighbour's cost. */
function isWider({ of = '' }: DoorFinding): boolean {
  return /\/(24|56|48)$/.test(of);
}

function valueOf({ of, count, max, untilMs, acts }: DoorFinding): string {
  const counted = count === undefined ? [] : [max === undefined ? `${count}` : `${count} of ${max}`];
  const until = untilMs === undefined ? [] : [`until ${showTime(untilMs)}`];
  const parts = [...(of === undefined ? [] : [of]), ...counted, ...until];
  return parts.length === 0 ? (acts ? 'yes' : 'noted') : parts.join(', ');
}

function effectOf({ what, acts }: DoorFinding, ip: string): string {
  const { acts: acting, idle, cure } = tellings[what];
  return acts ? `${acting}; ${cure(ip)}` : idle;
}

/** A node may name any number. */
function showTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString();
}
