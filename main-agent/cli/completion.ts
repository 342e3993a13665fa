import type { Command } from 'commander';

/** Completion for bash, written from the very commands there are. */

export function renderCompletion(program: Command): string {
  const cases = listCommands(program, []).map(
    ({ path, words }) => `    "${path}") words="${words.join(' ')}" ;;`,
  );
  return `# sallyport completion bash >/etc/bash_completion.d/sallyport
_sallyport() {
  local word words path="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    # bash makes three words of --option=value.
    =) index=$((index + 1)) ;;
    ${[...listValueOptions(program)].join('|')}) [ "\${COMP_WORDS[index + 1]}" = "=" ] || index=$((index + 1)) ;;
    -*) ;;
    *) path="\${path:+$path }$word" ;;
    esac
  done
  # A value is the user's to type, or a file.
  COMPREPLY=()
  [ "$index" = "$COMP_CWORD" ] || return 0
  words=""
  while :; do
    case $path in
${cases.join('\n')}
    esac
    [ -n "$words" ] || [ -z "$path" ] && break
    case $path in *" "*) path=\${path% *} ;; *) path="" ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sallyport sallyport
`;
}

/** Whose next word is no command. */
function listValueOptions(command: Command): Set<string> {
  const own = command.options.filter((option) => option.required || option.optional);
  return new Set([
    ...own.flatMap(({ long, short }) => [long, short].filter((name) => name !== undefined)),
    ...command.commands.flatMap((one) => [...listValueOptions(one)]),
  ]);
}

function listCommands(
  command: Command,
  path: readonly string[],
): { readonly path: string; readonly words: readonly string[] }[] {
  const options = command.options.flatMap((option) => (option.long === undefined ? [] : [option.long]));
  const words = [...command.commands.map((one) => one.name()), ...options, '--help'];
  return [
    { path: path.join(' '), words },
    ...command.commands.flatMap((one) => listCommands(one, [...path, one.name()])),
  ];
}
