"""The command line: arguments and exit codes.

Each command turns its arguments into one call of `driver` (or of the formatter, or of the training loop), imported when
the command runs, so that `dlc --version` and `dlc --help` load neither Numba nor the parser.

Exit codes: 0 done, 1 diagnostics (on standard error), 2 wrong usage, 3 an error of dlc itself, 130 interrupted. No
traceback is ever shown, unless DLC_DEBUG=1 asks for the one of an internal error.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import dlc
from dlc.compiler.arguments import (
    conv_option,
    cost_options,
    define_option,
    dtype_option,
    gemm_option,
    model_option,
    spec_argument,
    specs_argument,
    split_definitions,
)

if TYPE_CHECKING:
    from dlc.compiler.diagnostics import Diagnostic

DONE, DIAGNOSTICS, USAGE, INTERNAL, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
STAGES = ("ast", "graph", "grad", "loops", "python")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code, and never raises an `Exception`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Greek still gets the rest of the line
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python flushes standard output once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except Exception as error:
        return _report(error)
    return DONE


def _dispatch(arguments: list[str]) -> None:
    with commands.make_context("dlc", arguments) as context:
        commands.invoke(context)


def _report(error: Exception) -> int:
    """Say what went wrong: a user's mistake as diagnostics, a mistake of dlc in one line."""
    from dlc.compiler.diagnostics import CompileError

    if isinstance(error, CompileError):
        _show(error.diagnostics)
        return DIAGNOSTICS
    if os.environ.get("DLC_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    message = " ".join(str(error).split())
    click.echo(f"internal error: {type(error).__name__}: {message} (please report; DLC_DEBUG=1 shows where)", err=True)
    return INTERNAL


def _show(diagnostics: Iterable[Diagnostic]) -> None:
    from dlc.compiler.diagnostics import render_all

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render_all(diagnostics, color=color), err=True, nl=False, color=color)


def _fail() -> NoReturn:
    raise click.exceptions.Exit(DIAGNOSTICS)


@click.group(
    name="dlc",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="SPEC is the path of a .dl file, or the name of a spec of the standard library, such as models.lenet.",
)
@click.version_option(dlc.__version__, prog_name="dlc", message="%(prog)s %(version)s")
def commands() -> None:
    """Compile the mathematics of deep learning, written in index notation, to readable Numba kernels."""


class _CompileCommand(click.Command):
    """`--checkpoint` takes a number, or none: what follows it is the SPEC then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        following = [*args, ""][1:]
        chosen = [
            f"{arg}=0" if arg == "--checkpoint" and not then.lstrip("-").isdigit() else arg
            for arg, then in zip(args, following, strict=True)
        ]
        return super().parse_args(ctx, chosen)


@commands.command("compile", cls=_CompileCommand)
@spec_argument
@click.option("-o", "out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where to write it.")
@define_option
@dtype_option
@click.option("--wrt", multiple=True, metavar="NAME", help="Differentiate by this input too; '*' is all inputs.")
@click.option("--stop-after", metavar="PASS", help="Print the program as it is after PASS, and stop.")
@click.option("--print-after", multiple=True, metavar="PASS|all", help="Print the program after PASS (or every pass).")
@click.option(
    "--checkpoint",
    type=click.IntRange(min=0),
    metavar="[STEPS]",
    help="Keep only every state of that number (default: about √T) of a recurrence for the backward pass.",
)
@gemm_option
@conv_option
@model_option
def compile_command(
    spec: str,
    out: Path | None,
    definitions: tuple[tuple[str, Any], ...],
    dtype: str,
    wrt: tuple[str, ...],
    stop_after: str | None,
    print_after: tuple[str, ...],
    checkpoint: int | None,
    gemm: str | None,
    conv: str | None,
    model: str | None,
) -> None:
    """Compile SPEC to one Python module and print its path."""
    from dlc.compiler import driver

    options = {"dtype": dtype, "wrt": wrt, "model": model, **split_definitions(definitions)}
    if checkpoint is not None:
        options["checkpoint"] = checkpoint
    if gemm is not None:
        options["gemm"] = gemm
    if conv is not None:
        options["conv"] = conv
    if stop_after or print_after:
        wanted = _pass_names(
            [*print_after, *([stop_after] if stop_after else [])],
            driver.pass_names(checkpoint is not None),
        )
        for name, text in driver.trace_passes(spec, stop_after=stop_after, **options):
            if name in wanted:
                click.echo(f"# after {name}\n{text}")
    if not stop_after:
        compiled = driver.compile_spec(spec, out=out, **options)
        if compiled.remarks:
            click.echo(compiled.remarks, err=True, nl=False)
        click.echo(compiled.path)


def _pass_names(wanted: Sequence[str], known: Sequence[str]) -> frozenset[str]:
    """The passes asked for, checked against the pipeline's."""
    unknown = next((name for name in wanted if name != "all" and name not in known), None)
    if unknown is not None:
        raise click.UsageError(f"no pass is called {unknown!r}; the passes are {', '.join(known)}")
    return frozenset(known if "all" in wanted else wanted)


