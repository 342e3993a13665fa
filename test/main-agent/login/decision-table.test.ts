import { isDeepStrictEqual } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { SallyportError } from '#shared/error.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import type { Method, Protocol } from '#shared/login.ts';
import {
  buildRig,
  buildUser,
  playSshKey,
  startMs,
  withFactor,
  type Answer,
  type Attempt,
  type PlayedNode,
  type Rig,
} from './rig.ts';

/**
 * The decision at login, as written down, through main's own handlers: every combination of the switches, with each
 * first factor, a really signed assertion, and every other way a node could try to go on.
 */

interface Case {
  /** V on main, and on the node. */
  readonly main: boolean;
  readonly node: boolean;
  /** The admin's `required_on`. */
  readonly wished: boolean;
  readonly inForce: boolean;
  readonly enrolled: boolean;
  readonly address: boolean;
  readonly forced: boolean;
  readonly bypass: boolean;
  readonly protocol: Protocol;
  readonly factor: 'pwd' | 'key';
}

/** What has to happen after a right first factor. */
type Outcome =
  | 'refused'
  | 'instruct'
  | 'admitted'
  | 'setup'
  | 'totp'
  | 'email'
  | 'email, then set-up'
  /** Nothing but the admin's bypass code could be asked. */
  | 'bypass'
  | 'bypass, then set-up';

/** Switches of enrolment, which change what a forced user meets. */
interface Variant {
  readonly over_sftp: boolean;
  readonly ticket: 'none' | 'required';
}

const both = [false, true];

function* allCases(): Generator<Case> {
  for (const main of both)
    for (const node of both)
      for (const wished of both)
        for (const inForce of both)
          for (const enrolled of both)
            for (const address of both)
              for (const forced of both)
                for (const bypass of both)
                  for (const [protocol, factor] of [
                    ['https', 'pwd'],
                    ['sftp', 'pwd'],
                    ['sftp', 'key'],
                  ] as const)
                    yield {
                      main,
                      node,
                      wished,
                      inForce,
                      enrolled,
                      address,
                      forced,
                      bypass,
                      protocol,
                      factor,
                    };
}

/** The rows as written: V U S D F, then https and sftp. `-`: either. */
const rows: readonly [string, Outcome, Outcome][] = [
  ['0----', 'admitted', 'admitted'],
  ['100-0', 'admitted', 'admitted'],
  ['101--', 'admitted', 'admitted'],
  ['111--', 'totp', 'totp'],
  ['11010', 'email', 'email'],
  ['11011', 'email, then set-up', 'instruct'],
  ['11001', 'setup', 'instruct'],
  ['11000', 'refused', 'refused'],
  ['10011', 'email, then set-up', 'instruct'],
  ['10001', 'setup', 'instruct'],
];

