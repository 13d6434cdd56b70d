"""`knarr completion SHELL`: a completion script made from the table of verbs and, for bash, their flags."""

import argparse
import importlib

from knarr.cli import main, printing

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    verbs = [verb for verb in main.VERBS if not verb.is_hidden]
    words = " ".join(verb.word for verb in verbs)
    if arguments.shell == "bash":
        script = _bash(words, verbs)
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


def _bash(words: str, verbs: list[main.Verb]) -> str:
    """The verb first, then its flags, else files."""
    cases = "\n".join(f'    {verb.word}) flags="{" ".join(_flags(verb))}" ;;' for verb in verbs)
    return f"""_knarr() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" flags=""
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{words}" -- "$word"))
  elif [ "${{word#-}}" != "$word" ]; then COMPREPLY=($(compgen -W "$flags" -- "$word"))
  else COMPREPLY=(); fi
}}
complete -o default -F _knarr knarr"""


def _flags(verb: main.Verb) -> list[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"knarr.cli.{verb.module}").configure(parser)
    return [flag for flag in parser._option_string_actions if flag.startswith("--")]
