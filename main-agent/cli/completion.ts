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
    case $word in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
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
complete -F _sallyport sallyport
`;
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
