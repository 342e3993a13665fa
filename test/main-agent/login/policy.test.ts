import { describe, expect, it } from 'vitest';
import { isFactorRequired } from '#main-agent/sessions/account-rules.ts';
import { decide, isWaivable, type Decision, type DecisionInput } from '#main-agent/login/policy.ts';
import { buildUser, startMs, withFactor } from './rig.ts';

const both = [false, true];

function* allInputs(): Generator<DecisionInput> {
  for (const protocol of ['https', 'sftp'] as const)
    for (const validatedLogins of both)
      for (const nodeValidatedLogins of both)
        for (const required of both)
          for (const enrolled of both)
            for (const deliverable of both)
              for (const forceSetup of both)
                for (const bypass of both)
                  for (const overSftp of both)
                    for (const ticket of both)
                      yield {
                        protocol,
                        validatedLogins,
                        nodeValidatedLogins,
                        required,
                        enrolled,
                        deliverable,
                        forceSetup,
                        bypass,
                        overSftp,
                        ticket,
                      };
}

const plain: DecisionInput = {
  protocol: 'https',
  validatedLogins: true,
  nodeValidatedLogins: true,
  required: false,
  enrolled: false,
  deliverable: false,
  forceSetup: false,
  bypass: false,
  overSftp: false,
  ticket: false,
};

const admit: Decision = { outcome: 'admit' };
const setup: Decision = { outcome: 'setup' };
const instruct: Decision = { outcome: 'instruct' };
const askTotp: Decision = { outcome: 'ask', ask: 'totp', leadsTo: 'admit' };
const askDelivered: Decision = { outcome: 'ask', ask: 'delivered', leadsTo: 'admit' };
const deliveredThenSetup: Decision = { outcome: 'ask', ask: 'delivered', leadsTo: 'setup' };
const askBypass: Decision = { outcome: 'ask', ask: 'bypass', leadsTo: 'admit' };

/** The rows of the table, as written: V U S D F, then what happens on https and on sftp. `-`: either. */
const rows: readonly [string, Decision | 'refuse', Decision | 'refuse'][] = [
  ['0----', admit, admit],
  ['100-0', admit, admit],
  ['101--', admit, admit],
  ['111--', askTotp, askTotp],
  ['11010', askDelivered, askDelivered],
  ['11011', deliveredThenSetup, instruct],
  ['11001', setup, instruct],
  ['11000', 'refuse', 'refuse'],
  ['10011', deliveredThenSetup, instruct],
  ['10001', setup, instruct],
];

/** Does the row speak of these five switches? */
function matches(row: string, bits: readonly boolean[]): boolean {
  return bits.every((bit, at) => row[at] === '-' || (row[at] === '1') === bit);
}

function bitsOf(input: DecisionInput): boolean[] {
  return [input.validatedLogins, input.required, input.enrolled, input.deliverable, input.forceSetup];
}

