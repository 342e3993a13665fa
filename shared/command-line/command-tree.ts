/** Commands as their library describes them, as far as documents are made from it. */
export interface CommandTree {
  name(): string;
  description(): string;
  readonly options: readonly CommandOption[];
  readonly registeredArguments: readonly CommandArgument[];
  readonly commands: readonly CommandTree[];
}

export interface CommandOption {
  /** As in the help: `-f, --file <name>`. */
  readonly flags: string;
  readonly description: string;
  readonly long?: string | undefined;
  readonly short?: string | undefined;
  /** A value must, may follow. */
  readonly required: boolean;
  readonly optional: boolean;
}

interface CommandArgument {
  readonly description: string;
  readonly required: boolean;
  readonly variadic: boolean;
  name(): string;
}

/** What `scripts/sallyport` answers itself, where the node was installed from a package. */
export const releaseCommands = [
  { name: 'releases', description: 'the versions that lie on this box, and which one runs' },
  {
    name: 'rollback',
    description:
      'go back to the version that ran before this one, or to the one that is named; with --reason and a text also where main’s state has to go back with it',
  },
] as const;

/** As it is typed: `sallyport node` is two words. */
export function wordsOf(program: CommandTree): string[] {
  return program.name().split(' ');
}
