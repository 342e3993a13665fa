import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';

/** Main's answer by the schema of its route; one of another version than ours is told, not guessed at. */
export function readAnswer<S extends z.ZodType>(schema: S, json: unknown): z.output<S> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new SallyportError('internal', 'Main-agent answered something else', {
    detail: z.prettifyError(result.error),
    hint: 'are CLI and main-agent of the same version? --json shows the answer as it is',
  });
}
