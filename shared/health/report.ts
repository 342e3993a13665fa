import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { healthCharactersMax } from '#shared/link/limits.ts';
import { cutPlain } from '#shared/visible-text.ts';
import { leaveUnlooked, type Examination } from './check.ts';

/**
 * What root found on the box, left by the watch's timer for the node's process, which may look at nothing there; and what
 * that process answered, for root.
 *
 * Trust: root's files in root's folder; the answer in one of them is the exposed process's word.
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
/** Names and sentences of the exposed process, which are to be shown to root. */
const name = z
  .string()
  .max(64)
  .regex(/^[a-z0-9-]+$/);
const sentence = z.string().transform((text) => cutPlain(text, healthCharactersMax));
/** A node has two dozen checks, and some find several things. */
const checksMax = 256;
/** What `/healthz` answers, without the cures: those are the product's to say, not the process's. */
const healthAnswerSchema = z.object({
  checks: z
    .array(
      z.object({
        name,
        state: z.enum(['good', 'warning', 'bad']),
        affects: z.enum(['ready', 'health', 'both']),
        /** On this box alone, as `why`. */
        detail: sentence.optional(),
      }),
    )
    .max(checksMax),
  unlooked: z.array(z.object({ name, why: sentence.optional() })).max(checksMax),
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
 * @param bornAtMs when this process began: what was found before is of another, such as that the unit does not run
 */
export async function readReport(
  folder: string | undefined,
  around: {
    readonly checks: readonly { readonly id: string }[];
    readonly timer: string;
    readonly nowMs: number;
    readonly bornAtMs?: number;
  },
): Promise<Examination> {
  const { checks, timer, nowMs, bornAtMs = performance.timeOrigin } = around;
  if (folder === undefined) return leaveUnlooked(checks, 'only root can look at the box: run `doctor` there');
  let text: string;
  try {
    text = await readFile(join(folder, reportFile), 'utf8');
  } catch {
    return leaveUnlooked(checks, `${timer} has not looked at this box`);
  }
  const report = reportSchema.safeParse(parse(text)).data;
  if (report === undefined) return leaveUnlooked(checks, `what ${timer} left can not be read`);
  if (report.atMs < bornAtMs)
    return leaveUnlooked(checks, `${timer} has not looked at this box since the node was started`);
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

/**
 * The file that keeps an answer for `readAnswer`.
 *
 * @throws what is no answer of a node
 */
export function renderAnswer(body: string, atMs: number): string {
  return `${JSON.stringify({ atMs, answer: healthAnswerSchema.parse(JSON.parse(body)) })}\n`;
}

/** Whether such a file says that this check was not looked at. */
export function isUnlooked(rendered: string, check: string): boolean {
  return leftSchema.parse(JSON.parse(rendered)).answer.unlooked.some(({ name: one }) => one === check);
}

/**
 * What the running node says of itself, for who does not ask it.
 *
 * @param around `checks`: those that only it can look at; `known`: all whose cure can be said
 */
export async function readAnswer(
  folder: string,
  around: {
    readonly checks: readonly { readonly id: string }[];
    readonly known: readonly { readonly id: string; readonly cure: string }[];
    readonly timer: string;
    readonly nowMs: number;
  },
): Promise<Examination> {
  const { checks, known, timer, nowMs } = around;
  const text = await readFile(join(folder, answerFile), 'utf8').catch(() => '');
  const left = leftSchema.safeParse(parse(text)).data;
  if (left === undefined || nowMs - left.atMs > answerGoodMs)
    return leaveUnlooked(checks, `the running node knows, and has not answered ${timer} lately`);
  const { answer } = left;
  return {
    findings: answer.checks.map(({ name: check, state, affects, detail = 'see /healthz' }) => ({
      check,
      state,
      affects,
      detail,
      hint: known.find(({ id }) => id === check)?.cure,
    })),
    unlooked: answer.unlooked.map(({ name: check, why = 'it does not say' }) => ({ check, why })),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
