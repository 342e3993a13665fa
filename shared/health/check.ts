/**
 * What may be wrong with a node, as one list: each entry looks at facts and says what it found in words that are the
 * same wherever they are read, each with its cure. Who can't look at something says so instead of saying nothing.
 */

/**
 * What a fault of this kind means: `ready`: users can't be served though this process is well (the other node is away) ·
 * `health`: something is wrong here and users are served · `both`: it is wrong here, and they are not.
 */
export type Affects = 'ready' | 'health' | 'both';

/** `bad`: to be mended now · `warning`: to be known, or mended soon. */
type FindingState = 'good' | 'warning' | 'bad';

/** What a look says of one thing. */
export type Said = (
  | { readonly state: 'good' }
  // Who is told that something is wrong is told what to do about it.
  | { readonly state: 'warning' | 'bad'; readonly hint: string }
) & {
  /** In words for an operator; no secrets, nothing a stranger sent. */
  readonly detail: string;
};

export interface Finding {
  readonly state: FindingState;
  readonly detail: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** The check that found it: short, stable, kebab-case; monitoring matches on it. */
  readonly check: string;
  readonly affects: Affects;
}

interface Unlooked {
  readonly check: string;
  /** Why it was not looked at, and by whom it is. */
  readonly why: string;
}

export interface Examination {
  readonly findings: readonly Finding[];
  readonly unlooked: readonly Unlooked[];
}

/** What a look comes to; empty: nothing is wrong; `undefined`: there is nothing of the kind here. */
type Looked = readonly Said[] | { readonly unlooked: string } | undefined;

export interface HealthCheck<Facts> {
  readonly id: string;
  /** For people: HEALTH.md. */
  readonly looksAt: string;
  /** What to do when it is not well. */
  readonly cure: string;
  readonly affects: Affects;
  readonly look: (facts: Facts) => Looked | Promise<Looked>;
}

/** Never rejects: a look that fails was none. */
export async function examine<Facts>(
  checks: readonly HealthCheck<Facts>[],
  facts: Facts,
): Promise<Examination> {
  const looked = await Promise.all(
    checks.map(async ({ id, affects, look }): Promise<Examination> => {
      try {
        const said = await look(facts);
        if (said === undefined) return nothing;
        if ('unlooked' in said) return { findings: [], unlooked: [{ check: id, why: said.unlooked }] };
        const all: readonly Said[] = said.length > 0 ? said : [{ state: 'good', detail: 'nothing found' }];
        return { findings: all.map((one) => ({ check: id, affects, ...one })), unlooked: [] };
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        return { findings: [], unlooked: [{ check: id, why }] };
      }
    }),
  );
  return mergeExaminations(looked);
}

export const nothing: Examination = { findings: [], unlooked: [] };

/** None of them could be looked at. */
export function leaveUnlooked(checks: readonly { readonly id: string }[], why: string): Examination {
  return { findings: [], unlooked: checks.map(({ id }) => ({ check: id, why })) };
}

/**
 * What several have seen, each thing once: nobody's `good` stands beside another's fault of the same check, and what one
 * of them looked at was looked at.
 */
export function mergeExaminations(all: readonly Examination[]): Examination {
  const faulty = new Set(
    all.flatMap(({ findings }) => findings.filter(({ state }) => state !== 'good').map(({ check }) => check)),
  );
  const findings = new Map<string, Finding>();
  for (const finding of all.flatMap((one) => one.findings)) {
    if (finding.state === 'good' && faulty.has(finding.check)) continue;
    const key = JSON.stringify([finding.check, finding.state, finding.detail]);
    if (!findings.has(key)) findings.set(key, finding);
  }
  const seen = new Set([...findings.values()].map(({ check }) => check));
  const unlooked = new Map<string, Unlooked>();
  for (const one of all.flatMap((each) => each.unlooked))
    if (!seen.has(one.check) && !unlooked.has(one.check)) unlooked.set(one.check, one);
  return { findings: [...findings.values()], unlooked: [...unlooked.values()] };
}

/** A finding in one line: what `status`, `doctor`, `/healthz` and `config check` all say. */
export function describeFinding({ check, detail }: Pick<Finding, 'check' | 'detail'>): string {
  return `${check}: ${detail}`;
}