@commands.command()
@specs_argument
def check(specs: tuple[str, ...]) -> None:
    """Report every error of each SPEC, and compile nothing. Says nothing, except to a terminal, where there is none."""
    from dlc.compiler import driver
    from dlc.compiler.diagnostics import Severity

    found = [diagnostic for spec in specs for diagnostic in driver.check(spec)]
    if found:
        _show(found)
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in found)
    if sys.stderr.isatty():
        checked = _count(len(specs), "spec")
        click.echo(f"{_count(errors, 'error')} in {checked}" if errors else f"{checked}, no errors", err=True)
    if errors:
        _fail()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@commands.command("fmt")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("--math", is_flag=True, help="Write Σ, ·, ≤, ∈ instead of sum, *, <=, in.")
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if a file is not formatted.")
def format_command(paths: tuple[str, ...], math: bool, check: bool) -> None:
    """Format each FILE in place; `-` formats standard input to standard output."""
    from dlc.compiler.diagnostics import CompileError

    failed = False
    for path in paths:
        try:
            failed |= _format_one(path, math, check)
        except CompileError as error:
            _show(error.diagnostics)
            failed = True
    if failed:
        _fail()


def _format_one(path: str, math: bool, check: bool) -> bool:
    """Format one file; whether it was found unformatted by --check."""
    from dlc.compiler import files
    from dlc.compiler.syntax import format as formatter
    from dlc.compiler.syntax.parse import parse

    if path == "-":
        source = files.decode(sys.stdin.buffer.read(), "<stdin>")
    else:
        source = files.read_spec(Path(path))
    text = formatter.format(parse(source), source, math=math)
    changed = text != source.text
    if check:
        if changed:
            click.echo(f"{source.name} is not formatted", err=True)
        return changed
    if path == "-":
        click.echo(text, nl=False)
    elif changed:
        files.write_text(Path(path), text)
        click.echo(f"formatted {path}")
    return False


@commands.command()
@spec_argument
@click.option("--sums", is_flag=True, help="Print every equation with its sums written out.")
@click.option("--stage", type=click.Choice(STAGES), help="The stage to print.  [default: graph]")
@define_option
@dtype_option
def show(spec: str, sums: bool, stage: str | None, definitions: tuple[tuple[str, Any], ...], dtype: str) -> None:
    """Print what the compiler makes of SPEC, at one stage."""
    from dlc.compiler import driver

    if sums and stage:
        raise click.UsageError("--sums and --stage exclude each other")
    stage = "sums" if sums else stage or "graph"
    click.echo(driver.print_stages(spec, stage, dtype=dtype, **split_definitions(definitions)).rstrip("\n"))


@commands.command()
@cost_options
def explain(spec: str, **options: Any) -> None:
    """Tell of every kernel of SPEC what it computes, what that costs, how it is done and why, and predict its time."""
    from dlc.compiler import performance

    _show_costs(performance.explain, spec, **options)


@commands.command()
@cost_options
def profile(spec: str, **options: Any) -> None:
    """Run SPEC on seeded inputs, and tell of every kernel how long it takes, beside what `dlc explain` tells."""
    from dlc.compiler import performance

    _show_costs(performance.profile, spec, **options)


@commands.command()
@click.option("--show", is_flag=True, help="Measure nothing, and tell what was measured before.")
@click.option("--reset", is_flag=True, help="Go back to the defaults.")
def tune(show: bool, reset: bool) -> None:
    """Measure this machine: its speeds, and from where on one implementation is faster than another.

    What is compiled from then on goes by it; results may be rounded differently than before.
    """
    from dlc.compiler import performance
    from dlc.runtime import host

    if show and reset:
        raise click.UsageError("--show and --reset exclude each other")
    if reset:
        host.forget()
    else:
        click.echo(performance.tuning() if show else performance.tune(), nl=False)


