/** More of a program's name for itself nobody reads. */
const agentCharactersMax = 255;

/** What a client calls itself, for people to read: no character that a terminal, a log or a mail would act on. */
export function plainAgent(untrusted: string): string {
  return untrusted.slice(0, agentCharactersMax).replaceAll(/\p{C}/gu, '?');
}