function expectedOf(one: Case): Outcome {
  const bits = [one.main, one.wished && one.inForce, one.enrolled, one.address, one.forced];
  const found = rows.filter(([row]) => bits.every((bit, at) => row[at] === '-' || (row[at] === '1') === bit));
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${found.length} rows for ${nameOf(one)}`);
  const [row, onHttps, onSftp] = first;
  const outcome = one.protocol === 'https' ? onHttps : onSftp;
  if (!one.main) return one.node ? 'refused' : outcome;
  if (!one.node) return outcome === 'admitted' ? 'admitted' : 'refused';
  return row === '11000' && one.bypass ? 'bypass' : outcome;
}

/** A forced user who is not enrolled, where set-up is possible over SFTP or needs the admin's code. */
function expectedOfForced({ protocol, address, bypass }: Case, { over_sftp, ticket }: Variant): Outcome {
  if (protocol === 'https') return bypass ? 'bypass, then set-up' : 'refused';
  if (!over_sftp) return 'instruct';
  if (address && ticket === 'none') return 'email, then set-up';
  return bypass ? 'bypass, then set-up' : 'instruct';
}

function nameOf(one: Case): string {
  const bit = (value: boolean): string => (value ? '1' : '0');
  const { main, node, wished, inForce, enrolled, address, forced, bypass, protocol, factor } = one;
  const bits = [main, node, wished, inForce, enrolled, address, forced, bypass].map(bit).join('');
  return `vnuisdfb${bits}${protocol}${factor}`;
}

const key = playSshKey();
const methods: readonly Method[] = [
  'totp',
  'email',
  'sms',
  'recovery',
  'bypass',
  'none',
  'lease',
  'device',
  'trusted-network',
];

/** What `explain login` calls it: it reads the same table, so it must never differ from what a login does. */
const explained: Readonly<Record<Outcome, string>> = {
  refused: 'refused',
  instruct: 'refused',
  admitted: 'admitted',
  setup: 'setup',
  totp: 'totp',
  email: 'email',
  'email, then set-up': 'email',
  bypass: 'bypass',
  'bypass, then set-up': 'bypass',
};

type Tell = (what: string, seen: unknown, wanted: unknown) => void;

/** What the right answer calls itself, and what its session is. */
const happyEnds: Readonly<Record<Outcome, { state: string; method: Method } | undefined>> = {
  refused: undefined,
  instruct: undefined,
  admitted: { method: 'none', state: 'signed-in' },
  setup: { method: 'none', state: 'setup-required' },
  totp: { method: 'totp', state: 'signed-in' },
  email: { method: 'email', state: 'signed-in' },
  'email, then set-up': { method: 'email', state: 'setup-required' },
  bypass: { method: 'bypass', state: 'signed-in' },
  'bypass, then set-up': { method: 'bypass', state: 'setup-required' },
};

describe('the decision at login, through the login itself', () => {
  let opened: Rig;
  afterEach(() => opened.close());

  /** Plays every such case with these switches; all that came out otherwise than it must. */
  async function playAll(
    twoFactor: object,
    isMeant: (one: Case) => boolean,
    expected: (one: Case) => Outcome,
  ): Promise<string[]> {
    const rig = (opened = await buildRig({
      twoFactor: { lease: 'off', remember_device: '30d', ...twoFactor },
    }));
    const differences: string[] = [];
    for (const one of allCases()) {
      if (!isMeant(one)) continue;
      await play(rig, one, expected(one), (what, seen, wanted) => {
        if (isDeepStrictEqual(seen, wanted)) return;
        differences.push(`${nameOf(one)}, ${what}: ${JSON.stringify(seen)} is not ${JSON.stringify(wanted)}`);
      });
    }
    return differences;
  }

  for (const main of both)
    for (const node of both)
      it(`S-01: validated logins ${main ? 'on' : 'off'} on main, ${node ? 'on' : 'off'} on the node: each combination ends as its row says, and no other way in`, async () => {
        const isMeant = (one: Case): boolean => one.main === main && one.node === node;
        expect(await playAll({ validated_logins: main }, isMeant, expectedOf)).toEqual([]);
      }, 120_000);

  for (const variant of [
    { over_sftp: true, ticket: 'none' },
    { over_sftp: false, ticket: 'required' },
    { over_sftp: true, ticket: 'required' },
  ] as const)
    it(`S-01: set-up ${variant.over_sftp ? 'over SFTP too' : 'on the web only'}, ticket ${variant.ticket}: forced users come to set-up by a code, or not at all`, async () => {
      const isForced = ({ main, node, enrolled, forced }: Case): boolean =>
        main && node && forced && !enrolled;
      const expected = (one: Case): Outcome =>
        one.protocol === 'https' && variant.ticket === 'none'
          ? expectedOf(one)
          : expectedOfForced(one, variant);
      expect(await playAll({ enrolment: variant }, isForced, expected)).toEqual([]);
    }, 120_000);

  async function play(rig: Rig, one: Case, expected: Outcome, tell: Tell): Promise<void> {
    const username = nameOf(one);
    const bypassCode = await arrange(rig, one, username);
    const { link } = rig.node;
    const node: PlayedNode = { ...rig.node, link: { ...link, validatedLogins: one.node } };
    const begin = (): Promise<ChallengeView> => rig.begin(username, attemptOf(one, node, username));
    const answer = async (view: ChallengeView, given: Answer): Promise<string> => {
      const amr: AssertionClaims['amr'] = given.code === undefined ? [one.factor] : [one.factor, 'otp'];
      try {
        const result = await rig.answer(view, { node, protocol: one.protocol, ...given, claims: { amr } });
        return result.outcome === 'again' ? result.reason : result.outcome;
      } catch (error) {
        return codeOf(error);
      }
    };
    const sessions = (): object[] =>
      rig.login.sessions
        .list()
        .filter((session) => session.username === username)
        .map(({ state, method }) => ({ state, method }));

    if (one.main === one.node) tell('explain login', await explain(rig, one, username), explained[expected]);
    if (expected === 'refused') {
      tell('begin', await begin().then(seenOf, codeOf), 'refused');
      tell('sessions', sessions(), []);
      return;
    }
    tell('begin', seenOf(await begin()), expected.replace(', then set-up', ''));
    const happy = happyEnds[expected];
    const withCode = expected === 'totp' || /^(bypass|email)/.test(expected);

    // Every other way on, each on a fresh login: an assertion that does not fit ends its own.
    for (const method of methods) {
      if (method !== happy?.method || withCode)
        tell(`${method} without a code`, await answer(await begin(), { method }), 'refused');
      const fits = withCode && isNameFor(method, expected);
      const code = fits ? '000000' : rightCodeOf(rig, one, username, bypassCode);
      tell(
        `${method} with ${code}`,
        await answer(await begin(), { method, code }),
        fits ? 'wrong-code' : 'refused',
      );
    }
    tell('sessions', sessions(), []);
    if (happy === undefined) return;

    const { method } = happy;
    const given = withCode ? { method, code: rightCodeOf(rig, one, username, bypassCode) } : { method };
    const view = await begin();
    tell('the right answer', await answer(view, given), 'admitted');
    tell('sessions', sessions(), [happy]);
    tell('the same login again', await answer(view, given), 'challenge-gone');
    if (!withCode || bypassCode === undefined || method === 'bypass') return;
    tell('the bypass code', await answer(await begin(), { method: 'bypass', code: bypassCode }), 'admitted');
    tell('sessions', sessions(), [happy, { ...happy, method: 'bypass' }]);
  }

  /** Sets the user up as the case says; the outstanding bypass code. */
  async function arrange(rig: Rig, one: Case, username: string): Promise<string | undefined> {
    const date = new Date(startMs + (one.inForce ? -1 : 1) * 86_400_000).toISOString().slice(0, 10);
    rig.users.set(
      username,
      buildUser(username, {
        ...withFactor({
          requiredOn: one.wished ? [one.protocol] : [],
          requiredFrom: { date },
          forceSetup: one.forced,
        }),
        email: one.address ? `${username}@example.com` : undefined,
        sshKeys: one.factor === 'key' ? [key.publicKey] : [],
      }),
    );
    if (one.enrolled) await rig.enrol(username);
    if (!one.bypass) return undefined;
    const why = { actor: 'test', reason: 'lost phone', ttlMs: 900_000, reEnrol: false };
    return (await rig.login.admin.twoFactor.makeBypassCode(username, why)).expose();
  }

  function attemptOf(one: Case, node: PlayedNode, username: string): Attempt {
    return {
      node,
      protocol: one.protocol,
      ...(one.factor === 'key' && { factor: key.signRequest(username) }),
    };
  }

  /** The code that would be right if it were asked. */
  function rightCodeOf(rig: Rig, one: Case, username: string, bypassCode: string | undefined): string {
    if (one.enrolled) return rig.code(username);
    const mailed = rig.sent.findLast((message) => message.username === username);
    return mailed?.code.expose() ?? bypassCode ?? '000000';
  }

  /** What a node may call the code that is due; whether it is one is for the code to say. */
  function isNameFor(method: Method, expected: Outcome): boolean {
    if (method === 'bypass') return true;
    if (expected === 'totp' || expected.startsWith('bypass')) return method === 'totp';
    return method === 'email' || method === 'sms';
  }

  function seenOf(view: ChallengeView): Outcome {
    if (view.next === 'instruct' || view.next === 'setup') return view.next;
    if (view.next === 'admit') return 'admitted';
    const { asked } = view;
    if (asked?.method === 'email') return 'email';
    return asked?.shapes.includes('digits6') === true ? 'totp' : 'bypass';
  }

  function codeOf(error: unknown): string {
    return error instanceof SallyportError ? error.code : String(error);
  }

  async function explain(rig: Rig, { protocol }: Case, user: string): Promise<string> {
    const question = { user, protocol, ip: '203.0.113.9', node: rig.node.link.node };
    return (await rig.login.admin.explainer.explain(question)).outcome;
  }
});