describe('decision at login', () => {
  it('has exactly one row for every combination of the five switches', () => {
    for (const input of allInputs())
      expect(rows.filter(([row]) => matches(row, bitsOf(input)))).toHaveLength(1);
  });

  for (const [row, onHttps, onSftp] of rows) {
    it(`V U S D F = ${row}`, () => {
      const inputs = [...allInputs()]
        .filter((input) => input.validatedLogins === input.nodeValidatedLogins)
        .filter((input) => !input.bypass && !input.overSftp && !input.ticket)
        .filter((input) => matches(row, bitsOf(input)));
      expect(inputs.length).toBeGreaterThan(1);
      for (const input of inputs) {
        const decision = decide(input);
        const happened = decision.outcome === 'refuse' ? 'refuse' : decision;
        expect(happened, JSON.stringify(input)).toEqual(input.protocol === 'https' ? onHttps : onSftp);
      }
    });
  }

  it('S-01: never admits while a factor is required or forced, over every switch there is', () => {
    const inputs = [...allInputs()];
    expect(inputs).toHaveLength(1024);
    const wrong = inputs.filter((input) => {
      const due = input.validatedLogins && (input.required || (input.forceSetup && !input.enrolled));
      return due && decide(input).outcome === 'admit';
    });
    expect(wrong).toEqual([]);
  });

  it('S-01: who is enrolled is asked for that factor, and never led into a second set-up', () => {
    const wrong = [...allInputs()].filter((input) => {
      const decision = decide(input);
      const isOther = decision.outcome === 'ask' && (decision.ask !== 'totp' || decision.leadsTo !== 'admit');
      return input.enrolled && (isOther || decision.outcome === 'setup' || decision.outcome === 'instruct');
    });
    expect(wrong).toEqual([]);
  });

  it('S-14: refuses a login that needs a factor through a node that does not run challenges', () => {
    for (const input of allInputs()) {
      if (!input.validatedLogins || input.nodeValidatedLogins) continue;
      const agreed = decide({ ...input, nodeValidatedLogins: true });
      expect(decide(input).outcome).toBe(agreed.outcome === 'admit' ? 'admit' : 'refuse');
    }
  });

  it('S-14: refuses everybody while main does not ask and the node does', () => {
    const outcomes = [...allInputs()]
      .filter((input) => !input.validatedLogins && input.nodeValidatedLogins)
      .map((input) => decide(input).outcome);
    expect(new Set(outcomes)).toEqual(new Set(['refuse']));
  });

  it('a bypass code turns "no factor can be asked" into "asked"', () => {
    expect(decide({ ...plain, required: true }).outcome).toBe('refuse');
    expect(decide({ ...plain, required: true, bypass: true })).toEqual(askBypass);
  });

  it('over_sftp asks for something beyond the password before it shows a key', () => {
    const forced = { ...plain, protocol: 'sftp' as const, forceSetup: true, overSftp: true };
    expect(decide(forced)).toEqual(instruct);
    expect(decide({ ...forced, deliverable: true })).toEqual(deliveredThenSetup);
    expect(decide({ ...forced, bypass: true })).toEqual({ ...askBypass, leadsTo: 'setup' });
  });

  it('a ticket comes before the first set-up', () => {
    const forced = { ...plain, forceSetup: true, ticket: true };
    expect(decide(forced).outcome).toBe('refuse');
    expect(decide({ ...forced, required: true, deliverable: true }).outcome).toBe('refuse');
    expect(decide({ ...forced, bypass: true })).toEqual({ ...askBypass, leadsTo: 'setup' });
  });

  it('only a code that leads to files can be waived', () => {
    expect(isWaivable(askTotp)).toBe(true);
    expect(isWaivable(askDelivered)).toBe(true);
    for (const decision of [admit, setup, instruct, deliveredThenSetup])
      expect(isWaivable(decision)).toBe(false);
  });
});

describe('is a factor required?', () => {
  const times = (nowMs: number, firstLoginAtMs?: number) => ({ nowMs, firstLoginAtMs });

  it('only on the protocols the admin names', () => {
    const user = buildUser('alice', withFactor({ requiredOn: ['sftp'] }));
    expect(isFactorRequired(user, [], 'sftp', times(startMs))).toBe(true);
    expect(isFactorRequired(user, [], 'https', times(startMs))).toBe(false);
  });

  it('from the first moment of required_from, not before', () => {
    const user = buildUser(
      'alice',
      withFactor({ requiredOn: ['https'], requiredFrom: { date: '2027-01-15' } }),
    );
    const from = Date.UTC(2027, 0, 15);
    expect(isFactorRequired(user, [], 'https', times(from - 1))).toBe(false);
    expect(isFactorRequired(user, [], 'https', times(from))).toBe(true);
  });

  it('a grace runs from the first login and is not renewed', () => {
    const graceMs = 14 * 86_400_000;
    const user = buildUser('alice', withFactor({ requiredOn: ['https'], requiredFrom: { graceMs } }));
    expect(isFactorRequired(user, [], 'https', times(startMs))).toBe(false);
    expect(isFactorRequired(user, [], 'https', times(startMs + graceMs - 1, startMs))).toBe(false);
    expect(isFactorRequired(user, [], 'https', times(startMs + graceMs, startMs))).toBe(true);
  });

  it('what the set-up switched on holds at once, whatever the admin files say', () => {
    const user = buildUser('alice', withFactor({ requiredFrom: { date: '2099-01-01' } }));
    expect(isFactorRequired(user, ['https'], 'https', times(startMs))).toBe(true);
  });
});
