"""The command line.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import typer

from study import cli_images, cli_studies

app = typer.Typer(
    name="usplit",
    help="Studies of µSplit: split one fluorescence image into the structures that it superimposes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_studies.app)
app.add_typer(cli_images.app)
