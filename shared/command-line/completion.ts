import { releaseCommands, wordsOf, type CommandTree } from './command-tree.ts';

/** Completion for three shells, written from the very commands there are: one table, walked in each one's language. */

export const completionShells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof completionShells)[number];

export function renderCompletion(program: CommandTree, shell: Shell): string {
  const [, ...first] = wordsOf(program);
  const before = releaseCommands.map(({ name }) => name);
  const below = listCommands(program, first);
  const table =
    first.length === 0
      ? below.map((one) => (one.path === '' ? { ...one, words: [...one.words, ...before] } : one))
      : [{ path: '', words: [...first, ...before] }, ...below];
  return renderers[shell](table, [...listValueOptions(program)]);
}

interface Row {
  /** Words of commands, such as `users add`. */
  readonly path: string;
  readonly words: readonly string[];
}

const renderers: Readonly<Record<Shell, (table: readonly Row[], valueOptions: readonly string[]) => string>> =
  {
    bash: (table, valueOptions) => `# sallyport completion bash >/etc/bash_completion.d/sallyport
_sallyport() {
  local word words path="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    # bash makes three words of --option=value.
    =) index=$((index + 1)) ;;
    ${valueOptions.join('|')}) [ "\${COMP_WORDS[index + 1]}" = "=" ] || index=$((index + 1)) ;;
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
${renderCases(table)}
    esac
    [ -n "$words" ] || [ -z "$path" ] && break
    case $path in *" "*) path=\${path% *} ;; *) path="" ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sallyport sallyport
`,
    zsh: (table, valueOptions) => `#compdef sallyport
# sallyport completion zsh >/usr/local/share/zsh/site-functions/_sallyport
# \`path\` and \`words\` are zsh's own.
local word offered="" where="" index
for ((index = 2; index < CURRENT; index++)); do
  word=\${words[index]}
  case $word in
  ${valueOptions.join('|')}) ((index++)) ;;
  -*) ;;
  *) where="\${where:+$where }$word" ;;
  esac
done
# A value is the user's to type, or a file.
((index == CURRENT)) || { _files; return; }
while :; do
  case $where in
${renderCases(table, 'offered')}
  esac
  [[ -n $offered || -z $where ]] && break
  case $where in *" "*) where=\${where% *} ;; *) where="" ;; esac
done
compadd -- \${=offered}
`,
    fish: (table, valueOptions) => `# sallyport completion fish >~/.config/fish/completions/sallyport.fish
function __sallyport_words
    set -l where
    set -l is_value 0
    for word in (commandline -opc)[2..-1]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case ${valueOptions.join(' ')}
                set is_value 1
            case '-*'
            case '*'
                set -a where $word
        end
    end
    # A value is the user's to type, or a file.
    if test $is_value = 1
        __fish_complete_path (commandline -ct)
        return
    end
    while true
        switch "$where"
${table.map(({ path, words }) => `            case '${path}'\n                printf '%s\\n' ${words.join(' ')}\n                return`).join('\n')}
        end
        test (count $where) -gt 0; or return
        set -e where[-1]
    end
end
complete -c sallyport -f -a '(__sallyport_words)'
`,
  };

function renderCases(table: readonly Row[], variable = 'words'): string {
  return table.map(({ path, words }) => `    "${path}") ${variable}="${words.join(' ')}" ;;`).join('\n');
}

/** Whose next word is no command. */
function listValueOptions(command: CommandTree): Set<string> {
  const own = command.options.filter((option) => option.required || option.optional);
  return new Set([
    ...own.flatMap(({ long, short }) => [long, short].filter((name) => name !== undefined)),
    ...command.commands.flatMap((one) => [...listValueOptions(one)]),
  ]);
}

function listCommands(command: CommandTree, path: readonly string[]): Row[] {
  const options = command.options.flatMap((option) => (option.long === undefined ? [] : [option.long]));
  const words = [...command.commands.map((one) => one.name()), ...options, '--help'];
  return [
    { path: path.join(' '), words },
    ...command.commands.flatMap((one) => listCommands(one, [...path, one.name()])),
  ];
}
