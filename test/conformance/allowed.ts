import type { Row } from './row.ts';
import type { Telling } from './telling.ts';

/** What our door has to say to a row: what the reference said, but for the differences the row allows. */
export function asAllowed(row: Row, reference: Telling): Telling {
  const steps = row.steps.flat();
  const answers = reference.answers.map((answer, index) => {
    const step = steps[index];
    if (step?.here?.answer === answer)
      throw new Error(`${step.words}: allowed to differ, but both answer ${answer}`);
    return step?.here?.answer ?? answer;
  });
  const tree = { ...reference.tree };
  for (const [name, line] of Object.entries(row.leaves?.entries ?? {})) {
    if (tree[name] === line)
      throw new Error(`${name}: allowed to differ, but both leave ${line ?? 'nothing'}`);
    if (line === undefined) delete tree[name];
    else tree[name] = line;
  }
  return { answers, tree };
}
