import type { DoorFinding, DoorQuestion, EventBody } from '#shared/link/messages.ts';
import { randomId } from '#shared/random-id.ts';
import { doorQuestionsMax, doorQuestionTimeoutMs } from './limits.ts';

/** What one worker was asked of its doors and has not answered. An answer to nothing is dropped. */
export class DoorQuestions {
  readonly #send: (asked: EventBody<'door.asked'>) => void;
  readonly #waiting = new Map<string, (findings: readonly DoorFinding[] | undefined) => void>();

  constructor(send: (asked: EventBody<'door.asked'>) => void) {
    this.#send = send;
  }

  /** Undefined: no answer in time, or too many asked at once. */
  async ask(question: DoorQuestion): Promise<readonly DoorFinding[] | undefined> {
    if (this.#waiting.size >= doorQuestionsMax) return undefined;
    const id = randomId();
    const answer = Promise.withResolvers<readonly DoorFinding[] | undefined>();
    const tooLate = setTimeout(() => answer.resolve(undefined), doorQuestionTimeoutMs);
    this.#waiting.set(id, answer.resolve);
    try {
      this.#send({ id, question });
      return await answer.promise;
    } finally {
      clearTimeout(tooLate);
      this.#waiting.delete(id);
    }
  }

  receive({ id, findings }: EventBody<'door.standing'>): void {
    this.#waiting.get(id)?.(findings);
  }

  /** The link is gone. */
  close(): void {
    for (const resolve of this.#waiting.values()) resolve(undefined);
  }
}