def _show_costs(
    find: Callable[..., Any],
    spec: str,
    sizes: tuple[tuple[str, int], ...],
    as_json: bool,
    brief: bool,
    wrt: tuple[str, ...],
    definitions: tuple[tuple[str, Any], ...],
    dtype: str,
    gemm: str | None,
    conv: str | None,
    model: str | None,
) -> None:
    from dlc.compiler import analysis
    from dlc.compiler.options import Options

    fixed = split_definitions(definitions)
    options = Options.of(dtype, fixed["sizes"], wrt, fixed["hyper"], model, gemm=gemm, conv=conv)
    found = find(spec, options, dict(sizes))
    text = analysis.as_json(found) if as_json else "\n".join(analysis.as_text(one, not brief) for one in found)
    click.echo(text, nl=False)


@commands.command()
@spec_argument
@click.option("--of", "of", required=True, metavar="NAME", help="The tensor to differentiate.")
@click.option("--wrt", required=True, metavar="NAME", help="The tensor to differentiate with respect to.")
@click.option("--order", type=click.IntRange(1, 9), default=1, show_default=True, help="How often to differentiate.")
@click.option("--compressed", is_flag=True, help="Leave out what is zero: print the blocks of a Hessian.")
@model_option
def grad(spec: str, of: str, wrt: str, order: int, compressed: bool, model: str | None) -> None:
    """Print the derivative of one tensor of SPEC with respect to another, as equations."""
    from dlc.compiler import driver

    click.echo(driver.gradient_text(spec, of, wrt, order, compressed, model=model).rstrip("\n"))


@commands.command()
@click.argument("specs", metavar="[SPEC...]", nargs=-1)
@click.option("--points", type=click.IntRange(min=1), default=20, show_default=True, help="Random points for a claim.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds give equal points.")
@define_option
def verify(specs: tuple[str, ...], points: int, seed: int, definitions: tuple[tuple[str, Any], ...]) -> None:
    """Prove or test every claim (`check a == b`) of each SPEC, a file or a folder; without one, of this folder."""
    from dlc.compiler import driver, sources
    from dlc.compiler.diagnostics import CompileError
    from dlc.compiler.options import Options
    from dlc.compiler.verification import listed, summary

    fixed = split_definitions(definitions)
    options = Options.of("float64", sizes=fixed["sizes"], hyper=fixed["hyper"])
    found = [spec for argument in specs or (".",) for spec in sources.below(argument)]
    driver.check_names(found, options)
    verdicts: list[Any] = []
    failed = False
    for spec in found:
        try:
            for group in driver.verdicts(spec, options, points, seed):
                verdicts += group
                click.echo("\n".join(listed(group)))
                sys.stdout.flush()
                _show(verdict.failure for verdict in group if verdict.failure is not None)
        except CompileError as error:
            _show(error.diagnostics)
            failed = True
    click.echo(summary(verdicts))
    if failed or not all(verdict.holds for verdict in verdicts):
        _fail()


@commands.command()
@spec_argument
@click.option("--data", required=True, metavar="digits|FILE.npz", help="One array a model input, samples first.")
@click.option("--epochs", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--optimizer", metavar="NAME", help="One of the spec or of specs/optim (default: the spec's, or Adam).")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate (default: the optimiser's).")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Samples in a step.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds give equal runs.")
@click.option(
    "--save", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write the parameters here."
)
@define_option
@dtype_option
@model_option
def train(spec: str, definitions: tuple[tuple[str, Any], ...], dtype: str, model: str | None, **options: Any) -> None:
    """Train the model of SPEC."""
    from dlc.compiler import training

    training.train(spec, dtype=dtype, model=model, **split_definitions(definitions), **options)


@commands.command()
@specs_argument
@click.option("--update", is_flag=True, help="Write the golden numbers instead of comparing with them.")
def golden(specs: tuple[str, ...], update: bool) -> None:
    """Compare what each SPEC computes on seeded inputs with the numbers in the .golden file beside it."""
    from dlc.compiler import golden as numbers
    from dlc.compiler.diagnostics import CompileError

    act: Callable[[str], str] = numbers.update if update else numbers.difference
    failed = False
    for spec in specs:
        try:
            report = act(spec)
        except CompileError as error:
            _show(error.diagnostics)
            failed = True
            continue
        click.echo(report, nl=False)
        failed |= bool(report) and not update
    if failed:
        _fail()
    if not update:
        click.echo(f"{_count(len(specs), 'spec')} as expected")
