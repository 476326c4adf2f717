"""`cleaner recipes`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.console import Console
from cleaner.cli.session import open_session
from cleaner.cli.summaries import counted


@takes(run=("seed",), but=("verbose", "log_format"))
def recipes(
    line: CommandLine,
    show: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Write a contact sheet of N kept images.", show_default="list the recipes only"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The contact sheet.", show_default="recipes.png in the workspace"),
    ] = None,
) -> None:
    """List the optimization and augmentation recipes that rounds rotate through and `train --recipe` takes.

    Example: `cleaner recipes`, `cleaner recipes --show 8 -C work/`
    """
    from cleaner.stages.recipe_list import list_recipes, write_contact_sheet

    listed, sheet = list_recipes(), ""
    if show is None:
        console = Console(quiet=line.quiet, as_json=line.as_json)
        for learner, those in listed.items():
            width = max(len(recipe["name"]) for recipe in those)
            console.result([learner, *(f"  {recipe['name']:<{width}}  {_line(recipe)}" for recipe in those)])
    else:
        session = open_session(line)
        console, path = session.console, out or line.workspace / "recipes.png"
        num = write_contact_sheet(session.workspace, path, show, session.options.seed)
        sheet = str(path)
        console.result([f"{path}: {counted({'images': num})}, under each augmentation and each recipe"])
    console.document({"recipes": listed, "contact_sheet": sheet})


def _line(recipe: dict[str, Any]) -> str:
    augment = recipe.get("augment")
    parts = [f"{recipe.get('optimizer', 'adamw')} {recipe['learning_rate']:g}", f"decay {recipe['weight_decay']:g}"]
    parts.append(f"{recipe['epochs']} epochs")
    parts.append(recipe["view"] if augment is None else " ".join(f"{name} {p:g}" for name, p in augment))
    for name in ("cutmix", "mixup", "label_smoothing", "ema"):
        if recipe.get(name):
            parts.append(f"{name.replace('_', ' ')} {recipe[name]:g}")
    if recipe.get("layer_decay", 1) < 1:
        parts.append(f"layer decay {recipe['layer_decay']:g}")
    return " · ".join(parts)
