import { toSallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import { showInvisible } from '#shared/visible-text.ts';

/** A command's surroundings, so that tests can be the person at the terminal. */
export interface Terminal {
  /** Result, with its line end. */
  readonly out: (text: string) => void;
  /** Errors, and what is said beside the result. */
  readonly err: (text: string) => void;
  /** A person sits there and can be asked. */
  readonly isInteractive: boolean;
  /** One line; rejects `usage` when nobody can be asked. */
  ask(question: string): Promise<string>;
  /** As `ask`, without showing what is typed. */
  askSecret(question: string): Promise<Secret>;
  /** Standard input to its end, without the last line end. */
  readSecretInput(): Promise<Secret>;
}

/** Says what failed, the facts, and what to do; as JSON for scripts that asked for it. */
export function printError(terminal: Pick<Terminal, 'err'>, error: unknown, asJson: boolean): void {
  const { code, publicMessage, detail, hint } = toSallyportError(error);
  if (asJson) {
    terminal.err(`${showInvisible(JSON.stringify({ error: code, message: publicMessage, detail, hint }))}\n`);
    return;
  }
  const lines = [`error: ${publicMessage}`];
  if (detail !== undefined) lines.push(...detail.split('\n').map((line) => `  ${line}`));
  if (hint !== undefined) lines.push(`hint: ${hint}`);
  terminal.err(`${lines.map(showInvisible).join('\n')}\n`);
}
