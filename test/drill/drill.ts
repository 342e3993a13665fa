import { type EvilDmz, startEvilDmz } from '#test/harness/evil-dmz.ts';
import { send } from './login-tries.ts';
import { tries } from './tries.ts';
import { GotThrough, type Try, UnclearRefusal } from './try.ts';

/** One line of the report. */
export interface Tried {
  readonly one: Try;
  readonly outcome: 'refused' | 'got through' | 'unclear';
  /** How it was refused, or what got through. */
  readonly detail: string;
}

/** Runs the tries one after the other against a main of its own; those whose wall or id contains `only`. */
export async function runDrill(only: string, tell: (tried: Tried) => void): Promise<readonly Tried[]> {
  const chosen = tries.filter(({ id, wall }) => id.includes(only) || wall.includes(only));
  if (chosen.length === 0) throw new Error(`no try and no wall is called ${only}`);
  const evil = await startDrill(chosen);
  const done: Tried[] = [];
  try {
    await requireHonestLogin(evil);
    for (const one of chosen) {
      const tried = await runTry(one, evil);
      done.push(tried);
      tell(tried);
    }
    return done;
  } finally {
    await evil.close();
  }
}

/** No try uses more people and links, and starting them is most of a short drill. Browsers may be remembered. */
export function startDrill(chosen: readonly Try[]): Promise<EvilDmz> {
  return startEvilDmz(
    { people: Math.min(30, 1 + 2 * chosen.length), links: Math.min(48, 6 * chosen.length) },
    (yaml) => yaml.replace('two_factor:\n', 'two_factor:\n  remember_device: 30d\n'),
  );
}

async function runTry(one: Try, evil: EvilDmz): Promise<Tried> {
  try {
    return { one, outcome: 'refused', detail: await one.run(evil) };
  } catch (error) {
    if (error instanceof GotThrough) return { one, outcome: 'got through', detail: error.message };
    const detail = error instanceof UnclearRefusal ? error.message : String(error);
    return { one, outcome: 'unclear', detail };
  }
}

/** What the same keys do honestly must work: else all would be refused, and for another reason. */
export async function requireHonestLogin(evil: EvilDmz): Promise<void> {
  const user = evil.person();
  const code = await evil.authenticator(user).next();
  const outcome = await send(evil, await evil.assert(await evil.begin(user), { code }));
  if (outcome !== 'admitted') throw new Error(`the honest login of the node came to ${outcome}`);
}
