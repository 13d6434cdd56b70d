"""`knarr completion SHELL`: a completion script made from the table of verbs."""

import argparse

from knarr.cli import main, printing

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    verbs = [verb for verb in main.VERBS if not verb.is_hidden]
    words = " ".join(verb.word for verb in verbs)
    if arguments.shell == "bash":
        script = (
            "_knarr() { [ $COMP_CWORD -eq 1 ] && COMPREPLY=($(compgen -W "
            f'"{words}" -- "${{COMP_WORDS[1]}}")) || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}")); }}\n'
            "complete -F _knarr knarr"
        )
    elif arguments.shell == "zsh":
        described = " ".join(f"'{verb.word}:{verb.help}'" for verb in verbs)
        script = (
            f"#compdef knarr\n_knarr() {{ local -a verbs; verbs=({described})\n"
            "  if (( CURRENT == 2 )); then _describe verb verbs; else _files; fi }\ncompdef _knarr knarr"
        )
    else:
        script = "\n".join(
            f"complete -c knarr -n __fish_use_subcommand -f -a {verb.word} -d '{verb.help}'" for verb in verbs
        )
    printing.show(script)
    return 0
