import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { leaveUnlooked, type Examination } from './check.ts';

/**
 * What root found on the box, left by the watch's timer for the node's process, which may look at nothing there.
 *
 * Trust: root's file in root's folder; read by whoever tells of the node's health.
 */
const finding = z.object({
  check: z.string(),
  state: z.enum(['good', 'warning', 'bad']),
  detail: z.string(),
  hint: z.string().optional(),
  affects: z.enum(['ready', 'health', 'both']),
});
export const examinationSchema = z.object({
  findings: z.array(finding),
  unlooked: z.array(z.object({ check: z.string(), why: z.string() })),
});
/** What `/healthz` and `/readyz` answer. */
const healthAnswerSchema = z.object({
  /** Nothing that this address is about is bad. */
  ok: z.boolean(),
  checks: z.array(
    z.object({
      name: z.string(),
      ok: z.boolean(),
      state: z.enum(['good', 'warning', 'bad']),
      affects: z.enum(['ready', 'health', 'both']),
      /** On this box alone, as `hint` and `why`. */
      detail: z.string().optional(),
      hint: z.string().optional(),
    }),
  ),
  unlooked: z.array(z.object({ name: z.string(), why: z.string().optional() })),
});

const reportSchema = z.object({ atMs: z.number(), found: examinationSchema });

/** In the folder of the watch. */
export const reportFile = 'found.json';
/** The watch looks every five minutes; three times missed and nobody looks any more. */
const reportGoodMs = 16 * 60_000;

export function renderReport(found: Examination, atMs: number): string {
  return `${JSON.stringify({ atMs, found })}\n`;
}

/**
 * What was left in `folder` about these checks; undefined: nobody leaves anything.
 *
 * @param timer who should have looked
 */
export async function readReport(
  folder: string | undefined,
  around: {
    readonly checks: readonly { readonly id: string }[];
    readonly timer: string;
    readonly nowMs: number;
  },
): Promise<Examination> {
  const { checks, timer, nowMs } = around;
  if (folder === undefined) return leaveUnlooked(checks, 'only root can look at the box: run `doctor` there');
  let text: string;
  try {
    text = await readFile(join(folder, reportFile), 'utf8');
  } catch {
    return leaveUnlooked(checks, `${timer} has not looked at this box`);
  }
  const report = reportSchema.safeParse(parse(text)).data;
  if (report === undefined) return leaveUnlooked(checks, `what ${timer} left can not be read`);
  if (nowMs - report.atMs > reportGoodMs)
    return leaveUnlooked(
      checks,
      `${timer} has not looked at this box since ${new Date(report.atMs).toISOString()}`,
    );
  // Of the rest it is some minutes old, and the node looks for itself.
  const isMeant = ({ check }: { readonly check: string }): boolean => checks.some(({ id }) => id === check);
  const { findings, unlooked } = report.found;
  return { findings: findings.filter(isMeant), unlooked: unlooked.filter(isMeant) };
}

/** What `/healthz` said last, as the watch left it. */
export const answerFile = 'healthz.json';
/** It asks every half minute. */
const answerGoodMs = 2 * 60_000;
const leftSchema = z.object({ atMs: z.number(), answer: healthAnswerSchema });

/** What the running node says of itself, for who does not ask it. `checks`: those that only it can look at. */
export async function readAnswer(
  folder: string,
  around: {
    readonly checks: readonly { readonly id: string }[];
    readonly timer: string;
    readonly nowMs: number;
  },
): Promise<Examination> {
  const { checks, timer, nowMs } = around;
  const text = await readFile(join(folder, answerFile), 'utf8').catch(() => '');
  const left = leftSchema.safeParse(parse(text)).data;
  if (left === undefined || nowMs - left.atMs > answerGoodMs)
    return leaveUnlooked(checks, `the running node knows, and has not answered ${timer} lately`);
  const { answer } = left;
  return {
    findings: answer.checks.map(({ name, state, affects, detail = 'see /healthz', hint }) => ({
      check: name,
      state,
      affects,
      detail,
      hint,
    })),
    unlooked: answer.unlooked.map(({ name, why = 'it does not say' }) => ({ check: name, why })),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
