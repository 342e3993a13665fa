import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DoorQuestions } from '#main-agent/link/door-questions.ts';
import { doorQuestionsMax, doorQuestionTimeoutMs } from '#main-agent/link/limits.ts';
import { randomId } from '#shared/random-id.ts';

const question = { ip: '192.0.2.7' };
const findings = [{ what: 'never-ban', acts: false } as const];

let ids: string[];
let questions: DoorQuestions;

beforeEach(() => {
  vi.useFakeTimers();
  ids = [];
  questions = new DoorQuestions(({ id }) => void ids.push(id));
});
afterEach(() => vi.useRealTimers());

describe('a question about an address', () => {
  it('gets the answer that names it, and no other', async () => {
    const asked = [questions.ask(question), questions.ask(question)];
    questions.receive({ id: randomId(), findings: [] });
    questions.receive({ id: ids[1] ?? '', findings });
    questions.receive({ id: ids[1] ?? '', findings: [] });
    questions.receive({ id: ids[0] ?? '', findings: [] });
    expect(await Promise.all(asked)).toEqual([[], findings]);
  });

  it('is given up after its time, and with the link', async () => {
    const late = questions.ask(question);
    await vi.advanceTimersByTimeAsync(doorQuestionTimeoutMs);
    expect(await late).toBeUndefined();
    const cut = questions.ask(question);
    questions.close();
    expect(await cut).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('S-09: so many at once, and no more', async () => {
    const asked = Array.from({ length: doorQuestionsMax }, () => questions.ask(question));
    expect(await questions.ask(question)).toBeUndefined();
    expect(ids).toHaveLength(doorQuestionsMax);
    for (const id of ids) questions.receive({ id, findings });
    expect(await Promise.all(asked)).toEqual(asked.map(() => findings));
    const next = questions.ask(question);
    questions.receive({ id: ids.at(-1) ?? '', findings });
    expect(await next).toEqual(findings);
  });
});
